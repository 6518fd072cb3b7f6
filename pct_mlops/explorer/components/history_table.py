"""Builds the table of the moves of production as HTML: who made each, when and why. Data is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pct_mlops.charts import MovePoint, count, percent, running
from pct_mlops.explorer.components.gallery import html_text
from pct_mlops.explorer.components.html_table import Column, html_table

if TYPE_CHECKING:
    from pct_mlops.registry import Move

COLUMNS = (
    Column("when", "6.2em"),
    Column("move", "8.8em"),
    Column("versions", "5em"),
    Column("NFR", "5em", "pct-number"),
    Column("flips so far", "6em", "pct-number"),
    Column("who", "7em"),
    Column("why"),
)
NONE = "–"


def history_table(moves: Sequence[Move], points: Sequence[MovePoint]) -> str:
    """Return an HTML table of the moves, the newest first. Both arguments hold one entry per move, the oldest first."""
    rows = [_row(*parts) for parts in zip(moves, points, running(points), strict=True)]
    return html_table(COLUMNS, reversed(rows), room="8px", classes="pct-stack")


def _row(move: Move, point: MovePoint, total: int) -> str:
    verdict = "" if point.kind == "rollback" else f"<br><small>{html_text(move.verdict)}</small>"
    return (
        f"<tr><td>{html_text(move.when[:10])}<br><small>{html_text(move.when[11:16])} UTC</small></td>"
        f'<td>{_MARKS[point.kind]} {point.kind}{verdict}</td><td data-label="versions">{html_text(point.title)}</td>'
        f'<td class="pct-number" data-label="NFR">{NONE if point.nfr is None else percent(point.nfr.value)}</td>'
        f'<td class="pct-number" data-label="flips so far">{count(total)}</td>'
        f'<td data-label="who">{html_text(move.who)}</td>'
        f'<td data-label="why">{html_text(move.reason) or NONE}</td></tr>'
    )


_MARKS = {"promotion": "●", "override": "◆", "rollback": "◀", "adopted": "■"}
