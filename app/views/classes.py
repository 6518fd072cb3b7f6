"""Draws the view Classes: which classes lose and gain, and what the new model predicts instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pct_mlops.charts import ClassRates, busiest, class_bars, count, flip_matrix, interval, percent
from pct_mlops.comparison import FlipFilter
from pct_mlops.explorer.components import clickable_chart, row_picker
from pct_mlops.explorer.components.figure_cache import drawn
from pct_mlops.explorer.components.filter_bar import KINDS
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import class_labels, pairs
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.state import selection

if TYPE_CHECKING:
    from pct_mlops.comparison import ClassCounts

IN_MATRIX = 20  # rows and columns where not all classes fit: with more, the cells have no room for numbers
BOUNDS = "The thin lines are bounds. Each bound alone holds with 95% confidence."


def classes() -> None:
    """Draw the page."""
    pair = selection.current()
    titles = pairs.class_titles(pair)
    st.title("Which classes lose?", anchor=False)
    st.caption(f"{plain(pair.old_title)} → {plain(pair.new_title)}, {count(len(titles))} classes")
    left, right = st.columns([1.2, 1], vertical_alignment="bottom")
    order = row_picker.pick_order(left, "class", "name")
    needle = row_picker.pick_needle(right, "Find classes", "part of a name", len(titles))
    row_picker.remember_rows(order, needle)
    rows = class_labels.ordered(pairs.class_counts(pair), order, class_labels.matching(titles, needle))
    if not rows:
        st.info(plain(f"No class name contains '{needle}'."), icon=":material/search_off:")
        return
    draw_bars(pair, rows, titles)
    draw_matrix(pair, titles, needle)


def draw_bars(pair: Pair, rows: list[ClassCounts], titles: list[str]) -> None:
    """Draw the flip rates of each class as diverging bars. A click leads to the examples of the class."""
    rates = pairs.class_rates(pair, tuple(rows[: row_picker.SHOWN]))
    st.subheader(
        "Flips per class",
        anchor=False,
        help=f"Share of the examples of the class, whose number stands in brackets. {BOUNDS}",
    )
    row_picker.told(len(rates), len(rows), "classes")
    clickable_chart.chart(
        drawn(class_bars, rates),
        key="bars",
        shape=(int, str),
        alt="Flip rates of each class with bounds, and its old and new accuracy. The table below holds the numbers.",
        most=len(titles),
        hint="Click a bar to get to the class's examples.",
        leads=lambda clicked: _of_class(titles, *clicked),
    )
    clickable_chart.as_table(table(rates), "table")


def _of_class(titles: list[str], target: int, kind: str) -> tuple[str, dict[str, str]]:
    wanted = FlipFilter(kind, target=target)
    return f"{KINDS[kind].capitalize()} of class {titles[target]}", wanted.to_query(titles)


def _of_cell(titles: list[str], target: int, prediction: int) -> tuple[str, dict[str, str]]:
    wanted = FlipFilter(target=target, new_prediction=prediction)
    return f"Flips from {titles[target]} to {titles[prediction]}", wanted.to_query(titles)


def table(rates: list[ClassRates]) -> dict[str, list[Any]]:
    """Return the columns of the class table, as text, so that the precision is that of the charts."""
    return {
        "class": [row.name for row in rates],
        "support": [row.support for row in rates],
        "accuracy, old → new": [_accuracies(row) for row in rates],
        "NFR": [percent(row.nfr.value) for row in rates],
        "NFR bounds": [interval(row.nfr.lower, row.nfr.upper) for row in rates],
        "PFR": [percent(row.pfr.value) for row in rates],
        "PFR bounds": [interval(row.pfr.lower, row.pfr.upper) for row in rates],
    }


def _accuracies(row: ClassRates) -> str:
    both = (row.accuracy_old, row.accuracy_new)
    return " → ".join(percent(accuracy.value if accuracy else None) for accuracy in both)


def draw_matrix(pair: Pair, titles: list[str], needle: str) -> None:
    """Draw negative flips by target class and wrong new prediction. A click leads to the examples of a cell."""
    st.subheader(
        "What the new model predicts instead",
        anchor=False,
        help="Negative flips only. Rows: the target class. Columns: the wrong prediction of the new model.",
    )
    cells = pairs.flip_cells(pair)
    if not cells:
        st.info(
            "There are no negative flips: the new model is right wherever the old one was.",
            icon=":material/celebration:",
        )
        return
    limit = row_picker.SHOWN if len(titles) <= row_picker.SHOWN else IN_MATRIX
    rows, columns = busiest(cells, len(titles), limit, class_labels.matching(titles, needle))
    if not rows:
        st.info("None of the classes found has negative flips.", icon=":material/search_off:")
        return
    if len(titles) > len(rows):
        targets, predictions = (
            f"{len(found)} {what}{'' if len(found) == 1 else 's'}"
            for found, what in ((rows, "target"), (columns, "prediction"))
        )
        st.caption(f"The {targets} and {predictions} with most negative flips.")
    clickable_chart.chart(
        drawn(flip_matrix, cells, rows, columns, titles),
        key="matrix",
        shape=(int, int),
        alt="Number of negative flips by target class and wrong prediction of the new model.",
        most=len(titles),
        hint="Click a cell to get to its examples.",
        leads=lambda clicked: _of_cell(titles, *clicked),
    )


classes()
