"""Flips per class: negative to the right, positive to the left, each with its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from pct_mlops.charts.palette import NEGATIVE, NEUTRAL, POSITIVE, plain_layout
from pct_mlops.charts.text import count, escaped, interval, percent, short

if TYPE_CHECKING:
    from pct_mlops.comparison import Estimate

ROW_HEIGHT = 30


@dataclass(frozen=True)
class ClassRates:
    """One class of the bar chart: `index` comes back with a click; rates are fractions of the class's examples."""

    index: int
    name: str
    support: int
    nfr: Estimate
    pfr: Estimate


def class_bars(rows: Sequence[ClassRates]) -> go.Figure:
    """A diverging bar per class, in the given order from the top. Bars carry the class index as customdata."""
    figure = plain_layout(go.Figure(), 64 + ROW_HEIGHT * max(len(rows), 1))
    if not rows:
        figure.update_xaxes(visible=False).update_yaxes(visible=False)
        return figure.add_annotation(text="No classes", showarrow=False)
    _bars(figure, rows, "PFR", POSITIVE, -1)
    _bars(figure, rows, "NFR", NEGATIVE, +1)
    reach = max(max(rate.upper or rate.value or 0.0 for rate in (row.nfr, row.pfr)) for row in rows) or 0.01
    step = _nice_step(reach)
    ticks = [step * i for i in range(-int(reach / step) - 1, int(reach / step) + 2)]
    figure.update_xaxes(
        tickvals=ticks,
        ticktext=[f"{abs(100 * tick):g} %" for tick in ticks],
        range=[-reach * 1.05, reach * 1.05],
        zeroline=True,
        zerolinewidth=1,
        zerolinecolor=NEUTRAL,
        fixedrange=True,
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[escaped(short(row.name)) for row in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        fixedrange=True,
        automargin=True,
        ticklabelstandoff=6,
    )
    for side, text, colour in ((0, "◀ positive flips", POSITIVE), (1, "negative flips ▶", NEGATIVE)):
        figure.add_annotation(
            text=f"<b>{text}</b>",
            xref="paper",
            yref="paper",
            x=side,
            y=1,
            xanchor=("left", "right")[side],
            yanchor="bottom",
            yshift=2,
            showarrow=False,
            font={"color": colour},
        )
    return figure.update_layout(barmode="overlay", bargap=0.35, margin={"l": 8, "r": 8, "t": 32, "b": 32})


def _bars(figure: go.Figure, rows: Sequence[ClassRates], metric: str, colour: str, sign: int) -> None:
    rates = [row.nfr if metric == "NFR" else row.pfr for row in rows]
    values = [rate.value or 0.0 for rate in rates]
    up = [(rate.upper if rate.upper is not None else value) - value for rate, value in zip(rates, values, strict=True)]
    down = [
        value - (rate.lower if rate.lower is not None else value) for rate, value in zip(rates, values, strict=True)
    ]
    figure.add_bar(
        orientation="h",
        name=metric,
        x=[sign * value for value in values],
        y=list(range(len(rows))),
        customdata=[row.index for row in rows],
        marker={"color": colour},
        # For the bars that grow to the left, the upper bound lies on the minus side.
        error_x={
            "type": "data",
            "symmetric": False,
            "array": up if sign > 0 else down,
            "arrayminus": down if sign > 0 else up,
            "color": NEUTRAL,
            "thickness": 1.5,
            "width": 3,
        },
        hovertext=[
            f"<b>{escaped(short(row.name, 60))}</b><br>{metric} {percent(rate.value)}"
            f"<br>{interval(rate.lower, rate.upper)}<br>of {count(row.support)} examples"
            for row, rate in zip(rows, rates, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        # A click is a choice of class, not a way to fade the others.
        unselected={"marker": {"opacity": 0.45}},
    )


def _nice_step(reach: float) -> float:
    """A tick distance of 1, 2 or 5 times a power of ten that gives two to four ticks up to `reach`."""
    power: float = 10.0**-6
    while True:
        for factor in (1, 2, 5):
            if reach / (factor * power) <= 4:
                return factor * power
        power *= 10
