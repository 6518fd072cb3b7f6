"""Bounds that lie far out because examples are few: where an axis ends, and the arrows that say it goes on.

An axis holds every bar. It holds every bound as well, unless one of few examples would press all bars together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

EDGE = 1.04  # an axis is so many times as long as what it must hold
# Few: less than this share of the largest row's examples. They count where the axis would be so many times as long.
FEW, MUCH_LONGER = 0.1, 1.5
BEYOND = "beyond the axis"  # name of the arrows


def reached(values: Sequence[float], ends: Sequence[float], support: Sequence[int]) -> float:
    """What an axis must hold, given each row's bar, the end of its bound (from 0 up) and its number of examples.

    A little even when all are 0, so that the label has room.
    """
    many = FEW * max(support)
    known = [end for end, number in zip(ends, support, strict=True) if number >= many]
    needed, whole = max([*values, *known, 0.01]), max([*ends, 0.01])
    return needed if whole > MUCH_LONGER * needed else whole


def arrows(figure: go.Figure, places: Sequence[int], x: float, line: str, shared: Mapping[str, Sequence[Any]]) -> None:
    """In these rows, at the end of the axis; they tell and lead to what their bars do (customdata and hovertext)."""
    if not places:
        return
    figure.add_scatter(
        name=BEYOND,
        x=[x] * len(places),
        y=list(places),
        mode="markers",
        marker={"symbol": "triangle-right" if x > 0 else "triangle-left", "size": 9, "color": line},
        hovertemplate="%{hovertext}<extra></extra>",
        unselected={"marker": {"opacity": 1}},
        cliponaxis=False,
        **{name: [values[place] for place in places] for name, values in shared.items()},
    )


def explained(figure: go.Figure, right: float, colour: str) -> go.Figure:
    """With a line below the axis, up to `right` (a share of the width), where there are arrows."""
    if not any(trace.name == BEYOND for trace in figure.data):
        return figure
    figure.update_layout(height=figure.layout.height + 22, margin_b=figure.layout.margin.b + 22)
    return figure.add_annotation(
        text="▸ the bound lies beyond the axis: few examples",
        xref="paper",
        yref="paper",
        x=right,
        y=0,
        xanchor="right",
        yanchor="top",
        yshift=-26,
        showarrow=False,
        font={"color": colour, "size": 12},
    )
