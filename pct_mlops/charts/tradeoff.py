"""Draws accuracy against NFR: a weight interpolation as a curve, and methods with their Pareto front. Top left is best.

Rates come as fractions and are drawn in percent.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from pct_mlops.charts.labels import Line, place_labels
from pct_mlops.charts.palette import GRID, NEGATIVE, NEUTRAL, POSITIVE, axis_text, ink, nothing, plain_layout
from pct_mlops.charts.text import escaped, percent, short
from pct_mlops.charts.ticks import percent_ticks

if TYPE_CHECKING:
    from pct_mlops.reports import CurvePoint

HEIGHT = 460


@dataclass(frozen=True)
class MethodPoint:
    """Mean accuracy and NFR of a method over its runs.

    The standard deviations are None for a single run. `details` are further lines of the hover text. A click returns
    `key`.
    """

    label: str
    accuracy: float
    nfr: float
    accuracy_std: float | None = None
    nfr_std: float | None = None
    details: tuple[str, ...] = ()
    key: str = ""


def interpolation_curve(
    points: Sequence[CurvePoint],
    chosen: CurvePoint | None = None,
    *,
    tolerance: float | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw accuracy against NFR by share of the old weights, from new (0) to old (1).

    Args:
        points: The measured shares, in any order. Without any, the figure is empty and says so.
        chosen: The point to mark.
        tolerance: Draw a line this far below the new model's accuracy. A fraction.
        dark: True for a dark theme.
    """
    figure = plain_layout(go.Figure(), HEIGHT, dark)
    if not points:
        return nothing(figure, "No models to show")
    ordered = sorted(points, key=lambda point: point.share)
    x, y = [100 * point.nfr for point in ordered], [100 * point.accuracy for point in ordered]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": POSITIVE, "width": 2},
        marker={"size": 8, "color": POSITIVE, "line": {"width": 1, "color": ink(not dark)}},
        cliponaxis=False,
        **_hover([_curve_text(point) for point in ordered]),
    )
    limits = []
    if tolerance is not None and ordered[0].share == 0:
        limits = [y[0] - 100 * tolerance]
        figure.add_hline(
            y=limits[0],
            line={"color": NEUTRAL, "width": 1, "dash": "dot"},
            annotation={
                "text": f"new − {100 * tolerance:.4g} points",
                "font": {"size": 11, "color": ink(dark)},
                "showarrow": False,
            },
            annotation_position="bottom right",
        )
    if chosen is not None:
        figure.add_scatter(
            x=[100 * chosen.nfr],
            y=[100 * chosen.accuracy],
            mode="markers",
            marker={"size": 17, "color": "rgba(0,0,0,0)", "line": {"width": 3, "color": NEGATIVE}},
            hoverinfo="skip",
            cliponaxis=False,
        )
    labels = [_curve_label(point, chosen) for point in ordered]
    _axes(figure, x, [*y, *limits], dark)
    ends = figure.layout.xaxis.range
    path = list(zip(x, y, strict=True))
    return place_labels(figure, path, labels, [path, *[[(ends[0], limit), (ends[1], limit)] for limit in limits]], dark)


def pareto(
    points: Sequence[MethodPoint],
    *,
    reference: MethodPoint | None = None,
    floor: float | None = None,
    all_labels: bool = True,
    dark: bool = False,
) -> go.Figure:
    """Draw methods by mean NFR and accuracy, with one standard deviation each way and a line along the Pareto front.

    The front holds the methods that no other beats in one rate without losing in the other. All others are hollow.
    Without `points`, the figure is empty and says so.

    `reference` is the model that NFR is measured against, drawn as a line at its accuracy. `floor` is the NFR of
    retraining alone, drawn as a line. Without `all_labels`, a method off the front is labelled only where its label
    hides nothing.
    """
    figure = plain_layout(go.Figure(), HEIGHT, dark)
    if not points:
        return nothing(figure, "No methods to show")
    if reference is not None:
        _reference(figure, reference, dark)
    if floor is not None:
        _floor(figure, floor, dark)
    front = pareto_front(points)
    edge = sorted((points[i] for i in front), key=lambda point: point.nfr)
    _front(figure, edge)
    _methods(figure, points, front)
    spots = [(100 * point.nfr, 100 * point.accuracy) for point in points]
    bars = [bar for spot, point in zip(spots, points, strict=True) for bar in _bars(spot, point)]
    level = [100 * reference.accuracy] if reference is not None else []
    across = [100 * floor] if floor is not None else []
    _axes(figure, [*(x for bar in bars for x, _ in bar), *across], [*(y for bar in bars for _, y in bar), *level], dark)
    ends, heights = figure.layout.xaxis.range, figure.layout.yaxis.range
    lines = [*bars, _steps(edge), *([(ends[0], y), (ends[1], y)] for y in level)]
    lines += [[(x, heights[0]), (x, heights[1])] for x in across]
    labels = [f"<b>{_named(point)}</b>" if i in front else _named(point) for i, point in enumerate(points)]
    return place_labels(figure, spots, labels, lines, dark, all_shown=all_labels)


def _front(figure: go.Figure, edge: Sequence[MethodPoint]) -> None:
    figure.add_scatter(
        x=[100 * point.nfr for point in edge],
        y=[100 * point.accuracy for point in edge],
        mode="lines",
        # Draw steps, because no model between two methods could be deployed.
        line={"color": POSITIVE, "width": 2, "shape": "hv"},
        hoverinfo="skip",
        cliponaxis=False,
    )


def _steps(edge: Sequence[MethodPoint]) -> Line:
    """Return the corners of the line along the front."""
    corners = [(100 * point.nfr, 100 * before.accuracy) for before, point in itertools.pairwise(edge)]
    turns = [(100 * point.nfr, 100 * point.accuracy) for point in edge]
    return [turns[0], *[end for pair in zip(corners, turns[1:], strict=True) for end in pair]]


def _methods(figure: go.Figure, points: Sequence[MethodPoint], front: set[int]) -> None:
    for best, several in itertools.product((False, True), repeat=2):
        group = [p for i, p in enumerate(points) if (i in front) is best and _has_spread(p) is several]
        colour = POSITIVE if best else NEUTRAL
        figure.add_scatter(
            x=[100 * point.nfr for point in group],
            y=[100 * point.accuracy for point in group],
            mode="markers",
            customdata=[[point.key] for point in group],
            unselected={"marker": {"opacity": 0.6}},
            marker={
                "size": 11,
                "color": colour if best else "rgba(0,0,0,0)",
                "line": {"color": colour, "width": 2},
            },
            error_x=_error([point.nfr_std for point in group], colour) if several else None,
            error_y=_error([point.accuracy_std for point in group], colour) if several else None,
            cliponaxis=False,
            **_hover([_method_text(point, best) for point in group]),
        )


def _reference(figure: go.Figure, point: MethodPoint, dark: bool) -> None:
    figure.add_hline(
        y=100 * point.accuracy,
        line={"color": NEUTRAL, "width": 1, "dash": "dot"},
        annotation={"text": _named(point), "font": {"size": 12, "color": ink(dark)}, "showarrow": False},
        annotation_position="bottom right",
    )


def _floor(figure: go.Figure, rate: float, dark: bool) -> None:
    figure.add_vline(
        x=100 * rate,
        line={"color": NEUTRAL, "width": 1, "dash": "dash"},
        annotation={
            "text": f"retraining alone {percent(rate)}",
            "font": {"size": 12, "color": ink(dark)},
            "showarrow": False,
            "textangle": -90,
        },
        annotation_position="bottom right",
    )


def _has_spread(point: MethodPoint) -> bool:
    return point.accuracy_std is not None or point.nfr_std is not None


def _bars(spot: tuple[float, float], point: MethodPoint) -> list[Line]:
    """Return the two error bars of a method, each from end to end."""
    (x, y), wide, tall = spot, 100 * (point.nfr_std or 0), 100 * (point.accuracy_std or 0)
    return [[(x - wide, y), (x + wide, y)], [(x, y - tall), (x, y + tall)]]


def pareto_front(points: Sequence[MethodPoint]) -> set[int]:
    """Return the indices of the points that no other beats.

    A point beats another that it equals or betters in both rates, unless they are the same.
    """
    return {
        i
        for i, point in enumerate(points)
        if not any(
            other.nfr <= point.nfr
            and other.accuracy >= point.accuracy
            and (other.nfr, other.accuracy) != (point.nfr, point.accuracy)
            for other in points
        )
    }


def _named(point: MethodPoint) -> str:
    return escaped(short(point.label))


def _curve_label(point: CurvePoint, chosen: CurvePoint | None) -> str:
    name = {0.0: "new", 1.0: "old"}.get(point.share, f"{point.share:.4g}")
    if point == chosen:
        return f"<b>{name}, chosen</b>" if point.share in (0, 1) else f"<b>chosen: {name}</b>"
    return f"<b>{name}</b>" if point.share in (0, 1) else name


def _curve_text(point: CurvePoint) -> str:
    name = {0.0: " (new)", 1.0: " (old)"}.get(point.share, "")
    return f"<b>{point.share:.4g} of old{name}</b><br>accuracy {percent(point.accuracy)}<br>NFR {percent(point.nfr)}"


def _method_text(point: MethodPoint, best: bool) -> str:
    spread = [f" ± {percent(std)}" if std is not None else "" for std in (point.accuracy_std, point.nfr_std)]
    details = "".join(f"<br>{escaped(short(line, 80))}" for line in point.details)
    front = "<br>on the Pareto front" if best else ""
    return (
        f"<b>{escaped(short(point.label, 60))}</b><br>accuracy {percent(point.accuracy)}{spread[0]}"
        f"<br>NFR {percent(point.nfr)}{spread[1]}{details}{front}"
    )


def _hover(texts: list[str]) -> dict[str, Any]:
    return {"hovertext": texts, "hovertemplate": "%{hovertext}<extra></extra>"}


def _error(deviations: Sequence[float | None], colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "array": [100 * (deviation or 0) for deviation in deviations],
        "color": colour,
        "thickness": 1.2,
        "width": 4,
    }


def _axes(figure: go.Figure, x: Sequence[float], y: Sequence[float], dark: bool) -> None:
    """Set both axes in percent, with room for labels. NFR goes below 0 only by that room."""
    shared: dict[str, Any] = {
        "gridcolor": GRID,
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
        **axis_text(dark),
    }
    (low, high), (bottom, top) = _range(x), _range(y)
    low = max(low, -0.08 * high)
    figure.update_xaxes(
        **shared,
        **percent_ticks(high - low),
        range=[low, high],
        title={"text": "negative flip rate (lower is better)"},
    )
    figure.update_yaxes(
        **shared, **percent_ticks(top - bottom), range=[bottom, top], title={"text": "accuracy (higher is better)"}
    )
    figure.update_layout(margin={"l": 16, "r": 16, "t": 16, "b": 16})


def _range(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    room = 0.14 * (high - low) or 0.5
    return [low - room, high + room]
