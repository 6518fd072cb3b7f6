"""Places labels beside points, where they hide nothing."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from pct_mlops.charts.palette import ink

WIDTH, TALL = 640, 380  # approximate size of the drawing area in pixels, for which labels are placed
LETTER, LINE, GAP = 7.0, 16.0, 10.0
# Places of a label beside its point, in order of preference: right, left, the corners, above, below.
PLACES = ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))

Box = tuple[float, float, float, float]  # left, right, bottom, top
Line = Sequence[tuple[Any, float]]  # x as a value of the axis


def place_labels(
    figure: go.Figure,
    points: Line,
    labels: Sequence[str],
    lines: Sequence[Line],
    dark: bool,
    *,
    all_shown: bool = False,
    number: Callable[[Any], float] = float,
    tall: float = TALL,
) -> go.Figure:
    """Write each label beside its point, where it covers no point, line or other label.

    A label without such a place is left out, and only the hover text gives it. Bold labels are placed first. They are
    always shown, where they cover least.

    Args:
        figure: The figure, whose axes have their ranges.
        points: The points.
        labels: The label of each point. A bold one starts with <b>.
        lines: Lines that labels should not cover.
        dark: True for a dark theme.
        all_shown: True to always show every label.
        number: Turns a value of the x axis, such as a date, into a number.
        tall: Height of the area in pixels.
    """
    (left, right), (low, high) = map(number, figure.layout.xaxis.range), figure.layout.yaxis.range

    def pixels(x: Any, y: float) -> tuple[float, float]:
        return WIDTH * (number(x) - left) / (right - left), tall * (y - low) / (high - low)

    spots = [pixels(x, y) for x, y in points]
    taken = [(x - 5, x + 5, y - 5, y + 5) for x, y in spots]
    edge = [(0, 0), (WIDTH, 0), (WIDTH, tall), (0, tall), (0, 0)]
    taken += [(x, x, y, y) for x, y in _along(edge)]
    taken += [(x, x, y, y) for line in lines for x, y in _along([pixels(*end) for end in line])]
    for i in sorted(range(len(labels)), key=lambda index: not labels[index].startswith("<b>")):
        bold = labels[i].startswith("<b>")
        plain = html.unescape(labels[i].removeprefix("<b>").removesuffix("</b>"))
        boxes = {side: _beside(spots[i], side, len(plain) * LETTER) for side in PLACES}
        hits = {side: sum(_meet(box, other) for other in taken) for side, box in boxes.items()}
        best = min(PLACES, key=lambda side: hits[side])
        if hits[best] and not (bold or all_shown):
            continue
        taken.append(boxes[best])
        reach = GAP if 0 in best else 0.6 * GAP
        figure.add_annotation(
            x=points[i][0],
            y=points[i][1],
            text=labels[i],
            showarrow=False,
            xanchor=("center", "left", "right")[best[0]],
            yanchor=("middle", "bottom", "top")[best[1]],
            xshift=reach * best[0],
            yshift=reach * best[1],
            font={"color": ink(dark), "size": 13},
        )
    return figure


def _along(line: Line) -> list[tuple[float, float]]:
    """Return points at most 5 pixels apart along a line through the given ones."""
    found = list(line[:1])
    for (x, y), (to_x, to_y) in itertools.pairwise(line):
        steps = int(max(abs(to_x - x), abs(to_y - y)) / 5) + 1
        found += [(x + (to_x - x) * i / steps, y + (to_y - y) * i / steps) for i in range(1, steps + 1)]
    return found


def _beside(spot: tuple[float, float], side: tuple[int, int], wide: float) -> Box:
    """Return the box of a label `wide` pixels wide, on that side of a spot."""
    reach = GAP if 0 in side else 0.6 * GAP
    x = spot[0] + side[0] * (wide / 2 + reach)
    y = spot[1] + side[1] * (LINE / 2 + reach)
    return x - wide / 2, x + wide / 2, y - LINE / 2, y + LINE / 2


def _meet(one: Box, other: Box) -> bool:
    return one[0] <= other[1] and other[0] <= one[1] and one[2] <= other[3] and other[2] <= one[3]
