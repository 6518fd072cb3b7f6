"""Draws how often a policy passes, fails or hesitates, against the true rate of simulated candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pct_mlops.charts.palette import GRID, NEGATIVE, NEUTRAL, POSITIVE, axis_text, ink, nothing, plain_layout
from pct_mlops.charts.text import escaped, percent

_PANEL = 300
# Verdict -> colour, mark and line. Meaning never rests on colour alone.
_LOOKS = {
    "PASS": (POSITIVE, "circle", "solid"),
    "INCONCLUSIVE": (NEUTRAL, "diamond", "dot"),
    "FAIL": (NEGATIVE, "square", "dash"),
}


@dataclass(frozen=True)
class VerdictShares:
    """Shares of the verdicts at one true rate: verdict -> (share, lower, upper), as fractions."""

    rate: float
    shares: dict[str, tuple[float, float, float]]
    label: str = ""


@dataclass(frozen=True)
class RatePanel:
    """One panel: points over one true rate, and the limits that are drawn as lines, label -> limit. Fractions."""

    title: str
    points: tuple[VerdictShares, ...]
    limits: tuple[tuple[str, float], ...] = ()


def verdict_shares(panels: Sequence[RatePanel], *, dark: bool = False) -> go.Figure:
    """Draw the share of each verdict against the true rate, one panel below the other, with 95% intervals.

    A panel without points is left out. Without any, the figure is empty and says so.
    """
    panels = [panel for panel in panels if panel.points]
    if not panels:
        return nothing(plain_layout(go.Figure(), _PANEL, dark), "No candidates to show")
    figure = make_subplots(rows=len(panels), cols=1, vertical_spacing=0.28 / len(panels))
    plain_layout(figure, 60 + _PANEL * len(panels), dark)
    for row, panel in enumerate(panels, start=1):
        ordered = sorted(panel.points, key=lambda point: point.rate)
        for verdict in _LOOKS:
            figure.add_scatter(**_line(verdict, ordered, first=row == 1), row=row, col=1)
        for label, limit in panel.limits:
            figure.add_vline(x=100 * limit, line={"color": ink(dark), "width": 1, "dash": "dot"}, row=row, col=1)
            figure.add_annotation(
                x=100 * limit,
                y=107,
                xanchor="left",
                xshift=3,
                text=escaped(label),
                showarrow=False,
                font={"size": 11, "color": ink(dark)},
                row=row,
                col=1,
            )
        figure.update_xaxes(title=panel.title, gridcolor=GRID, zeroline=False, fixedrange=True, row=row, col=1)
    figure.update_xaxes(**axis_text(dark))
    heights = [0, 25, 50, 75, 100]
    figure.update_yaxes(
        title="share of tries",
        range=[-3, 112],
        tickvals=heights,
        ticktext=[f"{height}%" for height in heights],
        gridcolor=GRID,
        zeroline=False,
        fixedrange=True,
        **axis_text(dark),
    )
    legend = {
        "orientation": "h",
        "x": 0,
        "y": 1,
        "yanchor": "top",
        "yref": "container",
        "font": {"color": ink(dark)},
    }
    return figure.update_layout(showlegend=True, legend=legend, margin={"t": 48})


def _line(verdict: str, ordered: Sequence[VerdictShares], *, first: bool) -> dict[str, Any]:
    colour, mark, dash = _LOOKS[verdict]
    values = [[100 * number for number in point.shares[verdict]] for point in ordered]
    return {
        "x": [100 * point.rate for point in ordered],
        "y": [value for value, _, _ in values],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high - value for value, _, high in values],
            "arrayminus": [value - low for value, low, _ in values],
            "thickness": 1,
            "width": 3,
        },
        "mode": "lines+markers",
        "name": verdict,
        "legendgroup": verdict,
        "showlegend": first,
        "line": {"color": colour, "width": 2, "dash": dash},
        "marker": {"size": 8, "symbol": mark, "color": colour},
        "hovertext": [_hover(verdict, point) for point in ordered],
        "hoverinfo": "text",
        "cliponaxis": False,
    }


def _hover(verdict: str, point: VerdictShares) -> str:
    value, low, high = point.shares[verdict]
    between = f"{percent(low, 0)} to {percent(high, 0)}"
    return f"{escaped(point.label)}<br>{verdict}: {percent(value, 1)} ({between})"
