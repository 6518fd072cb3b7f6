"""Marking flips one after the other: each mark leads to the next one, the note stays, and the last mark is undone."""

from __future__ import annotations

import re
from functools import partial

import pytest

from pct_mlops.comparison import FlipFilter
from pct_mlops.explorer.components import batch_form, mark_form
from pct_mlops.explorer.queries import flip_lists, flip_pages, pairs
from pct_mlops.explorer.queries.flip_pages import PER_PAGE, Asked, Place
from pct_mlops.gate import Mark, ReviewKind
from pct_mlops.gate.reviews import Review
from pct_mlops.registry import Registry, add_review, reviews

HOSTILE_IDS = ('<img src=x onerror="alert(1)">', "a/../'b'\"c\"/**d**", "long" * 2500)


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)


@pytest.fixture
def flips(files):
    """Ids of the negative flips in the gallery's first order."""
    pair = pairs.Pair(*map(pairs.file_table, files), "old", "new")
    return flip_lists.ordered_ids(pair, Asked(FlipFilter()))


@pytest.fixture
def open_on(explore, desk, model):
    return partial(explore, "--tracking-uri", desk.uri, "--policy", desk.policy, model=model, view="examples")


def kept(desk, name):
    registry = Registry(desk.uri)
    return reviews(registry, registry.get(name, 2))


def put(desk, name, *samples, mark=Mark.BLOCKER, by="Grace"):
    registry = Registry(desk.uri)
    return add_review(registry, registry.get(name, 2), Review(ReviewKind.MARK, by, "x", "", mark=mark, samples=samples))


def button(app, mark, sample_id):
    return app.button(key=mark_form.button_key(f"mark_{mark}", sample_id))


def press(app, label):
    next(button for button in app.button if button.label == label).click().run()


def sign(app, note="seen", name="Ada"):
    app.text_input(key="reviewer_field").set_value(name)
    app.text_input(key=mark_form.NOTE).set_value(note).run()


def said(app):
    return "\n".join([*(item.value for item in app.caption), *(item.proto.text for item in app.get("progress"))])


@pytest.mark.parametrize(
    ("at", "marked", "expected"),
    [("a", "", "b"), ("a", "bc", "d"), ("d", "d", "a"), ("c", "ad", "b"), ("a", "bcd", None), ("elsewhere", "", None)],
)
def test_the_next_example_is_the_first_without_a_mark_and_the_list_goes_round(at, marked, expected):
    assert flip_lists.next_unmarked("abcd", at, set(marked)) == expected


def test_the_list_has_the_order_and_the_pages_of_the_gallery(files, flips):
    pair = pairs.Pair(*map(pairs.file_table, files), "old", "new")
    asked = Asked(FlipFilter())
    pages = [flip_pages.flips(pair, asked, page) for page in range(1, flip_pages.num_pages(len(flips)) + 1)]
    assert [row.sample_id for page in pages for row in page] == list(flips)

    rest = Asked(FlipFilter(not_sample_ids=frozenset(flips[:1])))
    assert flip_lists.triage_ids(pair, rest) == flips, "what was marked meanwhile keeps its place"
    assert flip_lists.place_of(pair, asked, flips[PER_PAGE], set()) == Place(flips[PER_PAGE], 2)
    assert flip_lists.place_of(pair, rest, flips[PER_PAGE], set(flips[:1])) == Place(flips[PER_PAGE], 1)
    assert flip_lists.place_of(pair, rest, flips[0], set(flips[:1])) is None


def test_a_mark_leads_on_the_note_stays_and_undo_leads_back(open_on, desk, model, flips):
    put(desk, model, flips[1])
    app = open_on(example=flips[0])
    assert button(app, "blocker", flips[0]).disabled, "nobody has signed"
    assert "until you fill in your name" in said(app)
    sign(app)
    assert "will be written with the next mark" in said(app)

    button(app, "blocker", flips[0]).click().run()
    assert app.query_params["example"] == flips[2], "the second one had a mark"
    assert app.text_input(key=mark_form.NOTE).value == "seen"
    assert f"**2 of {len(flips)}** negative flips marked" in said(app)
    button(app, "label_error", flips[2]).click().run()
    assert [(item.mark, item.samples, item.reason) for item in kept(desk, model)][1:] == [
        (Mark.BLOCKER, (flips[0],), "seen"),
        (Mark.LABEL_ERROR, (flips[2],), "seen"),
    ]

    press(app, "Undo last")
    assert app.query_params["example"] == flips[2]
    press(app, "Undo last")
    assert app.query_params["example"] == flips[0]
    assert [item.kind for item in kept(desk, model)][3:] == [ReviewKind.UNDO] * 2
    assert not [item for item in app.button if item.label == "Undo last"], "Grace's mark is not Ada's to undo"
    press(app, "Gallery")
    app.session_state["example"] = flips[0]
    app.run()
    assert app.text_input(key=mark_form.NOTE).value == "seen", "Streamlit forgets fields that are not drawn"
    press(app, "Clear note")
    assert app.text_input(key=mark_form.NOTE).value == ""


@pytest.mark.thorough
def test_a_list_of_the_unmarked_ones_is_walked_to_its_end(open_on, desk, model, flips):
    put(desk, model, *flips[:-2])
    app = open_on(example=flips[-2], reviewed="no")
    sign(app)
    button(app, "accepted_loss", flips[-2]).click().run()

    assert app.query_params["example"] == flips[-1]
    assert "1 of 1 negative flips" in said(app)
    button(app, "accepted_loss", flips[-1]).click().run()
    assert app.query_params["example"] == flips[-1]
    assert "the list is done" in said(app)
    assert not app.error


def test_nobody_replaces_a_mark_that_they_have_not_seen_and_nothing_is_lost(open_on, desk, model, flips):
    ada, grace = open_on(example=flips[0]), open_on(example=flips[0])
    sign(ada, name="Ada")
    sign(grace, name="Grace")
    button(ada, "blocker", flips[0]).click().run()

    button(grace, "accepted_loss", flips[0]).click().run()
    assert "Ada has just marked this example" in grace.error[0].value
    assert grace.query_params["example"] == flips[0]
    button(grace, "accepted_loss", flips[0]).click().run()
    button(ada, "label_error", flips[1]).click().run()

    assert [(item.by, item.samples) for item in kept(desk, model)] == [
        ("Ada", flips[:1]),
        ("Grace", flips[:1]),
        ("Ada", flips[1:2]),
    ]


def test_a_stale_pair_takes_no_marks_and_says_why(open_on, desk, model, flips):
    desk.add(model, desk.tables[0], "production")
    app = open_on(example=flips[0], old="1", new="2")

    assert "Marks are off. Version 3" in said(app).replace("\\", "")
    assert not [item for item in app.button if item.label == "Blocker"]
    assert not app.error


def test_hostile_ids_are_marked_as_they_are_and_shown_as_text(explore, desk, model, make_table, html_of):
    ids = sorted(HOSTILE_IDS)
    for predicted, alias in ((0, "production"), (1, "candidate")):
        desk.add(model, make_table(ids, [0, 0, 0], [predicted] * 3, 1), alias)
    app = explore("--tracking-uri", desk.uri, view="examples", model=model, sort="sample_id", example=ids[0])
    sign(app)
    for sample_id in ids:
        button(app, "blocker", sample_id).click().run()
        assert not app.exception
        assert not app.error
        assert not re.search(r"(?<!\\)<img src=x", said(app) + html_of(app))

    registry = Registry(desk.uri)
    assert [item.samples for item in reviews(registry, registry.get(model, 4))] == [(item,) for item in ids]


def test_files_have_no_marks_and_say_why_in_one_line(explore, files, flips):
    app = explore(*files, view="examples", example=flips[0])

    assert "Reviews are kept with a registered version" in said(app).replace("\\", "")
    assert not [item for item in app.button if item.label == "Blocker"]


def pick(app, note="blurred", name="Ada"):
    app.text_input(key="reviewer_field").set_value(name)
    app.text_input(key=batch_form.NOTE).set_value(note).run()


def test_a_batch_is_one_record_after_a_confirmation_and_one_undo_takes_it_back(open_on, desk, model, flips, html_of):
    earlier = put(desk, model, flips[3])
    app = open_on()
    assert html_of(app).count("data-pct-tick=") == PER_PAGE
    app.button(key="pick_page").click().run()
    assert html_of(app).count(" checked>") == PER_PAGE
    app.button(key="pick_all").click().run()
    assert app.button(key="batch_blocker").disabled, "nobody has signed"
    pick(app, note="")
    app.button(key="batch_accepted_loss").click().run()
    assert "fill in a note" in app.error[0].value
    pick(app)
    app.button(key="batch_accepted_loss").click().run()

    assert kept(desk, model) == (earlier,), "nothing is written before the confirmation"
    (question,) = (text.value for text in app.markdown if text.value.startswith("Mark **"))
    assert f"Mark **{len(flips)} examples** as **accepted loss**" in question
    assert "1 of them carry a mark already (1 blocker)" in question
    app.button(key="batch_write").click().run()
    record = kept(desk, model)[1]
    assert (record.mark, record.reason, set(record.samples)) == (Mark.ACCEPTED_LOSS, "blurred", set(flips))
    assert html_of(app).count(" checked>") == 0
    assert f"accepted loss on {len(flips)} examples" in said(app)

    press(app, f"Undo all {len(flips)}")
    assert kept(desk, model)[2].undoes == record.id
    assert html_of(app).count('"pct-mark"') == 1, "the mark that stood before stands again"


@pytest.mark.thorough
def test_a_batch_does_not_replace_marks_that_came_after_the_confirmation(open_on, desk, model, flips):
    app = open_on()
    app.button(key="pick_page").click().run()
    pick(app)
    app.button(key="batch_label_error").click().run()
    put(desk, model, flips[0])

    app.button(key="batch_write").click().run()
    assert "others marked some of them meanwhile" in app.error[0].value
    assert [item.by for item in kept(desk, model)] == ["Grace"]
    app.button(key="batch_write").click().run()
    assert [len(item.samples) for item in kept(desk, model)] == [1, PER_PAGE]
    app.button(key="pick_page").click().run()
    app.button_group(key="kind").set_value("all").run()
    assert not [item for item in app.button if item.key == "pick_none"], "other filters, another selection"


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        ({"c": True}, "abc"),
        ({"a": False, "b": True}, "b"),
        ({"z": True, "c": "yes"}, "ab"),
        (["c"], "ab"),
        (None, "ab"),
    ],
)
def test_ticks_of_the_browser_change_only_examples_of_the_page(ticks, expected):
    assert "".join(batch_form.after_ticks("ab", ticks, {"a", "b", "c"})) == expected
