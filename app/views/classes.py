"""Draws the view Classes: which classes lose and gain, and what the new model predicts instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.charts import ClassRates, busiest, count, interval, percent
from pct_mlops.comparison import FlipFilter
from pct_mlops.explorer.components import row_picker
from pct_mlops.explorer.components.bar_chart import class_chart
from pct_mlops.explorer.components.html_table import folded_table
from pct_mlops.explorer.components.matrix_chart import matrix_chart
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
    """Draw the flip rates of each class as diverging bars that lead to the examples of the class."""
    rates = pairs.class_rates(pair, tuple(rows[: row_picker.SHOWN]))
    st.subheader(
        "Flips per class",
        anchor=False,
        help="Share of the examples of the class, whose number stands in brackets. Click a bar to see its examples. "
        + BOUNDS,
    )
    row_picker.told(len(rates), len(rows), "classes")
    st.html(class_chart(rates, "class", lambda row, kind: _address(titles, FlipFilter(kind, target=row.index))))
    st.html(folded_table(table(rates)))
    row_picker.save_rates(len(rows), "classes", "class", lambda: pairs.class_rates(pair, tuple(rows)))


def _address(titles: list[str], wanted: FlipFilter) -> str:
    return selection.address("examples", **wanted.to_query(titles))


def table(rates: list[ClassRates]) -> dict[str, list[str]]:
    """Return the columns of the class table, as text, so that the precision is that of the chart."""
    return {
        "class": [row.name for row in rates],
        "support": [count(row.support) for row in rates],
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
    """Draw negative flips by target class and wrong new prediction. A cell leads to its examples."""
    st.subheader(
        "What the new model predicts instead",
        anchor=False,
        help="Negative flips only. Rows: the target class. Columns: the wrong prediction of the new model. "
        "Click a cell to see its examples.",
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
    st.html(
        matrix_chart(
            cells,
            rows,
            columns,
            titles,
            lambda target, wrong: _address(titles, FlipFilter(target=target, new_prediction=wrong)),
        )
    )


classes()
