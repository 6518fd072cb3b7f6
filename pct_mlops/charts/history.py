"""Draws the moves of production over time: the flips of each move, and their running sum."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from pct_mlops.charts.labels import place_labels
from pct_mlops.charts.palette import GRID, NEGATIVE, POSITIVE, axis_text, ink, nothing, plain_layout
from pct_mlops.charts.text import count, escaped, interval, percent, short
from pct_mlops.charts.ticks import percent_ticks
from pct_mlops.config.numbers import number_of

if TYPE_CHECKING:
    from pct_mlops.comparison import Estimate

HEIGHT = 430
ABOVE, BELOW = (0.46, 1.0), (0.0, 0.3)  # shares of the height: NFR above, and flips so far below
# Symbol and colour of each kind of move. Both differ, so that nobody has to rely on one of them.
LOOKS = {
    "promotion": ("circle", POSITIVE),
    "override": ("diamond", NEGATIVE),
    "rollback": ("triangle-left", NEGATIVE),
    "adopted": ("square", NEGATIVE),
}


@dataclass(frozen=True)
class MovePoint:
    """A move of production.

    `when` is in ISO 8601, and `kind` is a key of LOOKS. `nfr` and `num_flips` are None if its flips are not known.
    """

    when: str
    title: str
    kind: str
    nfr: Estimate | None
    num_flips: int | None
    details: tuple[str, ...] = ()


def running(points: Sequence[MovePoint]) -> list[int]:
    """Return the number of negative flips of all moves so far. A move whose flips are not known adds none."""
    return list(itertools.accumulate(point.num_flips or 0 for point in points))


def move_history(points: Sequence[MovePoint], *, dark: bool = False) -> go.Figure:
    """Draw the NFR of each move with its bounds over time, and below it the sum of all flips so far.

    `points` come oldest first. Moves whose flips are not known are left out. Without any move, the figure is empty and
    says so.
    """
    figure = plain_layout(go.Figure(), HEIGHT, dark)
    known = [point for point in points if point.nfr is not None and point.nfr.value is not None]
    if not known:
        return nothing(figure, "No moves to show")
    for kind in LOOKS:
        _moves(figure, [point for point in known if point.kind == kind], kind, dark)
    totals = running(known)
    figure.add_scatter(
        x=[point.when for point in known],
        y=totals,
        yaxis="y2",
        mode="lines+markers",
        line={"color": NEGATIVE, "width": 2, "shape": "hv"},
        marker={"size": 6, "color": NEGATIVE},
        fill="tozeroy",
        fillcolor="rgba(221,106,31,0.15)",
        hovertext=[f"<b>{count(total)}</b> negative flips so far" for total in totals],
        hovertemplate="%{hovertext}<extra></extra>",
        cliponaxis=False,
    )
    _axes(figure, known, totals, dark)
    _titles(figure, known, dark)
    for text, top in (("<b>NFR of each move</b>", ABOVE[1]), ("<b>negative flips, added up</b>", BELOW[1])):
        figure.add_annotation(
            text=text,
            xref="paper",
            yref="paper",
            x=0,
            y=top,
            xanchor="left",
            yanchor="bottom",
            yshift=10,
            showarrow=False,
            font={"color": ink(dark)},
        )
    return figure.update_layout(margin={"l": 16, "r": 24, "t": 36, "b": 16})


def _moves(figure: go.Figure, points: Sequence[MovePoint], kind: str, dark: bool) -> None:
    symbol, colour = LOOKS[kind]
    rates = [point.nfr for point in points if point.nfr is not None]
    values = [rate.value or 0.0 for rate in rates]
    figure.add_scatter(
        name=kind,
        x=[point.when for point in points],
        y=[100 * value for value in values],
        mode="markers",
        marker={"size": 12, "symbol": symbol, "color": colour},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [100 * ((r.upper if r.upper is not None else v) - v) for r, v in zip(rates, values, strict=True)],
            "arrayminus": [
                100 * (v - (r.lower if r.lower is not None else v)) for r, v in zip(rates, values, strict=True)
            ],
            "color": ink(dark),
            "thickness": 1.2,
            "width": 3,
        },
        hovertext=[_text(point, rate) for point, rate in zip(points, rates, strict=True)],
        hovertemplate="%{hovertext}<extra></extra>",
        cliponaxis=False,
    )


def _titles(figure: go.Figure, points: Sequence[MovePoint], dark: bool) -> None:
    """Write its title beside each move, unless the title would cover something.

    Two moves can lie close together, for example a promotion and its rollback.
    """
    rates = [(point.when, point.nfr) for point in points if point.nfr is not None]
    bars = [
        [(when, 100 * (end if end is not None else rate.value or 0.0)) for end in (rate.lower, rate.upper)]
        for when, rate in rates
    ]
    place_labels(
        figure,
        [(when, 100 * (rate.value or 0.0)) for when, rate in rates],
        [escaped(short(point.title)) for point in points],
        bars,
        dark,
        number=lambda when: datetime.fromisoformat(when).timestamp(),
        tall=(ABOVE[1] - ABOVE[0]) * HEIGHT,
    )


def _text(point: MovePoint, rate: Estimate) -> str:
    lines = [f"<b>{escaped(short(point.title, 60))}</b>, {point.kind}"]
    lines += [f"NFR {percent(rate.value)} ({interval(rate.lower, rate.upper)})"]
    lines += [number_of(point.num_flips or 0, "negative flip"), *(escaped(short(text, 80)) for text in point.details)]
    return "<br>".join(lines)


def _axes(figure: go.Figure, points: Sequence[MovePoint], totals: Sequence[int], dark: bool) -> None:
    shared: dict[str, Any] = {"zeroline": False, "fixedrange": True, "automargin": True, **axis_text(dark)}
    top = max([rate.upper or rate.value or 0.0 for point in points if (rate := point.nfr) is not None] + [1e-4])
    figure.update_xaxes(**shared, type="date", showgrid=False, anchor="y2", **_span(points))
    figure.update_layout(
        yaxis={**shared, "domain": ABOVE, "range": [0, 108 * top], "gridcolor": GRID, **percent_ticks(108 * top, 5)},
        yaxis2={
            **shared,
            "domain": BELOW,
            "range": [0, 1.15 * max(totals[-1], 1)],
            "gridcolor": GRID,
            "nticks": 4,
            "tickformat": ",d",
        },
    )


def _span(points: Sequence[MovePoint]) -> dict[str, Any]:
    """Return an x range with room for the title of the last move, and around a single move."""
    times = [datetime.fromisoformat(point.when) for point in points]
    wide = max(max(times) - min(times), timedelta(hours=1))
    return {"range": [(min(times) - 0.04 * wide).isoformat(), (max(times) + 0.12 * wide).isoformat()]}
