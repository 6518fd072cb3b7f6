"""Pinned examples, reviewers' words, flips counted apart, and notes that decide nothing."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from prediction_tables import pair_of_counts, table

from pct_mlops.comparison import compare
from pct_mlops.config import Policy
from pct_mlops.gate import Mark, Review, ReviewKind, ReviewState, Verdict, apart_ids, decide, review_state

RULE = {"metric": "nfr", "max": 0.5}
NOW = datetime(2030, 1, 10, tzinfo=timezone.utc)
TABLES = pair_of_counts(900, 20, 50, 30)
FLIP, KEPT = "test/905", "test/3"


def policy(*rules, **settings):
    return Policy.model_validate({"rules": rules or (RULE,), **settings})


def marked(**marks):
    """A state with examples marked, as `review_state` makes it."""
    records = [
        Review(
            ReviewKind.MARK, "ann", "seen", "2030-01-01T00:00:00+00:00", f"r{i}", mark=Mark(mark), samples=tuple(ids)
        )
        for i, (mark, ids) in enumerate(marks.items())
    ]
    return review_state(records, baseline=1, now=NOW)


def decided(kind, reason="because"):
    return ReviewState(Review(ReviewKind(kind), "ann", reason, "2030-01-01T00:00:00+00:00", "r1", baseline=1))


@pytest.fixture(scope="module")
def comparison():
    return compare(*TABLES)


def last(decision):
    check = decision.checks[-1]
    return check.metric, str(check.verdict), check.sentence


@pytest.mark.parametrize(
    ("ids", "verdict", "words"),
    [
        ([KEPT], "PASS", "None of the 1 pinned examples"),
        ([], "PASS", None),
        ([FLIP, KEPT], "FAIL", "1 example is pinned and with a negative flip again (test/905)"),
        ([FLIP, "gone/1", "gone/2"], "ERROR", "2 examples are pinned but not in the tables (gone/1, gone/2)"),
        ([f"test/{i}" for i in range(900, 920)], "FAIL", "20 examples are pinned"),
    ],
)
def test_pinned_examples(comparison, ids, verdict, words):
    decision = decide(policy(), comparison, pinned=ids)
    assert str(decision.verdict) == verdict
    if words is None:
        assert len(decision.checks) == 1
    else:
        assert last(decision)[:2] == ("pinned", verdict)
        assert words in last(decision)[2]


def test_pins_come_with_the_policy(tmp_path, comparison):
    (tmp_path / "pins.csv").write_text(f"sample_id\n{FLIP}\n")
    (tmp_path / "p.yaml").write_text("rules: [{metric: nfr, max: 0.5}]\npinned: {file: pins.csv}\n")
    read = Policy.read(tmp_path / "p.yaml")
    assert decide(read, comparison).verdict is Verdict.FAIL
    assert decide(read.model_copy(update={"pinned": None}), comparison).verdict is Verdict.PASS
    unread = policy(pinned={"file": "pins.csv"})
    assert last(decide(unread, comparison))[:2] == ("pinned", "ERROR")


def test_a_blocker_refuses_only_where_it_flips(comparison):
    assert decide(policy(), comparison, review=marked(blocker=[KEPT])).verdict is Verdict.PASS
    decision = decide(policy(), comparison, review=marked(blocker=[KEPT, FLIP]))
    assert decision.verdict is Verdict.FAIL
    assert last(decision) == (
        "blocker",
        "FAIL",
        "1 example is called a blocker by a reviewer and with a negative flip (test/905).",
    )


def test_a_blocker_that_cannot_be_looked_at_is_an_error(comparison):
    """The evaluation set was changed after the review: whether the candidate does it again, nobody knows."""
    decision = decide(policy(), comparison, review=marked(blocker=[KEPT, "gone/1"]))
    assert decision.verdict is Verdict.ERROR
    assert "1 example is called a blocker by a reviewer but not in the tables (gone/1)" in last(decision)[2]
    both = decide(policy(), comparison, review=marked(blocker=[FLIP, "gone/1"]))
    assert [str(check.verdict) for check in both.checks] == ["PASS", "FAIL", "ERROR"]


def test_a_rejection_refuses_under_any_policy(comparison):
    decision = decide(policy(), comparison, review=decided("reject", "owls"))
    assert (decision.verdict, last(decision)) == (Verdict.FAIL, ("review", "FAIL", "Rejected by ann: owls"))
    assert decision.sentence == "Refused on 1,000 examples: 1 of 2 checks."


def test_a_policy_may_require_an_acceptance(comparison):
    careful = policy(reviews={"require_acceptance": True})
    for review in (None, ReviewState()):
        decision = decide(careful, comparison, review=review)
        assert (decision.verdict, decision.exit_code) == (Verdict.INCONCLUSIVE, 3)
        assert "pct review MODEL --accept" in last(decision)[2]
        assert "more examples" not in decision.sentence
    assert decide(careful, comparison, review=decided("accept")).verdict is Verdict.PASS
    failing = policy({"metric": "nfr", "max": 0.001}, reviews={"require_acceptance": True})
    assert decide(failing, comparison, review=decided("accept")).verdict is Verdict.FAIL, "no acceptance mends a limit"


@pytest.mark.parametrize(
    ("required", "review", "verdict"),
    [
        (False, None, Verdict.BOOTSTRAP),
        (False, decided("reject"), Verdict.FAIL),
        (True, None, Verdict.INCONCLUSIVE),
        (True, decided("accept"), Verdict.BOOTSTRAP),
        (True, decided("reject"), Verdict.FAIL),
    ],
)
def test_the_first_version_too_needs_the_reviewers(required, review, verdict):
    asked = policy(reviews={"require_acceptance": required})
    decision = decide(asked, None, baseline_exists=False, candidate=TABLES[1].info, review=review)
    assert decision.verdict is verdict


def test_flips_count_apart_only_as_the_policy_says_and_always_visibly():
    tight = {"metric": "nfr", "max": 0.0195, "bound": "point"}
    review = marked(label_error=["test/901", KEPT], accepted_loss=["test/902"], blocker=[])
    plain = policy(tight)
    decision = decide(plain, compare(*TABLES, apart=apart_ids(plain, review)), review=review)
    assert (decision.verdict, decision.apart) == (Verdict.FAIL, {})
    lenient = policy(tight, reviews={"count_apart": ["label_error", "accepted_loss"]})
    decision = decide(lenient, compare(*TABLES, apart=apart_ids(lenient, review)), review=review)
    assert (decision.verdict, decision.apart) == (Verdict.PASS, {"label_error": 1, "accepted_loss": 1})
    assert decision.checks[0].value == 0.018
    assert any("2 negative flips are counted apart" in note for note in decision.notes)
    assert any("Of 18 negative flips, 0 lost at most 0.1" in note for note in decision.notes)
    # The 2x2 stays as it was observed.
    assert compare(*TABLES, apart=apart_ids(lenient, review)).counts.negative_flips == 20


def test_flips_that_nobody_set_apart_are_never_left_out(comparison):
    review = marked(label_error=["test/901"])
    for asked, made, known in (
        (policy(), ["test/901"], None),
        (policy(), ["test/901"], review),
        (policy(reviews={"count_apart": ["label_error"]}), ["test/901", "test/902"], review),
        (policy(reviews={"count_apart": ["label_error"]}), [], review),
        (policy(reviews={"count_apart": ["accepted_loss"]}), ["test/901"], review),
    ):
        decision = decide(asked, compare(*TABLES, apart=made), review=known)
        assert decision.verdict is Verdict.ERROR
        assert "compare again" in decision.sentence


def test_a_pin_is_not_excused_by_a_mark(comparison):
    review = marked(label_error=[FLIP])
    lenient = policy(reviews={"count_apart": ["label_error"]})
    decision = decide(lenient, compare(*TABLES, apart=[FLIP]), review=review, pinned=[FLIP])
    assert decision.verdict is Verdict.FAIL


def test_notes_are_shown_and_decide_nothing(comparison):
    notes = " ".join(decide(policy(), comparison).notes)
    assert f"{comparison.mcnemar():.2g}" == "0.00044"
    assert "McNemar's test of net accuracy (50 gained, 20 lost): p < 0.001" in notes
    assert "Of 20 negative flips, 0 lost at most 0.1" in notes
    assert "20 at least 0.5 (type II)" in notes
    # As many gained as lost, p = 1; every flip far: and still only the rule decides.
    balanced = compare(*pair_of_counts(100, 400, 400, 100))
    assert "p = 1.000;" in decide(policy({"metric": "nfr", "max": 0.9}), balanced).notes[0]
    assert decide(policy({"metric": "nfr", "max": 0.9}), balanced).verdict is Verdict.PASS
    assert decide(policy({"metric": "nfr", "max": 0.1}), balanced).verdict is Verdict.FAIL


def test_examples_that_a_file_of_slices_lacks_are_noted(tmp_path):
    (tmp_path / "s.csv").write_text("sample_id,k\ntest/0,a\n")
    old, new = table([0, 0], [0, 0]), table([0, 0], [0, 0], model_version="2")
    decision = decide(policy({"metric": "nfr", "max": 1.0}), compare(old, new, slices=tmp_path / "s.csv"))
    assert any("1 of 2 examples are not in the file of slices" in note for note in decision.notes)
