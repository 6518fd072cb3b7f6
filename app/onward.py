"""Charts and links that lead to examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import selection
from app.markup import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go


def chart(figure: go.Figure, *, key: str, alt: str, most: int, hint: str) -> list[Any] | None:
    """Draw a chart; what the clicked point carries as customdata, None without a click: then `hint` says what to click.

    None as well when a number in it is not below `most`: the click was on the chart of other tables.
    """
    event: Any = st.plotly_chart(
        figure, alt=alt, key=key, on_select="rerun", selection_mode="points", config={"displayModeBar": False}
    )
    points = event["selection"]["points"]
    data = points[0]["customdata"] if points else []
    if data and all(item < most for item in data if isinstance(item, int)):
        return data
    st.caption(hint)
    return None


def link(label: str, **chosen: str) -> None:
    """A link to the examples of what was clicked."""
    with st.container(key="onward_" + "_".join(chosen)):
        st.page_link(
            "views/examples.py",
            label=plain(label),
            icon=":material/photo_library:",
            query_params=selection.link_params(**chosen),
        )


def as_table(columns: Mapping[str, Sequence[Any]], key: str) -> None:
    """The numbers of a chart, for those who read rather than look."""
    with st.expander("The same as a table", icon=":material/table:"):
        st.dataframe(columns, hide_index=True, key=key)
