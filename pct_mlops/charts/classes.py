"""Draws the flips of each class as bars: negative to the right, positive to the left, each with its bounds.

Both accuracies stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from pct_mlops.charts.far_bounds import EDGE, arrows, explained, reached
from pct_mlops.charts.palette import NEGATIVE, POSITIVE, axis_text, ink, nothing, page_colour, plain_layout
from pct_mlops.charts.text import count, distinct, escaped, interval, percent, wrapped
from pct_mlops.charts.ticks import fraction_ticks, nice_step, share

if TYPE_CHECKING:
    from pct_mlops.comparison import Estimate

ROW_HEIGHT = 30
NAME = 34  # longest name of a class, in characters
# Shares of the width for the bars, and beside them for the accuracies.
BARS, ACCURACIES = (0.0, 0.64), (0.7, 1.0)


@dataclass(frozen=True)
class ClassRates:
    """One class of the bar chart.

    A click returns `index`. Rates are fractions of the class's examples.
    """

    index: int
    name: str
    support: int
    nfr: Estimate
    pfr: Estimate
    accuracy_old: Estimate
    accuracy_new: Estimate


def class_bars(rows: Sequence[ClassRates], *, dark: bool = False) -> go.Figure:
    """Draw two opposite bars for each class, in the given order from the top.

    customdata is (class index, kind of flip). The axis holds every bar. A far bound of a class with few examples would
    make all bars too short. An arrow then marks that it goes on, and the hover text gives it.
    """
    figure = plain_layout(go.Figure(), 64 + ROW_HEIGHT * max(len(rows), 1), dark)
    if not rows:
        return nothing(figure, "No classes")
    # Both directions have one scale, and each is as long as its data need.
    left, right = (_bars(figure, rows, metric, ink(dark)) for metric in ("PFR", "NFR"))
    step = nice_step(left + right)
    ticks = [step * i for i in range(-int(left / step), int(right / step) + 1)]
    figure.update_xaxes(
        tickvals=ticks,
        ticktext=[share(abs(tick), step) for tick in ticks],
        range=[-EDGE * left, EDGE * right],
        **axis_text(dark),
        zeroline=True,
        zerolinewidth=1,
        zerolinecolor=ink(dark),
        fixedrange=True,
        domain=BARS,
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[
            f"{escaped(name)} ({count(row.support)})"
            for name, row in zip(distinct([row.name for row in rows], NAME), rows, strict=True)
        ],
        range=[len(rows) - 0.5, -0.5],
        showgrid=True,
        gridcolor="rgba(138,146,154,0.18)",
        fixedrange=True,
        automargin=True,
        ticklabelstandoff=6,
        **axis_text(dark),
    )
    _accuracies(figure, rows, dark)
    _heading(figure, ACCURACIES[0], "left", "accuracy:  ○ old  ● new", ink(dark))
    # Only the arrows have the colours of the bars, which are too faint on white for text.
    _heading(figure, 0, "left", f'<span style="color:{POSITIVE}">◀</span> positive flips', ink(dark))
    _heading(figure, BARS[1], "right", f'negative flips <span style="color:{NEGATIVE}">▶</span>', ink(dark))
    figure.update_layout(barmode="overlay", bargap=0.35, margin={"l": 8, "r": 8, "t": 32, "b": 32})
    return explained(figure, BARS[1], ink(dark))


def _heading(figure: go.Figure, x: float, anchor: str, text: str, colour: str) -> None:
    figure.add_annotation(
        text=f"<b>{text}</b>",
        xref="paper",
        yref="paper",
        x=x,
        y=1,
        xanchor=anchor,
        yanchor="bottom",
        yshift=2,
        showarrow=False,
        font={"color": colour},
    )


def _accuracies(figure: go.Figure, rows: Sequence[ClassRates], dark: bool) -> None:
    """Draw the old accuracy of each class as a hollow dot and the new one as a filled dot, on a second x axis."""
    pairs = [(row.accuracy_old, row.accuracy_new) for row in rows]
    known = [(i, old, new) for i, (old, new) in enumerate(pairs) if None not in (old.value, new.value)]
    colours = [NEGATIVE if new.value < old.value else POSITIVE for _, old, new in known]  # type: ignore[operator]
    for (i, old, new), colour in zip(known, colours, strict=True):
        figure.add_shape(
            type="line",
            layer="below",
            xref="x2",
            x0=old.value,
            x1=new.value,
            y0=i,
            y1=i,
            line={"color": colour, "width": 2},
        )
    texts = [
        f"<b>{wrapped(rows[i].name)}</b><br>accuracy {percent(old.value)} → {percent(new.value)}"
        f"<br>old {interval(old.lower, old.upper)}<br>new {interval(new.lower, new.upper)}"
        for i, old, new in known
    ]
    for name, which, fill in (("old", 1, False), ("new", 2, True)):
        figure.add_scatter(
            name=f"accuracy {name}",
            xaxis="x2",
            x=[entry[which].value for entry in known],  # type: ignore[union-attr]
            y=[entry[0] for entry in known],
            mode="markers",
            customdata=[[rows[entry[0]].index, "all"] for entry in known],
            marker={
                "size": 9,
                "color": colours if fill else page_colour(dark),
                "line": {"width": 2, "color": colours},
            },
            hovertext=texts,
            hovertemplate="%{hovertext}<extra></extra>",
            cliponaxis=False,
        )
    values = [value for _, old, new in known for value in (old.value, new.value) if value is not None] or [0.0, 1.0]
    low, high = min(values), max(values)
    room = max(0.08 * (high - low), 0.004)
    figure.update_layout(
        xaxis2={
            "domain": ACCURACIES,
            "anchor": "y",
            "range": [low - room, high + room],
            **fraction_ticks(high - low + 2 * room, most=4),
            "fixedrange": True,
            "zeroline": False,
            **axis_text(dark),
        }
    )


def _bars(figure: go.Figure, rows: Sequence[ClassRates], metric: str, line: str) -> float:
    """Draw bars with their bounds to one side. Return the length that the axis must hold there."""
    sign, colour = (1, NEGATIVE) if metric == "NFR" else (-1, POSITIVE)
    rates = [row.nfr if metric == "NFR" else row.pfr for row in rows]
    values = [rate.value or 0.0 for rate in rates]
    up = [(rate.upper if rate.upper is not None else value) - value for rate, value in zip(rates, values, strict=True)]
    down = [
        value - (rate.lower if rate.lower is not None else value) for rate, value in zip(rates, values, strict=True)
    ]
    shared: dict[str, list[Any]] = {
        "customdata": [[row.index, "negative" if sign > 0 else "positive"] for row in rows],
        "hovertext": [
            f"<b>{wrapped(row.name)}</b><br>{metric} {percent(rate.value)}"
            f"<br>{interval(rate.lower, rate.upper)}<br>of {count(row.support)} examples"
            for row, rate in zip(rows, rates, strict=True)
        ],
    }
    figure.add_bar(
        orientation="h",
        name=metric,
        x=[sign * value for value in values],
        y=list(range(len(rows))),
        marker={"color": colour},
        # For a bar that grows to the left, the upper bound lies on the minus side.
        error_x={
            "type": "data",
            "symmetric": False,
            "array": up if sign > 0 else down,
            "arrayminus": down if sign > 0 else up,
            "color": line,
            "thickness": 1.2,
            "width": 3,
        },
        hovertemplate="%{hovertext}<extra></extra>",
        # Keep the other bars readable after a click, which chooses a class. Plotly would fade them to 0.2.
        unselected={"marker": {"opacity": 0.45}},
        **shared,
    )
    ends = [value + part for value, part in zip(values, up, strict=True)]
    reach = reached(values, ends, [row.support for row in rows])
    arrows(figure, [i for i, end in enumerate(ends) if end > reach], sign * EDGE * reach, line, shared)
    return reach
