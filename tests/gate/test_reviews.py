"""Records of reviewers, and what they add up to."""

from __future__ import annotations

from datetime import datetime, timezone

from pct_mlops.gate import Mark, Review, ReviewKind, review_state

NOW = datetime(2030, 1, 10, tzinfo=timezone.utc)


def record(kind: str, day: int, id: str = "", **rest) -> Review:
    return Review(ReviewKind(kind), "ann", "because", f"2030-01-{day:02d}T00:00:00+00:00", id or f"r{day}", **rest)


def test_the_latest_decision_about_this_baseline_stands():
    records = [record("accept", 1, baseline=3), record("reject", 2, baseline=3), record("accept", 3, baseline=2)]
    assert review_state(reversed(records), baseline=3, now=NOW).decision == records[1]
    assert review_state(records, baseline=2, now=NOW).decision == records[2]
    assert review_state(records, baseline=None, now=NOW).decision is None


def test_an_undone_record_uncovers_the_one_before():
    records = [record("accept", 1, baseline=3), record("reject", 2, baseline=3), record("undo", 3, undoes="r2")]
    assert review_state(records, baseline=3, now=NOW).decision == records[0]


def test_an_undo_that_was_undone_takes_nothing_back():
    """A rejection that was taken back by mistake must stand again, or a candidate would pass that nobody accepted."""
    mistake = [record("reject", 2, baseline=3), record("undo", 3, undoes="r2"), record("undo", 4, undoes="r3")]
    assert review_state(mistake, baseline=3, now=NOW).decision == mistake[0]
    again = [*mistake, record("undo", 5, undoes="r4")]
    assert review_state(again, baseline=3, now=NOW).decision is None
    expired = [mistake[0], record("undo", 3, undoes="r2", expires="2030-01-04T00:00:00+00:00")]
    assert review_state(expired, baseline=3, now=NOW).decision == mistake[0]
    # Clocks of two machines: what is taken back may bear the later time.
    skewed = [record("accept", 5, baseline=3), record("undo", 4, undoes="r5")]
    assert review_state(skewed, baseline=3, now=NOW).decision is None
    # Forged by hand: it ends, and what undoes itself alone changes nothing else.
    circle = [record("undo", 1, undoes="r1"), record("undo", 2, undoes="r3"), record("undo", 3, undoes="r2")]
    assert review_state([*circle, record("reject", 4, baseline=3)], baseline=3, now=NOW).decision.id == "r4"


def test_thousands_of_undos_of_undos_are_settled_one_after_the_other():
    chain = [record("reject", 1, "r0", baseline=3)]
    chain += [record("undo", 2, f"r{number}", undoes=f"r{number - 1}") for number in range(1, 3001)]
    assert review_state(chain, baseline=3, now=NOW).decision == chain[0], "an even number of them"
    assert review_state(chain[:-1], baseline=3, now=NOW).decision is None


def test_an_expired_record_counts_for_nothing():
    assert (
        review_state([record("accept", 1, expires="2030-01-10T00:00:00+00:00")], baseline=None, now=NOW).decision
        is None
    )
    assert review_state([record("accept", 1, expires="2030-01-10T00:00:01+00:00")], baseline=None, now=NOW).decision


def test_marks_are_kept_by_example():
    records = [
        record("mark", 1, mark=Mark.LABEL_ERROR, samples=("a", "b")),
        record("mark", 2, mark=Mark.BLOCKER, samples=("b",)),
        record("mark", 3, mark=Mark.ACCEPTED_LOSS, samples=("c",)),
        record("undo", 4, undoes="r3"),
    ]
    state = review_state(records, baseline=7, now=NOW)
    assert state.samples(Mark.LABEL_ERROR) == ["a"]
    assert state.samples(Mark.BLOCKER, Mark.LABEL_ERROR) == ["a", "b"]
    assert state.samples(Mark.ACCEPTED_LOSS) == []
