"""Draws where negative flips go: target class by the new model's wrong prediction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from pct_mlops.charts.palette import FLIP_SCALE, NEGATIVE, axis_text, ink_on_flips, nothing, plain_layout
from pct_mlops.charts.text import count, distinct, escaped, wrapped

if TYPE_CHECKING:
    from pct_mlops.comparison import FlipCell

CELL_HEIGHT = 26
TARGET, PREDICTION = 28, 24  # longest names on the two axes, in characters; predictions stand aslant
MAX_ANNOTATED = 20  # columns; with more, numbers do not fit their cells


def busiest(
    cells: Sequence[FlipCell], num_classes: int, limit: int = 30, wanted: Callable[[int], bool] | None = None
) -> tuple[list[int], list[int]]:
    """Choose the rows (targets) and columns (wrong predictions) to draw.

    Up to `limit` classes, these are all classes, unless `wanted` is given. Otherwise the rows are the `limit` targets
    with most flips among those that are `wanted`. The columns are each row's most frequent wrong prediction, and those
    that take most of these rows' flips, up to `limit` in all.

    Returns:
        Class indices of the rows and of the columns, in ascending order.
    """
    cells = [cell for cell in cells if wanted is None or wanted(cell.target)]
    if num_classes <= limit and wanted is None:
        return list(range(num_classes)), list(range(num_classes))
    rows = _largest(((cell.target, cell.count) for cell in cells), limit)
    drawn = set(rows)
    inside = sorted((cell for cell in cells if cell.target in drawn), key=lambda cell: -cell.count)
    # Keep each row's most frequent wrong prediction, so that no row is empty.
    firsts = {cell.target: cell.wrong for cell in reversed(inside)}.values()
    rest = ((cell.wrong, cell.count) for cell in inside if cell.wrong not in firsts)
    return rows, sorted({*firsts, *_largest(rest, limit - len(set(firsts)))})


def _largest(shares: Iterable[tuple[int, int]], limit: int) -> list[int]:
    """Return the `limit` classes with most flips, in ascending order. A share is (class index, flips)."""
    totals: Counter[int] = Counter()
    for index, flips in shares:
        totals[index] += flips
    return sorted(sorted(totals, key=lambda index: (-totals[index], index))[:limit])


def flip_matrix(
    cells: Sequence[FlipCell],
    rows: Sequence[int],
    columns: Sequence[int],
    class_names: Sequence[str],
    *,
    dark: bool = False,
) -> go.Figure:
    """Draw a heatmap of counts with a clickable marker on every cell that is not empty.

    Heatmaps report no selection, so each marker carries (target, wrong) as customdata. Cells outside `rows` and
    `columns` are left out. If there is nothing to draw, the figure is empty and says so.
    """
    figure = plain_layout(go.Figure(), 160 + CELL_HEIGHT * max(len(rows), 2), dark)
    place = {(target, wrong): (r, c) for r, target in enumerate(rows) for c, wrong in enumerate(columns)}
    shown = [cell for cell in cells if cell.count and (cell.target, cell.wrong) in place]
    if not shown:
        return nothing(figure, "No negative flips here")
    numbers = [[0] * len(columns) for _ in rows]
    for cell in shown:
        row, column = place[cell.target, cell.wrong]
        numbers[row][column] = cell.count
    top = max(cell.count for cell in shown)
    figure.add_heatmap(
        z=numbers,
        zmin=0,
        zmax=top,
        xgap=2,
        ygap=2,
        colorscale=[list(stop) for stop in FLIP_SCALE],
        showscale=False,
        hoverinfo="skip",
    )
    _markers(figure, shown, place, class_names)
    if len(columns) <= MAX_ANNOTATED:
        colours = [ink_on_flips(cell.count / top, dark) for cell in shown]
        figure.data[-1].update(mode="markers+text", text=[count(c.count) for c in shown], textfont_color=colours)
    _axes(figure, rows, columns, class_names, dark)
    return figure


def _markers(
    figure: go.Figure,
    shown: Sequence[FlipCell],
    place: dict[tuple[int, int], tuple[int, int]],
    class_names: Sequence[str],
) -> None:
    positions = [place[cell.target, cell.wrong] for cell in shown]
    figure.add_scatter(
        x=[column for _, column in positions],
        y=[row for row, _ in positions],
        mode="markers",
        customdata=[[cell.target, cell.wrong] for cell in shown],
        marker={"symbol": "square", "size": CELL_HEIGHT - 6, "color": NEGATIVE, "opacity": 0},
        selected={"marker": {"opacity": 0.5}},
        unselected={"marker": {"opacity": 0}},
        hovertext=[
            f"<b>{count(cell.count)}</b> of class <b>{wrapped(class_names[cell.target])}</b><br>"
            f"now predicted as <b>{wrapped(class_names[cell.wrong])}</b>"
            for cell in shown
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _axes(
    figure: go.Figure, rows: Sequence[int], columns: Sequence[int], class_names: Sequence[str], dark: bool
) -> None:
    shared: dict[str, Any] = {
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
        **axis_text(dark),
    }
    figure.update_xaxes(
        **shared,
        tickvals=list(range(len(columns))),
        ticktext=[escaped(name) for name in distinct([class_names[index] for index in columns], PREDICTION)],
        tickangle=-45 if len(columns) <= MAX_ANNOTATED else -90,
        range=[-0.5, len(columns) - 0.5],
        title={"text": "wrong prediction of the new model"},
    )
    figure.update_yaxes(
        **shared,
        tickvals=list(range(len(rows))),
        ticktext=[escaped(name) for name in distinct([class_names[index] for index in rows], TARGET)],
        range=[len(rows) - 0.5, -0.5],
        title={"text": "target class"},
    )
