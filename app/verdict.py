"""The gate's decision: a banner (colour, icon and word) and a table of its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.markup import plain
from app.tiles import text
from pct_mlops.charts import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pct_mlops.gate import Check

# Verdict -> Streamlit's box (its colour), icon, what it means for the reader.
_BANNERS: dict[str, tuple[Any, str, str]] = {
    "PASS": (st.success, ":material/check_circle:", "every rule of the policy holds."),
    "BOOTSTRAP": (st.success, ":material/flag:", "there was no earlier model to compare with."),
    "FAIL": (st.error, ":material/cancel:", "at least one rule of the policy is broken."),
    "INCONCLUSIVE": (st.warning, ":material/help:", "there are too few examples to decide."),
    "ERROR": (st.error, ":material/report:", "the evidence is missing or unusable, so nothing may be promoted."),
}
_MARKS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "ERROR": "!", "BOOTSTRAP": "–"}

_STYLE = """<style>
.pct-rules{width:100%;border-collapse:collapse;font-size:.9rem;table-layout:fixed}
.pct-rules th{font-weight:600;opacity:.7;font-size:.8rem;text-align:left}
.pct-rules th,.pct-rules td{padding:9px 10px;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent);
vertical-align:top;overflow-wrap:anywhere}
.pct-rules .pct-number{text-align:right;font-variant-numeric:tabular-nums}
.pct-rules .pct-verdict{font-weight:600;font-size:.8rem;letter-spacing:.02em;white-space:nowrap}
</style>"""


def banner(verdict: str, source: str) -> None:
    """The verdict in one line; `source` says who judged."""
    box, icon, meaning = _BANNERS.get(verdict, _BANNERS["ERROR"])
    box(f"**{plain(verdict)}** — {meaning}  \n{plain(source)}", icon=icon)


def rules_table(checks: Sequence[Check]) -> str:
    """Every rule with its sentence, observed value and limit, as HTML."""
    head = (
        '<colgroup><col style="width:9.5em"><col><col style="width:6.5em"><col style="width:6.5em"></colgroup>'
        "<tr><th>verdict</th><th>rule</th>"
        '<th class="pct-number">observed</th><th class="pct-number">limit</th></tr>'
    )
    return f'{_STYLE}<table class="pct-rules">{head}{"".join(_row(check) for check in checks)}</table>'


def _row(check: Check) -> str:
    verdict = str(check.verdict)
    return (
        f'<tr><td class="pct-verdict">{_MARKS.get(verdict, "!")} {text(verdict)}</td>'
        f"<td>{text(check.sentence)}</td>"
        f'<td class="pct-number">{_number(check.value)}</td><td class="pct-number">{_number(check.limit)}</td></tr>'
    )


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.4f}"
