"""Classes: which lose and gain, and what their flips are now taken for."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import labels, selection, store
from app.markup import plain
from app.store import Pair
from pct_mlops.charts import ClassRates, busiest, class_bars, count, flip_matrix, interval, percent

SHOWN = 30
IN_MATRIX = 20  # rows and columns where there are more classes: so many have room for their numbers
ORDERS = {"nfr": "NFR", "pfr": "PFR", "accuracy": "accuracy lost", "support": "support", "name": "name"}
KINDS = {"negative": "Negative flips", "positive": "Positive flips", "all": "All changed answers"}
BOUNDS = "The thin lines are bounds; each bound alone holds with 95% confidence."


def classes() -> None:
    """Draw the page."""
    pair = selection.current()
    titles = store.class_titles(pair)
    st.title("Which classes lose?", anchor=False)
    st.caption(f"{plain(pair.old_title)} → {plain(pair.new_title)}, {count(len(titles))} classes")
    order, needle = controls(len(titles))
    rows = labels.ordered(store.class_counts(pair), order, needle)
    if not rows:
        st.info(plain(f"No class name contains '{needle}'."), icon=":material/search_off:")
        return
    draw_bars(pair, rows[:SHOWN], len(rows), titles)
    draw_matrix(pair, titles, needle)


def controls(num_classes: int) -> tuple[str, str]:
    """Order of the bars, and a text that class names must contain."""
    left, right = st.columns([1.2, 1], vertical_alignment="bottom")
    selection.restore("order", ORDERS, "nfr")
    order = left.segmented_control(
        "Sort by",
        list(ORDERS),
        format_func=ORDERS.__getitem__,
        key="order",
        required=True,
        help="NFR: negative flips per example of the class. PFR: positive flips. "
        "Accuracy lost: old accuracy minus new. Support: examples of the class.",
    )
    selection.remember("nfr", order=order)
    if num_classes <= SHOWN:
        return order or "nfr", ""
    selection.restore_text("find")
    needle = right.text_input("Find classes", key="find", placeholder="part of a name", icon=":material/search:")
    selection.remember(find=needle)
    return order or "nfr", needle


def draw_bars(pair: Pair, rows: list[Any], num_found: int, titles: list[str]) -> None:
    """Diverging bars; a click leads to the examples of a class."""
    rates = store.class_rates(pair, tuple(rows))
    st.subheader(
        "Flips per class",
        anchor=False,
        help=f"Share of the class's own examples, whose number stands in brackets. {BOUNDS}",
    )
    if num_found > len(rows):
        st.caption(f"The first {len(rows)} of {count(num_found)} classes in this order.")
    picked = st.plotly_chart(
        class_bars(rates, dark=selection.is_dark()),
        alt="Flip rates of each class with bounds, and its old and new accuracy; the table below holds the numbers.",
        key="bars",
        on_select="rerun",
        selection_mode="points",
        config={"displayModeBar": False},
    )
    if chosen := clicked(picked, len(titles)):
        index, kind = chosen
        link(f"{KINDS[kind]} of class {titles[index]}", kind=kind, target=titles[index])
    else:
        st.caption("Click a bar to get to the class's examples.")
    with st.expander("The same as a table", icon=":material/table:"):
        st.dataframe(table(rates), hide_index=True, key="table")


def table(rates: list[ClassRates]) -> dict[str, list[Any]]:
    """Columns of the class table, as text so that the precision is the one of the charts."""
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
    """Target class by wrong new answer; a click leads to the examples of a cell."""
    st.subheader(
        "What they are now taken for",
        anchor=False,
        help="Negative flips only: rows are the target class, columns the wrong answer of the new model.",
    )
    cells = store.flip_cells(pair)
    if not cells:
        st.info("There are no negative flips: nothing that worked was broken.", icon=":material/celebration:")
        return
    wanted = labels.matching(titles, needle)
    rows, columns = busiest(cells, len(titles), SHOWN if len(titles) <= SHOWN else IN_MATRIX, wanted)
    if len(titles) > len(rows):
        st.caption(f"The {len(rows)} targets and {len(columns)} answers with most negative flips.")
    picked = st.plotly_chart(
        flip_matrix(cells, rows, columns, titles, dark=selection.is_dark()),
        alt="Number of negative flips by target class and wrong answer of the new model.",
        key="matrix",
        on_select="rerun",
        selection_mode="points",
        config={"displayModeBar": False},
    )
    if chosen := clicked(picked, len(titles)):
        target, answer = chosen
        link(f"Flips from {titles[target]} to {titles[answer]}", target=titles[target], answer=titles[answer])
    else:
        st.caption("Click a cell to get to its examples.")


def clicked(event: Any, num_classes: int) -> list[Any] | None:
    """What the clicked point carries; None without a click, or when it was on the chart of another model."""
    points = event["selection"]["points"]
    data = points[0]["customdata"] if points else []
    return data if data and all(item < num_classes for item in data if isinstance(item, int)) else None


def link(label: str, **chosen: str) -> None:
    """A link to the examples of what was clicked."""
    with st.container(key="onward_" + "_".join(chosen)):
        st.page_link(
            "views/examples.py",
            label=plain(label),
            icon=":material/photo_library:",
            query_params=selection.link_params(**chosen),
        )


classes()
