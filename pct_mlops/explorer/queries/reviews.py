"""Reads the reviews of the version on screen, cached. state/reviewer.py writes them."""

from __future__ import annotations

from datetime import datetime, timezone

import streamlit as st

from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.gate.reviews import Mark, Review, ReviewKind, ReviewState, in_force, review_state

REFRESH = 5  # seconds until another reviewer's record shows
MARKS = {
    Mark.LABEL_ERROR: "label error",
    Mark.ACCEPTED_LOSS: "accepted loss",
    Mark.BLOCKER: "blocker",
}


@st.cache_data(ttl=REFRESH, max_entries=50, show_spinner=False)
def _records(table: VersionTable, into: str) -> tuple[Review, ...]:
    from pct_mlops.registry import reviews

    source = pairs.registry(table.tracking_uri)
    return reviews(source, source.get(table.name, table.version), into)


def records(pair: Pair) -> tuple[Review, ...]:
    """Return all records of the new version, the newest first."""
    if not isinstance(pair.new, VersionTable):
        return ()
    into = pair.old.name if isinstance(pair.old, VersionTable) else ""
    return tuple(reversed(_records(pair.new, into)))


def state(pair: Pair) -> ReviewState:
    """Return the decision and the marks that stand for the new version against the old one."""
    if not (isinstance(pair.new, VersionTable) and isinstance(pair.old, VersionTable)):
        return ReviewState()
    return review_state(_records(pair.new, pair.old.name), baseline=pair.old.version, now=datetime.now(timezone.utc))


def marked(pair: Pair) -> frozenset[str]:
    """Return the ids of the examples that carry a mark."""
    return frozenset(state(pair).marks)


def title_of(review: Review | None) -> str:
    """Return a mark in words, "" without one."""
    return MARKS[review.mark] if review is not None and review.mark is not None else ""


def can_undo(pair: Pair) -> frozenset[str]:
    """Return the ids of the records that count and can be undone."""
    counted = in_force(records(pair), now=datetime.now(timezone.utc))
    return frozenset(review.id for review in counted if review.kind is not ReviewKind.UNDO)


def last_mark_of(pair: Pair, by: str) -> Review | None:
    """Return the newest record with a mark that this reviewer made and that counts, or None without one."""
    counted = in_force(records(pair), now=datetime.now(timezone.utc))
    own = [review for review in counted if review.kind is ReviewKind.MARK and review.by == by]
    return own[-1] if by and own else None


def forget_records() -> None:
    """Clear the cached records after one was added."""
    _records.clear()
