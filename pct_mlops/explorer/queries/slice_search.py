"""Reads what the view of slices shows, cached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.charts import EMPTY, SURE, ClassRates
from pct_mlops.comparison import ClassCounts
from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.queries.pairs import Pair

if TYPE_CHECKING:
    from pct_mlops.comparison import SliceExcess

MIN_SUPPORT = 30  # examples that a slice needs to be searched
FOUND, DOUBTFUL = 20, 5  # most slices that are shown, and most of those whose excess may be chance


@st.cache_data(max_entries=50, show_spinner="Counting slices…")
def slice_counts(pair: Pair, column: str) -> list[ClassCounts]:
    """Return the 2x2 of every value of a column, with the place of the value as its index."""
    found = pairs.comparison(pair).slices(column)
    return [ClassCounts(place, part.value, part.counts) for place, part in enumerate(found)]


@st.cache_data(max_entries=200, show_spinner="Counting slices…")
def slice_rates(pair: Pair, column: str, rows: tuple[ClassCounts, ...]) -> list[ClassRates]:
    """Return NFR, PFR and both accuracies of these values with bounds, in the order given."""
    joined = pairs.comparison(pair)
    return [pairs.rates_of(joined, row, row.name or EMPTY, slice=(column, row.name)) for row in rows]


@st.cache_data(max_entries=50, show_spinner="Searching all slices…")
def found(pair: Pair) -> list[SliceExcess]:
    """Return the slices that flip more than the rest, the surest first, with only a few of those that may be chance."""
    rows = pairs.comparison(pair).find_slices(limit=FOUND, min_support=MIN_SUPPORT)
    sure = [row for row in rows if row.p_value <= SURE]
    return sure + rows[len(sure) : len(sure) + DOUBTFUL]


def num_missing(pair: Pair) -> int:
    """Count the examples that are missing from the joined file of slices."""
    return pairs.comparison(pair).num_without_slices
