"""Slices: groups of examples that flip more than the rest, found by search, and the rates of any column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import labels, selection, store, store_slices
from app.markup import plain
from app.store import Pair
from pct_mlops.charts import SURE, class_bars, count, excess_bars, interval, percent, probability, slice_title
from pct_mlops.config import PctError

if TYPE_CHECKING:
    from pct_mlops.comparison import SliceExcess

SHOWN = 30
ORDERS = {"nfr": "NFR", "pfr": "PFR", "accuracy": "accuracy lost", "support": "support", "name": "value"}
KINDS = {"negative": "Negative flips", "positive": "Positive flips", "all": "All changed answers"}
HOW = """A slice is a group of examples, for example all that one camera took. Name the groups in one of two ways:

1. A policy names a CSV or Parquet file with `sample_id` and a column for each kind of group, and the explorer is
   started with `--policy FILE`:
   ```yaml
   slices: {file: slices.csv}
   ```
2. The prediction tables carry such columns themselves: give them to `Predictions.from_arrays(..., slices=...)`."""
HINTS = {
    "found": "All values of all columns are compared with the rest of the examples. Bounds hold for all of them at "
    "once, and p is the chance of such an excess without a cause, corrected for their number (Holm). Filled: surely "
    "above the rest. Hollow: may be chance. In brackets: examples of the slice.",
    "column": "Share of the slice's own examples, whose number stands in brackets. The thin lines are bounds; each "
    "bound alone holds with 95% confidence, and is not corrected for the number of slices.",
}


def slices() -> None:
    """Draw the page."""
    pair = selection.current()
    columns = store.slice_columns(pair)
    st.title("Which slices lose?", anchor=False)
    named = f", {count(len(columns))} column" + ("" if len(columns) == 1 else "s") if columns else ""
    st.caption(f"{plain(pair.old_title)} → {plain(pair.new_title)}{named}")
    if problem := store.slices_problem(pair):
        st.error(plain(problem), icon=":material/error:")
    if not columns:
        st.info("No slices are known of these examples.", icon=":material/pie_chart:")
        st.markdown(HOW)
        return
    if missing := store_slices.num_missing(pair):
        st.caption(f"{count(missing)} examples stand in no row of the file of slices: their value is '(none)'.")
    draw_found(pair)
    draw_column(pair, columns)


def draw_found(pair: Pair) -> None:
    """Slices that flip more than the rest; a click leads to the examples of one."""
    st.subheader("Where it flips more than elsewhere", anchor=False, help=HINTS["found"])
    rows = store_slices.found(pair)
    if not any(row.p_value <= SURE for row in rows):
        st.info(
            f"No slice of at least {store_slices.MIN_SUPPORT} examples flips surely more than the rest.",
            icon=":material/check:",
        )
    if not rows:
        return
    picked = st.plotly_chart(
        excess_bars(rows, dark=selection.is_dark()),
        alt="Negative flip rate of each slice found with bounds, beside that of the rest; the table holds the numbers.",
        key="found_slices",
        on_select="rerun",
        selection_mode="points",
        config={"displayModeBar": False},
    )
    place = clicked(picked, len(rows))
    row = rows[place[0]] if place is not None else None
    if row is not None and row.value:
        link(f"Negative flips of {slice_title(row, 40)}", column=row.column, value=row.value)
    else:
        st.caption("Click a bar to get to the slice's examples.")
    with st.expander("The same as a table", icon=":material/table:"):
        st.dataframe(found_table(rows), hide_index=True, key="found_table")


def found_table(rows: list[SliceExcess]) -> dict[str, list[Any]]:
    """Columns of the table, as text so that the precision is the one of the charts."""
    return {
        "column": [row.column for row in rows],
        "value": [row.value for row in rows],
        "support": [row.support for row in rows],
        "NFR": [percent(row.nfr) for row in rows],
        "NFR bounds": [interval(row.lower, row.upper) for row in rows],
        "NFR of the rest": [percent(row.rest_nfr) for row in rows],
        "corrected p": [probability(row.p_value) for row in rows],
    }


def draw_column(pair: Pair, columns: tuple[str, ...]) -> None:
    """The rates of every value of a column; a click leads to the examples of one."""
    st.subheader("By column", anchor=False, help=HINTS["column"])
    left, right = st.columns([1, 1.4], vertical_alignment="bottom")
    selection.restore("by", columns, columns[0])
    column = left.selectbox("Column", columns, key="by", help="A column that sorts examples into groups.")
    selection.restore("order", ORDERS, "nfr")
    order = right.segmented_control("Sort by", list(ORDERS), format_func=ORDERS.__getitem__, key="order", required=True)
    try:
        every = store_slices.counts(pair, column)
    except PctError as error:  # of this column, for example that it has too many values
        selection.remember(columns[0], by=column)
        st.warning(plain(str(error)), icon=":material/pie_chart:")
        return
    needle = find(len(every))
    selection.remember(
        by=column if column != columns[0] else None, order=order if order != "nfr" else None, find=needle
    )
    rows = labels.ordered(every, order or "nfr", needle)
    if not rows:
        st.info(plain(f"No value contains '{needle}'."), icon=":material/search_off:")
        return
    if len(rows) > SHOWN:
        st.caption(f"The first {SHOWN} of {count(len(rows))} values in this order.")
    picked = st.plotly_chart(
        class_bars(store_slices.rates(pair, column, tuple(rows[:SHOWN])), dark=selection.is_dark()),
        alt="Flip rates of each value with bounds, and its old and new accuracy.",
        key=f"column_{columns.index(column)}",
        on_select="rerun",
        selection_mode="points",
        config={"displayModeBar": False},
    )
    place, kind = clicked(picked, len(every)) or (None, "")
    value = every[place].name if place is not None else ""
    if value:
        link(f"{KINDS[kind]} where {column} is {value}", kind=kind, column=column, value=value)
    else:
        st.caption("Click a bar to get to the slice's examples.")


def find(num_values: int) -> str:
    """A text that values must contain, asked for where there are many."""
    if num_values <= SHOWN:
        return ""
    selection.restore_text("find")
    return st.text_input("Find values", key="find", placeholder="part of a value", icon=":material/search:")


def clicked(event: Any, num_rows: int) -> list[Any] | None:
    """What the clicked point carries; None without a click, or when it was on the chart of other tables."""
    points = event["selection"]["points"]
    data = points[0]["customdata"] if points else []
    return data if data and data[0] < num_rows else None


def link(label: str, **chosen: str) -> None:
    """A link to the examples of what was clicked."""
    with st.container(key="onward_" + "_".join(chosen)):
        st.page_link(
            "views/examples.py",
            label=plain(label),
            icon=":material/photo_library:",
            query_params=selection.link_params(**chosen),
        )


slices()
