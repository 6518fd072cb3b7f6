"""Draws slices that flip more than the rest: their rate with bounds, and beside it the rate of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from pct_mlops.charts.far_bounds import EDGE, arrows, explained, reached
from pct_mlops.charts.palette import NEGATIVE, axis_text, ink, nothing, plain_layout
from pct_mlops.charts.text import count, escaped, interval, percent, probability, short
from pct_mlops.charts.ticks import fraction_ticks

if TYPE_CHECKING:
    from pct_mlops.comparison import SliceExcess

ROW_HEIGHT = 34
EMPTY = "(empty)"  # shown for an empty value
SURE = 0.05  # largest p-value of a slice that is surely above the rest


def slice_title(row: SliceExcess, width: int = 24) -> str:
    """Return a slice as 'column: value'."""
    return f"{short(row.column, width)}: {short(row.value, width) or EMPTY}"


def excess_bars(rows: Sequence[SliceExcess], *, dark: bool = False) -> go.Figure:
    """Draw a bar for each slice in the given order from the top. customdata is its place in `rows`.

    A filled bar is above the rest of the examples with a p-value of at most SURE. A hollow one may be so by chance. A
    diamond marks the rate of the rest. An arrow stands for a far bound of a slice with few examples.
    """
    figure = plain_layout(go.Figure(), 72 + ROW_HEIGHT * max(len(rows), 1), dark)
    if not rows:
        return nothing(figure, "No slices")
    sure = [row.p_value <= SURE for row in rows]
    places = list(range(len(rows)))
    shared: dict[str, list[Any]] = {
        "customdata": [[place] for place in places],
        "hovertext": [_text(row) for row in rows],
    }
    figure.add_bar(
        orientation="h",
        name="slice",
        x=[row.nfr for row in rows],
        y=places,
        marker={
            "color": [NEGATIVE if is_sure else "rgba(221,106,31,0.12)" for is_sure in sure],
            "line": {"color": NEGATIVE, "width": 1.5},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [row.upper - row.nfr for row in rows],
            "arrayminus": [row.nfr - row.lower for row in rows],
            "color": ink(dark),
            "thickness": 1.2,
            "width": 3,
        },
        hovertemplate="%{hovertext}<extra></extra>",
        unselected={"marker": {"opacity": 0.45}},
        **shared,
    )
    figure.add_scatter(
        name="rest",
        x=[row.rest_nfr for row in rows],
        y=places,
        mode="markers",
        marker={"symbol": "diamond", "size": 10, "color": ink(dark), "line": {"width": 1.5, "color": ink(not dark)}},
        hovertemplate="%{hovertext}<extra></extra>",
        cliponaxis=False,
        **shared,
    )
    rates = [max(row.nfr, row.rest_nfr) for row in rows]
    reach = reached(rates, [row.upper for row in rows], [row.support for row in rows])
    far = [place for place, row in zip(places, rows, strict=True) if row.upper > reach]
    arrows(figure, far, EDGE * reach, ink(dark), shared)
    _axes(figure, rows, EDGE * reach, dark)
    figure.update_layout(bargap=0.4, margin={"l": 8, "r": 8, "t": 32, "b": 32})
    return explained(figure, 1, ink(dark))


def _text(row: SliceExcess) -> str:
    return (
        f"<b>{escaped(slice_title(row, 40))}</b><br>NFR {percent(row.nfr)} ({interval(row.lower, row.upper)})"
        f"<br>rest {percent(row.rest_nfr)}<br>{count(row.flips)} of {count(row.support)} examples"
        f"<br>{escaped(probability(row.p_value))}"
    )


def _axes(figure: go.Figure, rows: Sequence[SliceExcess], right: float, dark: bool) -> None:
    figure.update_xaxes(
        range=[0, right],
        **fraction_ticks(right),
        fixedrange=True,
        zeroline=True,
        zerolinewidth=1,
        zerolinecolor=ink(dark),
        **axis_text(dark),
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[f"{escaped(slice_title(row, 26))} ({count(row.support)})" for row in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        fixedrange=True,
        automargin=True,
        ticklabelstandoff=6,
        **axis_text(dark),
    )
    figure.add_annotation(
        text="<b>NFR:</b>  ■ surely more  □ may be chance  ◆ all other examples",
        xref="paper",
        yref="paper",
        x=0,
        y=1,
        xanchor="left",
        yanchor="bottom",
        yshift=2,
        showarrow=False,
        font={"color": ink(dark)},
    )
