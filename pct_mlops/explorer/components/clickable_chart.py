"""Draws the curve of versions, on which a click picks one. Plotly draws it, and is loaded only where it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pct_mlops.explorer.state import selection

if TYPE_CHECKING:
    import plotly.graph_objects as go

_LAST = "last_click:"


def chart(figure: go.Figure, *, key: str, alt: str, most: int, num_parts: int, hint: str) -> list[int] | None:
    """Draw a chart, and return the customdata of the clicked point.

    The address keeps the click, so that a copy of it leads where this page leads. A click that does not fit was made on
    a chart of other tables and is ignored.

    Args:
        figure: Chart whose points carry whole numbers as customdata.
        key: Streamlit's key of the chart. The address keeps the click under `in_KEY`.
        alt: Description for a screen reader.
        most: Number below which every number of the customdata must be.
        num_parts: How many numbers the customdata has.
        hint: Sentence that says what to click, shown while nothing is clicked.

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
    found = _numbers(st.session_state[kept], most)
    fits = len(found) == num_parts
    selection.remember(**{kept: st.session_state[kept] if fits else None})
    if not fits and hint:
        above.caption(hint)
    return found if fits else None


def _numbers(text: str, most: int) -> list[int]:
    """Return the numbers of a text such as "3-4", or [] where one of them is none."""
    parts = text.split("-")
    if any(not (part.isascii() and part.isdigit() and len(part) < 10 and int(part) < most) for part in parts):
        return []
    return [int(part) for part in parts]
