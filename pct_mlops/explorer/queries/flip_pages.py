"""Reads pages of flips, cached. Only the examples of the page are read."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from pct_mlops.charts import EMPTY
from pct_mlops.comparison import FlipFilter, FlipRow
from pct_mlops.config import PctError
from pct_mlops.explorer.queries.flip_causes import cause_search
from pct_mlops.explorer.queries.pairs import BY_KEY, Pair, comparison

PER_PAGE = 24


class Asked(NamedTuple):
    """The selection of the gallery: a filter and an order."""

    filter: FlipFilter
    sort: str = "confidence_lost"


class Place(NamedTuple):
    """An example and the page of the gallery that it is on."""

    sample_id: str
    page: int


def slice_values(pair: Pair, column: str) -> dict[str, str] | None:
    """Return title -> value of a column, or None where there are too many values for a list."""
    try:
        return _slice_values(pair, column)
    except PctError:
        return None


@st.cache_data(max_entries=100, hash_funcs=BY_KEY)
def _slice_values(pair: Pair, column: str) -> dict[str, str]:
    return {found.value or EMPTY: found.value for found in comparison(pair).slices(column)}


@st.cache_data(max_entries=500, hash_funcs=BY_KEY)
def num_flips(pair: Pair, asked: Asked) -> int:
    """Count the examples that a filter leaves."""
    return comparison(pair).num_flips(**vars(asked.filter))


def num_pages(total: int) -> int:
    """Return the number of pages that so many examples fill."""
    return -(-total // PER_PAGE)


@st.cache_data(max_entries=200, hash_funcs=BY_KEY)
def flips(pair: Pair, asked: Asked, page: int) -> list[FlipRow]:
    """Return the examples of a page, counted from 1."""
    return some_flips(pair, asked, limit=PER_PAGE, offset=PER_PAGE * (page - 1))


def on_page(pair: Pair, asked: Asked, page: int, sample_id: str) -> FlipRow | None:
    """Return the example where that page of the gallery holds it, else None."""
    return next((row for row in flips(pair, asked, page) if row.sample_id == sample_id), None)


def some_flips(pair: Pair, asked: Asked, *, limit: int, offset: int) -> list[FlipRow]:
    """Return up to `limit` examples from `offset` on, without caching them."""
    filters = vars(asked.filter)
    if asked.sort == "flip_risk" and asked.filter.cause is None:
        # The order needs the retrainings, although nothing is filtered by them.
        filters = {**filters, "cause": cause_search(pair)}
    return comparison(pair).flips(**filters, sort=asked.sort, limit=limit, offset=offset)


def around(pair: Pair, asked: Asked, page: int, sample_id: str) -> tuple[Place | None, int | None, Place | None]:
    """Return the example before this one in the order of the gallery, its position from 1, and the example after it.

    Where the example is not on the page, nothing comes before it, it has no position, and the first of the page comes
    after it.
    """

    def on(number: int) -> list[Place]:
        return [Place(row.sample_id, number) for row in flips(pair, asked, number)]

    rows = on(page)
    ids = [place.sample_id for place in rows]
    if sample_id not in ids:
        return None, None, rows[0] if rows else None
    position = PER_PAGE * (page - 1) + ids.index(sample_id) + 1
    if ids[0] == sample_id and page > 1:
        rows = [*on(page - 1), *rows]
    if ids[-1] == sample_id and len(ids) == PER_PAGE:
        rows = [*rows, *on(page + 1)]
    index = [place.sample_id for place in rows].index(sample_id)
    return rows[index - 1] if index else None, position, rows[index + 1] if index + 1 < len(rows) else None
