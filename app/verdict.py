"""The gate's decision: a banner (colour, icon and word) and a table of its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.markup import plain
from app.tiles import text
from pct_mlops.charts import number, percent, points
from pct_mlops.comparison import METRICS
from pct_mlops.gate.decision import WORST_FIRST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pct_mlops.gate import Check

# Verdict -> Streamlit's box (its colour) and icon.
_BANNERS: dict[str, tuple[Any, str]] = {
    "PASS": (st.success, ":material/check_circle:"),
    "BOOTSTRAP": (st.success, ":material/flag:"),
    "FAIL": (st.error, ":material/cancel:"),
    "INCONCLUSIVE": (st.warning, ":material/help:"),
    "ERROR": (st.error, ":material/report:"),
}
_MARKS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "ERROR": "!", "BOOTSTRAP": "–"}

SHOWN = 12  # checks

_STYLE = """<style>
.pct-rules{width:100%;border-collapse:collapse;font-size:.9rem;table-layout:fixed}
.pct-rules th{font-weight:600;opacity:.7;font-size:.8rem;text-align:left}
.pct-rules th,.pct-rules td{padding:9px 10px;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent);
vertical-align:top;overflow-wrap:anywhere}
.pct-rules .pct-number{text-align:right;font-variant-numeric:tabular-nums}
.pct-rules .pct-verdict{font-weight:600;font-size:.8rem;letter-spacing:.02em;white-space:nowrap}
</style>"""


def banner(verdict: str, sentence: str, source: str) -> None:
    """The verdict and why, in one line; `source` says who judged."""
    box, icon = _BANNERS.get(verdict, _BANNERS["ERROR"])
    box(f"**{plain(verdict)}** · {plain(sentence)}  \n{plain(source)}", icon=icon)


def rules_table(checks: Sequence[Check]) -> str:
    """Every check with its sentence, observed value and limit, as HTML; the worst first."""
    head = (
        '<colgroup><col style="width:10em"><col><col style="width:6.5em"><col style="width:6.5em"></colgroup>'
        "<tr><th>verdict</th><th>rule</th>"
        '<th class="pct-number">observed</th><th class="pct-number">limit</th></tr>'
    )
    rows = sorted(checks, key=lambda check: WORST_FIRST.index(check.verdict))
    return f'{_STYLE}<table class="pct-rules">{head}{"".join(_row(check) for check in rows[:SHOWN])}</table>'


def left_out(checks: Sequence[Check]) -> int:
    """How many checks the table does not show: a policy on classes may make a thousand."""
    return max(len(checks) - SHOWN, 0)


def _row(check: Check) -> str:
    return (
        f'<tr><td class="pct-verdict">{_MARKS[check.verdict]} {text(str(check.verdict))}</td>'
        f"<td>{text(check.sentence)}</td>"
        f'<td class="pct-number">{_number(check.metric, check.value)}</td>'
        f'<td class="pct-number">{_number(check.metric, check.limit)}</td></tr>'
    )


def _number(metric: str, value: float | None) -> str:
    known = METRICS.get(metric)
    if value is not None and known is not None and known.unit == "signed share":
        return points(value)
    return percent(value) if known is not None and known.unit == "share" else number(value)
