"""Draws the gate's decision: a banner with colour, icon and word, and a table of checks with distances to limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pct_mlops.charts import count, number, percent, points, ruler
from pct_mlops.comparison import METRICS
from pct_mlops.explorer.components import limit_bar
from pct_mlops.explorer.components.gallery import html_text
from pct_mlops.explorer.components.html_table import Column, html_table
from pct_mlops.explorer.markup import plain
from pct_mlops.gate.decision import WORST_FIRST
from pct_mlops.gate.limit_distance import distance, is_at_most

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pct_mlops.gate import Check, Decision

# Verdict -> Streamlit's box (its colour) and icon.
_BANNERS: dict[str, tuple[Any, str]] = {
    "PASS": (st.success, ":material/check_circle:"),
    "BOOTSTRAP": (st.success, ":material/flag:"),
    "FAIL": (st.error, ":material/cancel:"),
    "INCONCLUSIVE": (st.warning, ":material/help:"),
    "ERROR": (st.error, ":material/report:"),
}
_MEANINGS = {
    "PASS": "it may go into production",
    "BOOTSTRAP": "it may go into production, as the first version",
    "FAIL": "it must not go into production",
    "INCONCLUSIVE": "not decided yet, so it must not go into production",
    "ERROR": "it could not be judged, so it must not go into production",
}
_MARKS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "ERROR": "!", "BOOTSTRAP": "–"}

SHOWN = 12  # checks in the table
REASONS = 3  # checks in the banner

STYLE = """<style>
.pct-table.pct-rules{font-size:.9rem}
.pct-rules .pct-verdict{font-weight:600;font-size:.8rem;letter-spacing:.02em;white-space:nowrap}
.pct-rules .pct-room{font-size:.78rem;opacity:.85;font-variant-numeric:tabular-nums;margin-top:3px}
@media(max-width:900px){.pct-rules .pct-wide{display:none}.pct-rules col.pct-wide{width:0}}
</style>"""
COLUMNS = (
    Column("verdict", "9.2em"),
    Column("rule"),
    Column("observed", "6.6em", "pct-number pct-wide"),
    Column("limit", "6.6em", "pct-number pct-wide"),
    Column("distance to the limit", "11.5em"),
)
KEY = (
    "Shaded: what the rule allows. Dot: the observed value. Bar: its bounds, which narrow with more examples. "
    "A rule judges one end of the bar, or the dot with `bound: point`. It passes when that lies in the shaded part. "
    "The distance to the limit is measured from there."
)


def banner(verdict: str, sentence: str, source: str, reasons: Sequence[str] = ()) -> None:
    """Draw the verdict with its sentence, a line for each of `reasons`, and `source`, which says who judged."""
    box, icon = _BANNERS.get(verdict, _BANNERS["ERROR"])
    meaning = _MEANINGS.get(verdict, _MEANINGS["ERROR"])
    lines = [f"**{plain(verdict)}: {meaning}.** {plain(sentence)}", *map(plain, reasons), f":small[{plain(source)}]"]
    box("  \n".join(lines), icon=icon)


def reasons(decision: Decision) -> list[str]:
    """Return the sentences of the worst checks, and how many more there are. Return [] where the candidate passes."""
    against = sorted((check for check in decision.checks if check.verdict is decision.verdict), key=_closest_first)
    if decision.verdict in ("PASS", "BOOTSTRAP") or not against:
        return []
    more = [f"And {count(len(against) - REASONS)} more."] if len(against) > REASONS else []
    return [check.sentence for check in against[:REASONS]] + more


def rules_table(checks: Sequence[Check], unavailable: Collection[str] = ()) -> str:
    """Return an HTML table of the SHOWN worst checks: sentence, observed value, limit and distance to it.

    The tables on screen do not give the metrics in `unavailable`.
    """
    rows = (_row(check, unavailable) for check in sorted(checks, key=_closest_first)[:SHOWN])
    return limit_bar.STYLE + STYLE + html_table(COLUMNS, rows, room="9px 10px", classes="pct-rules")


def _closest_first(check: Check) -> tuple[int, float]:
    """Return a sort key: the worst verdict first, then the farthest outside of a limit or the closest to it."""
    left = distance(check)
    return WORST_FIRST.index(check.verdict), float("-inf") if left is None else left


def left_out(checks: Sequence[Check]) -> int:
    """Count the checks that the table does not show. A policy on classes may make a thousand."""
    return max(len(checks) - SHOWN, 0)


def _row(check: Check, unavailable: Collection[str]) -> str:
    value = "not available" if check.metric in unavailable else written(check.metric, check.value)
    return (
        f'<tr><td class="pct-verdict">{_MARKS[check.verdict]} {html_text(str(check.verdict))}</td>'
        f"<td>{html_text(check.sentence)}</td>"
        f'<td class="pct-number pct-wide">{value}</td>'
        f'<td class="pct-number pct-wide">{written(check.metric, check.limit)}</td>'
        f"<td>{_distance(check)}</td></tr>"
    )


def _distance(check: Check) -> str:
    """Return the line of a check, and in words the distance from the deciding number to the limit."""
    left, places = distance(check), ruler(check.value, check.lower, check.upper, check.limit)
    if left is None or places is None or check.metric not in METRICS:
        return ""
    drawn = limit_bar.line(places.limit, places.value, (places.start, places.end), at_most=is_at_most(check))
    return f'{drawn}<div class="pct-room">{far(check.metric, left)}</div>'


def far(metric: str, left: float) -> str:
    """Return a distance to a limit in words, with shares in points. `left` is negative outside of the limit."""
    known = METRICS.get(metric)
    is_share = known is not None and known.unit in ("share", "signed share")
    size = points(abs(left)).lstrip("+") if is_share else number(abs(left))
    return f"{size} {'inside' if left >= 0 else 'outside'}"


def written(metric: str, value: float | None) -> str:
    """Return a metric's value as text in its unit, "" for an unknown metric without a value."""
    known = METRICS.get(metric)
    if value is not None and known is not None and known.unit == "signed share":
        return points(value)
    if known is None:
        return "" if value is None else number(value)
    return percent(value) if known.unit == "share" else number(value)


def badge(verdict: str) -> str:
    """Return the verdict as a small coloured Markdown label with its mark."""
    colour = {"PASS": "green", "BOOTSTRAP": "green", "INCONCLUSIVE": "orange"}.get(verdict, "red")
    return f":{colour}-badge[{_MARKS[verdict]} {verdict}]"
