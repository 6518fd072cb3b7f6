"""Draws the view Slices: groups of examples that flip more than the rest, and the rates of any column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.charts import EMPTY, SURE, count, interval, percent, probability
from pct_mlops.comparison import FlipFilter
from pct_mlops.config import PctError
from pct_mlops.explorer.components import row_picker
from pct_mlops.explorer.components.bar_chart import class_chart, slice_chart
from pct_mlops.explorer.components.html_table import folded_table
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import class_labels, pairs, slice_search
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.state import selection

if TYPE_CHECKING:
    from pct_mlops.comparison import SliceExcess

HOW = """A slice is a group of examples, such as the images of one camera. Name the groups in one of two ways:

1. A policy names a CSV or Parquet file with `sample_id` and a column for each kind of group, and the explorer is
   started with `--policy FILE`:
   ```yaml
   slices: {file: slices.csv}
   ```
2. The prediction tables carry such columns themselves: give them to `Predictions.from_arrays(..., slices=...)`."""
HINTS = {
    "found": "Each value of each column is compared with the rest of the examples. The bounds hold for all of them at "
    "once. p is the probability of such an excess by chance, corrected for the number of slices (Holm). Filled: surely "
    "above the rest. Hollow: may be chance. In brackets: examples of the slice. "
    "Click a bar to see its negative flips.",
    "column": "Share of the examples of the slice, whose number stands in brackets. The thin lines are bounds. Each "
    "bound alone holds with 95% confidence, and is not corrected for the number of slices. Click a bar to see its "
    "examples.",
}


def slices() -> None:
    """Draw the page."""
    pair = selection.current()
    columns = pairs.slice_columns(pair)
    st.title("Which slices lose?", anchor=False)
    named = f", {count(len(columns))} column" + ("" if len(columns) == 1 else "s") if columns else ""
    st.caption(f"{plain(pair.old_title)} → {plain(pair.new_title)}{named}")
    if problem := pairs.slices_problem(pair):
        st.error(plain(problem), icon=":material/error:")
    if not columns:
        st.info("No slices are known of these examples.", icon=":material/pie_chart:")
        st.markdown(HOW)
        return
    if missing := slice_search.num_missing(pair):
        st.caption(f"{count(missing)} examples are missing from the file of slices: their value is '(none)'.")
    draw_found(pair)
    draw_column(pair, columns)


def draw_found(pair: Pair) -> None:
    """Draw the slices that flip more than the rest. A bar leads to the examples of its slice."""
    st.subheader("Slices that flip more than the rest", anchor=False, help=HINTS["found"])
    rows = slice_search.found(pair)
    if not any(row.p_value <= SURE for row in rows):
        st.info(
            f"No slice of at least {slice_search.MIN_SUPPORT} examples flips surely more than the rest.",
            icon=":material/check:",
        )
    if not rows:
        return
    st.html(slice_chart(rows, lambda row: _address(FlipFilter(slice=(row.column, row.value)))))
    st.html(folded_table(found_table(rows)))


def found_table(rows: list[SliceExcess]) -> dict[str, list[str]]:
    """Return the columns of the table, as text, so that the precision is that of the charts."""
    return {
        "column": [row.column for row in rows],
        "value": [row.value for row in rows],
        "support": [count(row.support) for row in rows],
        "NFR": [percent(row.nfr) for row in rows],
        "NFR bounds": [interval(row.lower, row.upper) for row in rows],
        "NFR of the rest": [percent(row.rest_nfr) for row in rows],
        "corrected p": [probability(row.p_value) for row in rows],
    }


def draw_column(pair: Pair, columns: tuple[str, ...]) -> None:
    """Draw the rates of every value of a column. A bar leads to the examples of its value."""
    st.subheader("By column", anchor=False, help=HINTS["column"])
    left, right = st.columns([1, 1.4], vertical_alignment="bottom")
    selection.restore("by", columns, columns[0])
    column = left.selectbox("Column", columns, key="by", help="A column that sorts examples into groups.")
    order = row_picker.pick_order(right, "slice", "value")
    kept = column if column != columns[0] else None
    try:
        every = slice_search.slice_counts(pair, column)
    except PctError as error:  # about this column, for example that it has too many values
        row_picker.remember_rows(order, "", by=kept)
        st.warning(plain(str(error)), icon=":material/pie_chart:")
        return
    needle = row_picker.pick_needle(st.container(), "Find values", "part of a value", len(every))
    row_picker.remember_rows(order, needle, by=kept)
    rows = class_labels.ordered(every, order, class_labels.matching([row.name for row in every], needle))
    if not rows:
        st.info(plain(f"No value contains '{needle}'."), icon=":material/search_off:")
        return
    rates = slice_search.slice_rates(pair, column, tuple(rows[: row_picker.SHOWN]))
    row_picker.told(len(rates), len(rows), "values")
    st.html(
        class_chart(
            rates,
            "slice",
            lambda row, kind: _address(FlipFilter(kind, slice=(column, every[row.index].name))),
        )
    )
    row_picker.save_rates(len(rows), "values", column, lambda: slice_search.slice_rates(pair, column, tuple(rows)))


def _address(wanted: FlipFilter) -> str:
    return selection.address("examples", **wanted.to_query((), {EMPTY: ""}))


slices()
