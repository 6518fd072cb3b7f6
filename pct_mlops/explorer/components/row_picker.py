"""Lets the reader choose the order of classes or slices, and search their names where there are many."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.explorer.queries import class_labels
from pct_mlops.explorer.queries.rates_csv import rates_csv
from pct_mlops.explorer.state import selection

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from pct_mlops.charts import ClassRates

SHOWN = 30
FIRST = "nfr"  # the default order


def pick_order(place: DeltaGenerator, what: str, named: str) -> str:
    """Draw the choice of an order and return its key in `class_labels.ORDERS`.

    `what` is the word for a row ("class"), and `named` the word for its name ("name", "value").
    """
    orders = class_labels.ORDERS | {"name": named}
    selection.restore("order", orders, FIRST)
    order = place.segmented_control(
        "Sort by",
        list(orders),
        format_func=orders.__getitem__,
        key="order",
        required=True,
        help=f"NFR: negative flips per example of the {what}. PFR: positive flips. "
        f"Accuracy lost: old accuracy minus new. Support: examples of the {what}.",
    )
    return order or FIRST


def pick_needle(place: DeltaGenerator, label: str, placeholder: str, num_rows: int) -> str:
    """Draw a search field and return its text. Return "" without a field where all rows are shown anyway."""
    if num_rows <= SHOWN:
        return ""
    selection.restore_text("find")
    return place.text_input(label, key="find", placeholder=placeholder, icon=":material/search:")


def remember_rows(order: str, needle: str, **more: str | None) -> None:
    """Write the order, the searched text and `more` to the address."""
    selection.remember(order=order if order != FIRST else None, find=needle, **more)


def told(num_shown: int, num_found: int, rows: str) -> None:
    """Say how many rows are shown where some are left out. `rows` is the word for them ("classes")."""
    if num_found > num_shown:
        st.caption(f"The first {num_shown} of {num_found:,} {rows} in this order.")


def save_rates(num_found: int, rows: str, what: str, read: Callable[[], Sequence[ClassRates]]) -> None:
    """Draw a button that saves the rates of all rows that were found, also of those that the chart leaves out.

    Args:
        num_found: Number of rows.
        rows: The word for them ("classes"), which names the file.
        what: Title of the first column.
        read: Reads the rates, at the click.
    """
    st.download_button(
        f"All {num_found:,} as CSV" if num_found > SHOWN else "Save as CSV",
        functools.partial(rates_csv, what, read),
        f"{rows}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        help=f"The {rows} found above with examples, NFR, PFR and both accuracies as fractions, each with its bounds.",
    )
