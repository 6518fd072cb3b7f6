"""Draws where negative flips go as an HTML table: target class by wrong new prediction. Each cell is a link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pct_mlops.charts import count, printable
from pct_mlops.charts.text import distinct
from pct_mlops.explorer.components.chart_frame import chart_figure, chart_link
from pct_mlops.explorer.components.escaping import html_text

if TYPE_CHECKING:
    from pct_mlops.comparison import FlipCell

FAINTEST = 0.18  # opacity of the smallest number of flips
FULL = 0.805  # opacity from which black can be read on a cell, and below which the text of either theme can
STYLE = """
.pct-cells{overflow-x:auto}
.pct-cells table{--pct-first:11rem;border-collapse:separate;border-spacing:2px;table-layout:fixed;width:100%;
min-width:calc(var(--pct-first) + var(--pct-columns)*30px)}
.pct-cells thead th:first-child{width:var(--pct-first)}
@media(max-width:640px){.pct-cells table{--pct-first:7rem}}
.pct-cells th{font-weight:400;text-align:right;padding:0 6px 0 0;border:0}
.pct-cells th span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;display:block}
.pct-cells thead th{vertical-align:bottom;padding:0 0 4px}
.pct-cells thead th span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:11rem;margin:0 auto;
text-align:left}
.pct-cells thead th:first-child{font-size:.8rem;opacity:.8;padding:0 6px 4px 0;white-space:normal}
.pct-cells td{padding:0;border:0;height:26px;background:color-mix(in srgb,currentColor 3%,transparent)}
.pct-cells td a,.pct-cells td [role=img]{display:block;height:26px;line-height:26px;text-align:center;
border-radius:3px;font-size:.8rem;font-variant-numeric:tabular-nums}
.pct-cells td a:hover{outline:2px solid currentColor}
.pct-cells.pct-many td a{font-size:.68rem}
.pct-chart.pct-cells a.pct-full,.pct-chart.pct-cells a.pct-full:hover,.pct-chart.pct-cells a.pct-full:visited{
color:#000!important}
"""
NAME = 26  # longest name of a class, in characters
MANY = 20  # columns; with more, the numbers are smaller


def matrix_chart(
    cells: Sequence[FlipCell],
    rows: Sequence[int],
    columns: Sequence[int],
    titles: Sequence[str],
    href: Callable[[int, int], str],
) -> str:
    """Return a table of the numbers of negative flips. Cells outside `rows` and `columns` are left out.

    Args:
        cells: Numbers by target and wrong prediction.
        rows: Class indices of the targets.
        columns: Class indices of the wrong predictions.
        titles: Title of each class.
        href: Makes the address of a cell's examples from its target and its wrong prediction.
    """
    numbers = {(cell.target, cell.wrong): cell.count for cell in cells if cell.count}
    shown = {key: number for key, number in numbers.items() if key[0] in set(rows) and key[1] in set(columns)}
    if not shown:
        return chart_figure("No negative flips here.", "", style=STYLE, classes="pct-cells")
    top = max(shown.values())
    heads = "".join(_heads("col", columns, titles))
    lines = []
    for target, head in zip(rows, _heads("row", rows, titles), strict=True):
        found = "".join(
            f"<td>{_cell(shown.get((target, wrong), 0), top, titles[target], titles[wrong], href(target, wrong))}</td>"
            if (target, wrong) in shown
            else "<td></td>"
            for wrong in columns
        )
        lines.append(f"<tr>{head}{found}</tr>")
    (target, wrong), most = max(shown.items(), key=lambda item: item[1])
    message = (
        f"Most often {printable(titles[target])} becomes {printable(titles[wrong])}: "
        f"{count(most)} of {count(sum(numbers.values()))} negative flips."
    )
    body = (
        f'<table style="--pct-columns:{len(columns)}"><thead><tr>'
        f"<th>target class ↓<br>wrong prediction →</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )
    classes = "pct-cells pct-many" if len(columns) > MANY else "pct-cells"
    return chart_figure(message, body, style=STYLE, classes=classes)


def _heads(scope: str, classes: Sequence[int], titles: Sequence[str]) -> list[str]:
    """Return the head of each row or column. The whole title stands in its hint."""
    named = [titles[index] for index in classes]
    return [
        f'<th scope="{scope}" title="{html_text(whole)}"><span>{html_text(short)}</span></th>'
        for whole, short in zip(named, distinct(named, NAME), strict=True)
    ]


def _cell(number: int, top: int, target: str, wrong: str, href: str) -> str:
    opacity = FAINTEST + (1 - FAINTEST) * number / top
    says = f"{count(number)} of class {target} now predicted as {wrong}"
    full = "pct-full" if opacity > FULL else ""
    return chart_link(href, says, count(number), full, f"background:rgba(221,106,31,{opacity:.2f})")
