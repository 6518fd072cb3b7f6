"""Handles bounds that lie far out because there are few examples.

It decides where an axis ends, and draws arrows for bounds beyond the axis. An axis holds every bar. It also holds every
bound, unless a row of few examples would make all bars too short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

EDGE = 1.04  # length of an axis, as a multiple of what it must hold
# A row has few examples if it has less than the share FEW of the largest row's. Bounds of such rows are cut off only if
# they would make the axis more than MUCH_LONGER times as long.
FEW, MUCH_LONGER = 0.1, 1.5
BEYOND = "beyond the axis"  # name of the arrows


def reached(values: Sequence[float], ends: Sequence[float], support: Sequence[int]) -> float:
    """Return the length that an axis must hold, at least 0.01, which leaves room for a label.

    Args:
        values: The length of each row's bar.
        ends: The end of each row's bound, from 0 up.
        support: The number of examples of each row.
    """
    many = FEW * max(support)
    known = [end for end, number in zip(ends, support, strict=True) if number >= many]
    needed, whole = max([*values, *known, 0.01]), max([*ends, 0.01])
    return needed if whole > MUCH_LONGER * needed else whole


def arrows(figure: go.Figure, places: Sequence[int], x: float, line: str, shared: Mapping[str, Sequence[Any]]) -> None:
    """Draw arrows at the end of the axis, in the rows `places`.

    Args:
        figure: The figure, which is changed in place.
        places: The rows.
        x: The end of the axis. Its sign sets the direction of the arrows.
        line: The colour.
        shared: `customdata` and `hovertext` of every row, so that an arrow acts as its bar.
    """
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
    """Add a line below the axis that explains the arrows, if there are any.

    The line ends at `right`, a share of the figure's width.
    """
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
