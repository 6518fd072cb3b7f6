"""Draws charts whose bars and points lead to examples when they are clicked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from pct_mlops.explorer.components.filter_bar import KINDS
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.state import selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

_LAST = "last_click:"
# Makes the label of a link, and the filters behind it, from the customdata of what was clicked.
Leads = Callable[[list[Any]], tuple[str, dict[str, str]]]


def chart(
    figure: go.Figure, *, key: str, alt: str, most: int, shape: Sequence[type], hint: str, leads: Leads | None = None
) -> Any:
    """Draw a chart, and return the customdata of the clicked point as a list.

    The address keeps the click, so that a copy of it leads where this page leads. A click that does not fit `shape`
    was made on a chart of other tables and is ignored.

    Args:
        figure: Chart whose points carry numbers and kinds of flips as customdata.
        key: Streamlit's key of the chart. The address keeps the click under `in_KEY`.
        alt: Description for a screen reader.
        most: Number below which every int of the customdata must be.
        shape: Type of each part of the customdata: int, or str for a kind of flips.
        hint: Sentence that says what to click, shown while nothing is clicked.
        leads: Makes a link from the customdata. It stands above the chart: a long chart ends far below the click.

    Returns:
        The customdata, or None without a click that fits.
    """
    kept = f"in_{key}"
    above = st.container()
    selection.restore_text(kept)
    event: Any = st.plotly_chart(
        figure, alt=alt, key=key, on_select="rerun", selection_mode="points", config={"displayModeBar": False}
    )
    points = event["selection"]["points"]
    clicked = "-".join(map(str, points[0]["customdata"])) if points else ""
    if clicked != st.session_state.get(_LAST + key, ""):
        st.session_state[_LAST + key] = st.session_state[kept] = clicked
    found = [_part(text, most) for text in st.session_state[kept].split("-")]
    fits = [type(part) for part in found] == list(shape)
    selection.remember(**{kept: st.session_state[kept] if fits else None})
    if not fits:
        if hint:
            above.caption(hint)
        return None
    if leads is not None:
        label, chosen = leads(found)
        with above:
            link(label, key, chosen)
    return found


def _part(text: str, most: int) -> int | str | None:
    if text in KINDS:
        return text
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < most else None


def link(label: str, key: str, chosen: Mapping[str, str]) -> None:
    """Draw a link to the examples of what was clicked."""
    with st.container(key=f"onward_{key}"):
        st.page_link(
            "views/examples.py",
            label=plain(label),
            icon=":material/photo_library:",
            query_params=selection.link_params(**chosen),
        )


def as_table(columns: Mapping[str, Sequence[Any]], key: str) -> None:
    """Draw the numbers of a chart as a table that is folded away at first."""
    with st.expander("Show as a table", icon=":material/table:"):
        whole = {name: st.column_config.NumberColumn(format="localized") for name in ("support",) if name in columns}
        st.dataframe(columns, hide_index=True, key=key, column_config=whole)
