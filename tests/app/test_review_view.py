"""Reviews written in the explorer: kept with the version, counted by the gate, taken back, and never markup."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pct_mlops.comparison import compare
from pct_mlops.config import PctError, Policy
from pct_mlops.explorer.components import mark_form, review_form
from pct_mlops.explorer.queries import decisions, pairs, reviews
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.state import reviewer
from pct_mlops.gate import Mark, ReviewKind, decide
from pct_mlops.gate.reviews import Review
from pct_mlops.registry import Registry, add_review
from pct_mlops.registry import reviews as stored_reviews
from pct_mlops.workflows.gating.evaluate import evaluate_candidate

HOSTILE = "<img src=x onerror=alert(1)> **b** [a](http://evil.invalid)"


@pytest.fixture
def flip(truth):
    return truth.ids[int(np.flatnonzero((truth.old == truth.labels) & (truth.new != truth.labels))[0])]


def kept(desk, name, version=2):
    registry = Registry(desk.uri)
    return stored_reviews(registry, registry.get(name, version))


def open_on(explore, desk, name, *words, **query):
    return explore("--tracking-uri", desk.uri, "--policy", desk.policy, *words, model=name, **query)


def put(desk, name, kind, by="Ada", reason="x", **what):
    """A record that somebody else wrote."""
    registry = Registry(desk.uri)
    add_review(registry, registry.get(name, 2), Review(kind, by, reason, "", **what))


def press(app, key):
    app.button(key=key).click().run()


def sign(app, note, name="Ada"):
    app.text_input(key="reviewer_field").set_value(name)
    app.text_input(key=note[0]).set_value(note[1])


def test_a_mark_needs_a_name_and_a_note_and_the_gate_counts_it(explore, desk, model, flip, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    app = open_on(explore, desk, model, view="examples", example=flip)
    blocker = mark_form.button_key("mark_blocker", flip)
    assert app.button(key=blocker).disabled
    app.text_input(key="reviewer_field").set_value("Ada").run()
    press(app, blocker)
    assert "fill in a note" in app.error[0].value
    assert kept(desk, model) == ()

    app.text_input(key="mark_note").set_value("breaks billing").run()
    press(app, blocker)
    assert app.query_params["example"] != flip
    app = open_on(explore, desk, model, view="examples", example=flip)

    assert not app.error
    (record,) = kept(desk, model)
    assert (record.kind, record.mark, record.samples, record.by) == (ReviewKind.MARK, Mark.BLOCKER, (flip,), "Ada")
    assert record.baseline == 1
    assert any("Blocker" in text.value and "breaks billing" in text.value for text in app.markdown)
    assert any("Label error" in line.value and "left out of the flip rates" in line.value for line in app.caption)
    overview = open_on(explore, desk, model)
    assert "FAIL" in overview.error[0].value


def test_the_decision_is_the_one_that_the_command_line_makes_of_the_same_records(desk, model, flip):
    registry = Registry(desk.uri)
    version = registry.get(model, 2)
    pair = Pair(VersionTable(desk.uri, model, 1), VersionTable(desk.uri, model, 2), "", "")
    pairs.forget_tables()
    before = decisions.decision(pair, str(desk.policy))
    record = Review(ReviewKind.MARK, "Ada", "mislabelled", "", mark=Mark.LABEL_ERROR, samples=(flip,))
    add_review(registry, version, record)
    pairs.forget_tables()

    after = decisions.decision(pair, str(desk.policy))

    assert after == decide(
        Policy.read(desk.policy),
        compare(*map(pairs.predictions, (pair.old, pair.new)), apart=[flip]),
        review=reviews.state(pair),
        ties=decisions.ties_of(pair),
    )
    outcome = evaluate_candidate(f"{model}@candidate", Policy.read(desk.policy), tracking_uri=desk.uri)
    assert (after.checks, after.ties) == (outcome.decision.checks, outcome.decision.ties)
    assert after.checks[0].value < before.checks[0].value
    assert after.apart == {"label_error": 1}


@pytest.mark.thorough
def test_a_mark_is_taken_back_by_a_record_of_its_own(explore, desk, model, flip):
    app = open_on(explore, desk, model, view="examples", example=flip)
    sign(app, ("mark_note", "an odd one"))
    app.run()
    press(app, mark_form.button_key("mark_accepted_loss", flip))
    (mark,) = kept(desk, model)

    app = open_on(explore, desk, model, view="examples", example=flip)
    assert not [button for button in app.button if button.key == f"undo_{mark.id}"], "nobody has signed"
    app.text_input(key="reviewer_field").set_value("Ada").run()
    press(app, f"undo_{mark.id}")

    assert [record.kind for record in kept(desk, model)] == [ReviewKind.MARK, ReviewKind.UNDO]
    assert not any("Accepted loss" in text.value for text in app.markdown)


@pytest.mark.parametrize(("key", "kind"), [("decide_accept", ReviewKind.ACCEPT), ("decide_reject", ReviewKind.REJECT)])
def test_a_decision_is_signed_and_stands_on_the_page(explore, desk, model, key, kind):
    app = open_on(explore, desk, model, view="review")
    assert "Nobody has accepted" in app.info[0].value
    sign(app, ("decision_note", HOSTILE))
    press(app, key)

    (record,) = kept(desk, model)
    assert (record.kind, record.reason, record.baseline) == (kind, HOSTILE, 1)
    verdict, banner = (box.value for box in (*app.success, *app.error))
    assert verdict.startswith("**PASS" if kind is ReviewKind.ACCEPT else "**FAIL")
    assert banner.startswith(f"**{kind.capitalize()}ed** by Ada")
    assert "\\<img src\\=" in banner or "\\<img src=" in banner
    assert "[a](http" not in banner
    press(app, f"undo_{record.id}")
    assert "Nobody has accepted" in app.info[0].value


def test_two_reviewers_at_once_lose_nothing_and_see_each_other(explore, desk, model):
    first = open_on(explore, desk, model, view="review")
    second = open_on(explore, desk, model, view="review")
    sign(first, ("decision_note", "good enough"), "Ada")
    sign(second, ("decision_note", "not at night"), "Grace")
    press(first, "decide_accept")
    press(second, "decide_reject")

    assert {record.by for record in kept(desk, model)} == {"Ada", "Grace"}
    first.run()
    assert "Grace" in first.error[0].value


@pytest.mark.thorough
def test_a_decision_against_another_baseline_does_not_stand_here(explore, desk, model):
    desk.add(model, desk.tables[0])
    app = open_on(explore, desk, model, view="review", old="3", new="2")
    sign(app, ("decision_note", "for three only"))
    press(app, "decide_reject")

    app = open_on(explore, desk, model, view="review", old="1", new="2")

    assert "Nobody has accepted" in app.info[0].value
    assert any("against version 3" in text.value for text in app.markdown)


@pytest.mark.parametrize("view", ["examples", "review"])
def test_read_only_shows_reviews_and_writes_none(explore, desk, model, flip, view):
    put(desk, model, ReviewKind.MARK, mark=Mark.BLOCKER, samples=(flip,))
    app = open_on(explore, desk, model, "--read-only", view=view, **({"example": flip} if view == "examples" else {}))

    assert any("by Ada" in text.value or "**Ada**" in text.value for text in app.markdown)
    assert not app.text_input
    assert not any((button.key or "").startswith(("mark_", "decide_", "undo_")) for button in app.button)
    assert any("read\\-only" in caption.value for caption in app.caption)
    # What came of a button that was still on the screen is told all the same.
    app.session_state[review_form.SAID] = "nothing was written"
    app.run()
    assert [box.value for box in app.error if "nothing was written" in box.value]


def test_read_only_holds_also_where_a_button_is_still_on_somebodys_screen(desk, model, monkeypatch):
    monkeypatch.setattr(reviewer.selection, "is_read_only", lambda: True)
    pair = Pair(VersionTable(desk.uri, model, 1), VersionTable(desk.uri, model, 2), "", "")

    with pytest.raises(PctError, match="--read-only"):
        reviewer.write_review(pair, Review(ReviewKind.ACCEPT, "Ada", "fine", "", baseline=1))

    assert kept(desk, model) == ()


@pytest.mark.parametrize("view", ["examples", "review"])
def test_names_notes_and_ids_of_others_are_never_markup(explore, desk, model, flip, view):
    put(desk, model, ReviewKind.MARK, by=HOSTILE, reason=HOSTILE, mark=Mark.BLOCKER, samples=(flip,))
    put(desk, model, ReviewKind.MARK, by=HOSTILE, reason=HOSTILE, mark=Mark.LABEL_ERROR, samples=(HOSTILE,))
    put(desk, model, ReviewKind.REJECT, by=HOSTILE, reason=HOSTILE, baseline=1)

    app = open_on(explore, desk, model, view=view, **({"example": flip} if view == "examples" else {}))

    assert not app.exception
    shown = [text.value for text in (*app.markdown, *app.error, *app.caption) if "onerror" in text.value]
    assert len(shown) == (1 if view == "examples" else 5)
    for text in shown:
        # Every character that Markdown could act on stands behind a backslash.
        assert text.count("\\<img") == text.count("<img")
        assert text.count("\\[a\\]") == text.count("[a")
        assert "http://" not in text


def test_two_who_take_the_same_record_back_do_no_harm(explore, desk, model):
    put(desk, model, ReviewKind.REJECT, baseline=1)
    (record,) = kept(desk, model)
    pages = [open_on(explore, desk, model, view="review") for _ in range(2)]
    for page, name in zip(pages, ("Ada", "Grace"), strict=True):
        page.text_input(key="reviewer_field").set_value(name)
        press(page, f"undo_{record.id}")
        assert not page.exception

    assert [item.kind for item in kept(desk, model)][1:] == [ReviewKind.UNDO] * 2
    assert "Nobody has accepted" in pages[1].info[0].value


def test_the_newest_records_are_shown_and_the_address_asks_for_all(explore, desk, model, monkeypatch):
    many = tuple(
        Review(ReviewKind.REJECT, f"R{number}", "x", f"2026-01-01T00:00:{number:02d}+00:00", id=str(number))
        for number in range(25)
    )
    monkeypatch.setattr(reviews, "records", lambda pair: many)
    app = open_on(explore, desk, model, view="review")
    assert not any("**R20**" in text.value for text in app.markdown)

    next(button for button in app.button if button.label == "Show all 25").click().run()

    assert app.query_params["records"] == "yes"
    assert any("**R24**" in text.value for text in app.markdown)
    app.query_params["records"] = "<b>"
    app.run()
    assert "which is not here" in app.warning[0].value
    assert not any("**R20**" in text.value for text in app.markdown)


def test_files_have_no_reviews_and_say_why(explore, files):
    app = explore(*files, view="review")

    assert not app.exception
    assert "these are files" in app.info[0].value


@pytest.mark.thorough
def test_the_name_comes_from_the_login_where_there_is_one(explore, desk, model, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "grace")
    app = open_on(explore, desk, model, view="review")
    assert not [field for field in app.text_input if field.key == "reviewer_field"]

    app.text_input(key="decision_note").set_value("fine")
    press(app, "decide_accept")

    assert kept(desk, model)[0].by == "grace"


class Visitor(dict):
    is_logged_in = True


@pytest.mark.parametrize(
    ("user", "header", "username", "expected"),
    [
        (Visitor(email="ada@example.org", name="Ada"), "X-Forwarded-User", "grace", "ada@example.org"),
        (Visitor(name="Ada"), None, None, "Ada"),
        (None, "X-Forwarded-User", "grace", "joan"),
        (None, "X-Other", "grace", None),
        (None, None, "grace", "grace"),
        (None, None, None, None),
    ],
)
def test_who_is_logged_in(monkeypatch, user, header, username, expected):
    """The login first; a proxy's header is believed only where it is named, and then nothing else is."""
    monkeypatch.setattr(reviewer.st, "user", user)
    monkeypatch.setattr(type(reviewer.st.context), "headers", {"X-Forwarded-User": " joan "})
    for name, value in ((reviewer.USER_HEADER, header), ("MLFLOW_TRACKING_USERNAME", username)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)

    assert reviewer.logged_in() == expected


def test_marked_examples_can_be_filtered(explore, desk, model, flip, html_of):
    put(desk, model, ReviewKind.MARK, mark=Mark.BLOCKER, samples=(flip,))

    marked = open_on(explore, desk, model, view="examples", kind="all", reviewed="yes")
    assert html_of(marked).count("<figure") == 1
    assert '<span class="pct-mark">blocker</span>' in html_of(marked)
    rest = open_on(explore, desk, model, view="examples", reviewed="no", sort="sample_id")
    assert f'title="{flip}"' not in html_of(rest)


@pytest.mark.thorough
def test_a_record_that_cannot_be_read_is_one_sentence(explore, desk, model):
    desk.client.set_model_version_tag(model, "2", "pct.review.broken", json.dumps({"kind": "reject"}))

    app = open_on(explore, desk, model, view="review")

    assert not app.exception
    assert "cannot be read" in app.error[0].value
