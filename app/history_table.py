"""Who moved production when and why, as HTML that wraps; everything that comes from data is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.tiles import text
from pct_mlops.charts import MovePoint, count, percent, running

if TYPE_CHECKING:
    from pct_mlops.registry import Move

STYLE = """<style>
.pct-moves{width:100%;border-collapse:collapse;font-size:.88rem;table-layout:fixed}
.pct-moves th{font-weight:600;opacity:.7;font-size:.8rem;text-align:left}
.pct-moves th,.pct-moves td{padding:8px 8px;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent);
vertical-align:top;overflow-wrap:anywhere}
.pct-moves .pct-number{text-align:right;font-variant-numeric:tabular-nums}
.pct-moves small{opacity:.7}
</style>"""
_HEAD = (
    '<colgroup><col style="width:6.2em"><col style="width:8.8em"><col style="width:5em"><col style="width:5em">'
    '<col style="width:6em"><col style="width:7em"><col></colgroup>'
    '<tr><th>when</th><th>move</th><th>versions</th><th class="pct-number">NFR</th>'
    '<th class="pct-number">flips so far</th><th>who</th><th>why</th></tr>'
)
NONE = "–"


def history_table(moves: Sequence[Move], points: Sequence[MovePoint]) -> str:
    """Moves, given oldest first beside what they flipped, shown newest first."""
    rows = [_row(*parts) for parts in zip(moves, points, running(points), strict=True)]
    return f'{STYLE}<table class="pct-moves">{_HEAD}{"".join(reversed(rows))}</table>'


def _row(move: Move, point: MovePoint, total: int) -> str:
    verdict = "" if point.kind == "rollback" else f"<br><small>{text(move.verdict)}</small>"
    return (
        f"<tr><td>{text(move.when[:10])}<br><small>{text(move.when[11:16])} UTC</small></td>"
        f"<td>{_MARKS[point.kind]} {point.kind}{verdict}</td><td>{text(point.title)}</td>"
        f'<td class="pct-number">{NONE if point.nfr is None else percent(point.nfr.value)}</td>'
        f'<td class="pct-number">{count(total)}</td>'
        f"<td>{text(move.who)}</td><td>{text(move.reason) or NONE}</td></tr>"
    )


_MARKS = {"promotion": "●", "override": "◆", "rollback": "◀", "adopted": "■"}
