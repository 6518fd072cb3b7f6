"""Draws the 2x2 of old and new predictions so that area is the number of examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import plotly.graph_objects as go

from pct_mlops.charts.palette import BOTH_RIGHT, BOTH_WRONG, NEGATIVE, POSITIVE, plain_layout
from pct_mlops.charts.text import count, percent

if TYPE_CHECKING:
    from pct_mlops.comparison import FlipCounts


class _Area(NamedTuple):
    """One of the four groups: name, kind that a click returns, colour, number, corner, and box in the unit square."""

    name: str
    kind: str
    colour: str
    number: int
    is_right: bool
    is_top: bool
    left: float
    wide: float
    base: float
    tall: float


def flip_areas(counts: FlipCounts, height: int = 320, *, dark: bool = False) -> go.Figure:
    """Draw the four groups as areas of a unit square.

    The widths are the shares of old right and old wrong. Within each, the heights are the shares of new right (top) and
    new wrong. So each area is the group's share of all examples. It carries its kind as customdata.

    Labels stand outside, at the corner of their group, because the flips are often thin slivers. Without examples, the
    figure is empty and says so.
    """
    figure = plain_layout(go.Figure(), height, dark)
    figure.update_xaxes(visible=False, range=[0, 1], fixedrange=True)
    figure.update_yaxes(visible=False, range=[0, 1], fixedrange=True)
    if counts.total == 0:
        return figure.add_annotation(text="No examples", showarrow=False, x=0.5, y=0.5)
    for area in _areas(counts):
        _draw(figure, area, counts.total)
        _label(figure, area, counts.total)
    return figure.update_layout(margin={"l": 2, "r": 2, "t": 48, "b": 48}, barmode="overlay", bargap=0)


def _areas(counts: FlipCounts) -> list[_Area]:
    old_right = counts.both_right + counts.negative_flips
    share = old_right / counts.total
    kept = counts.both_right / old_right if old_right else 0.0
    gained = counts.positive_flips / (counts.total - old_right) if old_right < counts.total else 0.0
    lost, missed, left = 1 - kept, 1 - gained, 1 - share
    return [
        _Area("Both right", "both_right", BOTH_RIGHT, counts.both_right, False, True, 0.0, share, lost, kept),
        _Area("Negative flips", "negative", NEGATIVE, counts.negative_flips, False, False, 0.0, share, 0.0, lost),
        _Area(
            "Positive flips", "positive", POSITIVE, counts.positive_flips, True, True, share, left, 1 - gained, gained
        ),
        _Area("Both wrong", "both_wrong", BOTH_WRONG, counts.both_wrong, True, False, share, left, 0.0, missed),
    ]


def _draw(figure: go.Figure, area: _Area, total: int) -> None:
    # An outline keeps a group of few examples visible as a thin line.
    outline = {"color": area.colour, "width": 1 if area.number else 0}
    figure.add_bar(
        x=[area.left + area.wide / 2],
        width=[area.wide],
        base=[area.base],
        y=[area.tall],
        name=area.name,
        customdata=[[area.kind]],
        marker={"color": area.colour, "line": outline},
        # Do not fade the other areas: a click leads to another page.
        unselected={"marker": {"opacity": 1}},
        hovertemplate=f"{area.name}: {count(area.number)} of {count(total)} ({percent(area.number / total)})"
        "<extra></extra>",
    )


def _label(figure: go.Figure, area: _Area, total: int) -> None:
    side = "right" if area.is_right else "left"
    figure.add_annotation(
        xref="paper",
        yref="paper",
        x=1 if area.is_right else 0,
        y=1 if area.is_top else 0,
        xanchor=side,
        yanchor="bottom" if area.is_top else "top",
        yshift=4 if area.is_top else -4,
        align=side,
        showarrow=False,
        text=f"<span style='color:{area.colour}'>■</span> {area.name}<br>"
        f"<b>{count(area.number)}</b> · {percent(area.number / total)}",
    )
