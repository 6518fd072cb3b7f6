"""The gate's decision: a banner (colour, icon and word), and its rules with how far each is from its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.markup import plain
from app.tiles import text
from pct_mlops.charts import Ruler, number, percent, points, ruler
from pct_mlops.comparison import METRICS
from pct_mlops.gate.decision import WORST_FIRST
from pct_mlops.gate.distance import distance, is_at_most

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
.pct-rules .pct-room{font-size:.78rem;opacity:.85;font-variant-numeric:tabular-nums;margin-top:3px}
.pct-line{position:relative;height:18px}
.pct-line i{position:absolute;display:block;box-sizing:border-box}
.pct-line .pct-axis{left:0;right:0;top:8px;height:2px;background:color-mix(in srgb,currentColor 20%,transparent)}
.pct-line .pct-allowed{top:1px;height:16px;border-radius:3px;background:rgba(47,134,201,.22)}
.pct-line .pct-bounds{top:6px;height:6px;border-radius:3px;background:color-mix(in srgb,currentColor 55%,transparent);
min-width:3px}
.pct-line .pct-value{top:4px;width:10px;height:10px;margin-left:-5px;border-radius:50%;background:currentColor}
.pct-line .pct-limit{top:0;width:3px;height:18px;margin-left:-1.5px;background:#2F86C9}
@media(max-width:900px){.pct-rules .pct-wide{display:none}.pct-rules col.pct-wide{width:0}}
</style>"""
KEY = (
    "Shaded: what the rule allows, up to its limit. Dot: observed. Bar: its bounds, which narrow as examples grow. "
    "A rule holds when the bar's end towards the limit is inside, and the distance is that end's."
)


def banner(verdict: str, sentence: str, source: str) -> None:
    """The verdict and why, in one line; `source` says who judged."""
    box, icon = _BANNERS.get(verdict, _BANNERS["ERROR"])
    box(f"**{plain(verdict)}** · {plain(sentence)}  \n{plain(source)}", icon=icon)


def rules_table(checks: Sequence[Check]) -> str:
    """Every check with its sentence, observed value and distance to its limit, as HTML; the worst first."""
    head = (
        '<colgroup><col style="width:9.2em"><col><col class="pct-wide" style="width:6.6em">'
        '<col class="pct-wide" style="width:6.6em"><col style="width:11.5em"></colgroup>'
        '<tr><th>verdict</th><th>rule</th><th class="pct-number pct-wide">observed</th>'
        '<th class="pct-number pct-wide">limit</th><th>room to the limit</th></tr>'
    )
    rows = sorted(checks, key=_closest_first)
    return f'{_STYLE}<table class="pct-rules">{head}{"".join(_row(check) for check in rows[:SHOWN])}</table>'


def _closest_first(check: Check) -> tuple[int, float]:
    """The worst verdict first, then what is closest to its limit, or farthest outside."""
    left = distance(check)
    return WORST_FIRST.index(check.verdict), float("-inf") if left is None else left


def left_out(checks: Sequence[Check]) -> int:
    """How many checks the table does not show: a policy on classes may make a thousand."""
    return max(len(checks) - SHOWN, 0)


def _row(check: Check) -> str:
    return (
        f'<tr><td class="pct-verdict">{_MARKS[check.verdict]} {text(str(check.verdict))}</td>'
        f"<td>{text(check.sentence)}</td>"
        f'<td class="pct-number pct-wide">{written(check.metric, check.value)}</td>'
        f'<td class="pct-number pct-wide">{written(check.metric, check.limit)}</td>'
        f"<td>{_distance(check)}</td></tr>"
    )


def _distance(check: Check) -> str:
    """The check on a line, and in words how far the number that decides is from the limit."""
    left, line = distance(check), ruler(check.value, check.lower, check.upper, check.limit)
    if left is None or line is None or check.metric not in METRICS:
        return ""
    drawn = _line(line, allowed_left=is_at_most(check))
    return f'{drawn}<div class="pct-room">{far(check.metric, left)}</div>'


def _line(line: Ruler, *, allowed_left: bool) -> str:
    start, _, value, limit = (f"{100 * place:.1f}%" for place in line)
    width = f"{100 * (line.end - line.start):.1f}%"
    side = f"left:0;width:{limit}" if allowed_left else f"left:{limit};right:0"
    return (
        f'<div class="pct-line" aria-hidden="true"><i class="pct-allowed" style="{side}"></i><i class="pct-axis"></i>'
        f'<i class="pct-bounds" style="left:{start};width:{width}"></i>'
        f'<i class="pct-value" style="left:{value}"></i><i class="pct-limit" style="left:{limit}"></i></div>'
    )


def far(metric: str, left: float) -> str:
    """How far inside a limit (`left` negative: outside) in the metric's unit, shares in points."""
    known = METRICS.get(metric)
    is_share = known is not None and known.unit in ("share", "signed share")
    size = points(abs(left)).lstrip("+") if is_share else number(abs(left))
    return f"{size} {'inside' if left >= 0 else 'outside'}"


def written(metric: str, value: float | None) -> str:
    """A metric's value in its unit, as everywhere."""
    known = METRICS.get(metric)
    if value is not None and known is not None and known.unit == "signed share":
        return points(value)
    if known is None:
        return "" if value is None else number(value)
    return percent(value) if known.unit == "share" else number(value)


def badge(verdict: str) -> str:
    """The verdict as a small coloured Markdown label with its mark."""
    colour = {"PASS": "green", "BOOTSTRAP": "green", "INCONCLUSIVE": "orange"}.get(verdict, "red")
    return f":{colour}-badge[{_MARKS[verdict]} {verdict}]"
