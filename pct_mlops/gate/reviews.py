"""Defines the records that reviewers leave on a candidate and computes the state that they add up to.

Records are only ever added, never changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum


class ReviewKind(str, Enum):
    """Kind of record: it decides on the version, marks examples, or takes an earlier record back."""

    ACCEPT = "accept"
    REJECT = "reject"
    MARK = "mark"
    UNDO = "undo"

    def __str__(self) -> str:
        return self.value


class Mark(str, Enum):
    """A reviewer's mark on a flipped example."""

    LABEL_ERROR = "label_error"
    ACCEPTED_LOSS = "accepted_loss"
    BLOCKER = "blocker"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Review:
    """One record of one reviewer.

    `when` and `expires` are ISO 8601 in UTC. `baseline` is the number of the version that the candidate was compared
    with. The registry gives the `id`. A MARK carries `mark` and the example ids in `samples`. An UNDO carries the id of
    the record that it takes back in `undoes`. An expired record counts as if it had never been made.
    """

    kind: ReviewKind
    by: str
    reason: str
    when: str
    id: str = ""
    baseline: int | None = None
    expires: str | None = None
    mark: Mark | None = None
    samples: tuple[str, ...] = ()
    undoes: str = ""


@dataclass(frozen=True)
class ReviewState:
    """State that the records add up to: the standing ACCEPT or REJECT (or None), and the mark of each example."""

    decision: Review | None = None
    marks: dict[str, Review] = field(default_factory=dict)

    def samples(self, *marks: Mark) -> list[str]:
        """Return the sorted ids of the examples that carry one of these marks."""
        return sorted(sample for sample, review in self.marks.items() if review.mark in marks)


def review_state(reviews: Iterable[Review], *, baseline: int | None, now: datetime) -> ReviewState:
    """Return the state after all records that are in force: the latest decision, and the latest mark of each example.

    A decision holds only for the baseline that the reviewer saw. A mark is about the example and holds for any.
    """
    records = in_force(reviews, now=now)
    decision, marks = None, {}
    for review in records:
        if review.kind in (ReviewKind.ACCEPT, ReviewKind.REJECT) and review.baseline == baseline:
            decision = review
        elif review.kind is ReviewKind.MARK:
            marks.update(dict.fromkeys(review.samples, review))
    return ReviewState(decision, marks)


def in_force(reviews: Iterable[Review], *, now: datetime) -> list[Review]:
    """Return the records that are neither undone nor expired, in the order in which they were made.

    An UNDO that was itself undone takes nothing back.
    """
    records = sorted(reviews, key=lambda review: (review.when, review.id))
    taken_back: set[str] = set()
    counting: list[int] = []
    for place in _last_words_first(records):
        review = records[place]
        if review.id in taken_back or _is_expired(review, now):
            continue
        counting.append(place)
        if review.kind is ReviewKind.UNDO:
            taken_back.add(review.undoes)
    return [records[place] for place in sorted(counting)]


def _last_words_first(records: Sequence[Review]) -> Iterator[int]:
    """Yield the index of each record, after the indices of all records that take it back.

    The order follows from the references and not from the times, as the clocks of two reviewers' machines need not
    agree. Undos that take each other back in a circle are forged and left out.
    """
    places: dict[str, list[int]] = {}
    for place, review in enumerate(records):
        places.setdefault(review.id, []).append(place)
    targets = [places.get(review.undoes, []) if review.kind is ReviewKind.UNDO else [] for review in records]
    open_ = Counter(target for found in targets for target in found)
    ready = [place for place in range(len(records)) if not open_[place]]
    for place in ready:
        yield place
        for target in targets[place]:
            open_[target] -= 1
            if not open_[target]:
                ready.append(target)


def _is_expired(review: Review, now: datetime) -> bool:
    return review.expires is not None and datetime.fromisoformat(review.expires) <= now
