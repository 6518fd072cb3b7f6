"""Lists the ids of a selection in the gallery's order, across its pages, and finds what comes next in such a list."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain, islice

import streamlit as st

from pct_mlops.comparison.flips import MAX_PAGE
from pct_mlops.explorer.queries import flip_pages
from pct_mlops.explorer.queries.flip_pages import PER_PAGE, Asked, Place
from pct_mlops.explorer.queries.pairs import BY_KEY, Pair

MAX_LISTED = 100_000  # most ids of a list; behind them the arrow keys still work


# As a resource, because sessions share the ids and nobody changes them. A copy of many ids takes time at every click.
@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=BY_KEY)
def ordered_ids(pair: Pair, asked: Asked) -> tuple[str, ...]:
    """Return the ids of the selection in the gallery's order, at most MAX_LISTED."""
    found: list[str] = []
    while len(found) < MAX_LISTED:
        rows = flip_pages.some_flips(pair, asked, limit=MAX_PAGE, offset=len(found))
        found += [row.sample_id for row in rows]
        if len(rows) < MAX_PAGE:
            break
    return tuple(found)


def without_reviews(asked: Asked) -> Asked:
    """Return the selection without its filter on marks. Its list stays the same while examples are marked."""
    return Asked(replace(asked.filter, sample_ids=None, not_sample_ids=None), asked.sort)


def triage_ids(pair: Pair, asked: Asked) -> tuple[str, ...]:
    """Return the ids through which marking leads: those of the selection, including what was marked meanwhile."""
    # The marked examples alone are a list of their own, which marking does not shorten.
    return ordered_ids(pair, asked if asked.filter.sample_ids is not None else without_reviews(asked))


def num_marked(ids: Sequence[str], marked: Collection[str]) -> int:
    """Count the examples of a list that carry a mark."""
    return len(frozenset(marked).intersection(ids))


def next_unmarked(ids: Sequence[str], sample_id: str, marked: Collection[str]) -> str | None:
    """Return the next example without a mark. The search goes on at the list's start.

    It is None where all others are marked, and for an example that is not in the list: that leads nowhere.
    """
    if sample_id not in ids:
        return None
    start = ids.index(sample_id) + 1
    rest = chain(islice(ids, start, None), islice(ids, start))
    return next((item for item in rest if item not in marked and item != sample_id), None)


def place_of(pair: Pair, asked: Asked, sample_id: str, marked: Collection[str]) -> Place | None:
    """Return the example and its page of the gallery, None where the selection does not hold it.

    `marked` are the marks as they are now: a selection of unmarked examples was made with earlier ones.
    """
    ids: Sequence[str] = triage_ids(pair, asked)
    if asked.filter.not_sample_ids is not None:
        ids = [item for item in ids if item not in marked]
    return Place(sample_id, ids.index(sample_id) // PER_PAGE + 1) if sample_id in ids else None
