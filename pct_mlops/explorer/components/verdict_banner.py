"""Draws the gate's decision: a banner with colour, icon and word, and a table of checks with distances to limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pct_mlops.charts import count, number, percent, points
from pct_mlops.comparison import METRICS
from pct_mlops.explorer.components import limit_bar
from pct_mlops.explorer.components.gallery import html_text
from pct_mlops.explorer.components.html_table import Column, html_table
from pct_mlops.explorer.markup import plain
from pct_mlops.gate.limit_distance import distance, is_at_most
from pct_mlops.gate.rule_groups import RuleGroup, by_rule
from pct_mlops.gate.ruler import ruler

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
_STALE = "this says nothing about the version that the gate compares with now"
_WOULD = {
    "PASS": "would pass",
    "FAIL": "would fail",
    "INCONCLUSIVE": "would stay undecided",
    "ERROR": "could not be judged",
}
_MARKS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "ERROR": "!", "BOOTSTRAP": "–"}

SHOWN = 30  # rules in the table
REASONS = 3  # rules in the banner
WORST = 5  # checks that a rule with several unfolds

STYLE = """<style>
.pct-table.pct-rules{font-size:.9rem}
.pct-rules .pct-verdict{font-weight:600;font-size:.8rem;letter-spacing:.02em;white-space:nowrap}
.pct-rules .pct-room{font-size:.78rem;opacity:.85;font-variant-numeric:tabular-nums;margin-top:3px}
.pct-rules .pct-open>td{border-bottom:0;padding-bottom:2px}
.pct-rules .pct-more>td{padding:0 0 6px}
.pct-rules summary{cursor:pointer;padding:2px 10px 6px calc(9.2em + 10px);font-size:.85rem}
.pct-rules details .pct-rules{background:color-mix(in srgb,currentColor 4%,transparent)}
.pct-rules details .pct-rules tr:first-child{display:none}
@media(min-width:641px) and (max-width:900px){.pct-rules .pct-wide{display:none}.pct-rules col.pct-wide{width:0}}
@media(max-width:640px){.pct-rules summary{padding-left:0}.pct-rules>tbody>.pct-open{border-bottom:0}}
</style>"""
ROOM = "9px 10px"
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


def banner(verdict: str, sentence: str, source: str, reasons: Sequence[str] = (), *, is_stale: bool = False) -> None:
    """Draw the verdict with its sentence, a line for each of `reasons`, and `source`, which says who judged.

    With `is_stale` the gate would compare with another old version: no green, and no word on production.
    """
    box, icon = _BANNERS.get(verdict, _BANNERS["ERROR"])
    meaning = _STALE if is_stale else _MEANINGS.get(verdict, _MEANINGS["ERROR"])
    if is_stale and box is st.success:
        box, icon = st.info, ":material/history:"
    lines = [f"**{plain(verdict)}: {meaning}.** {plain(sentence)}", *map(plain, reasons), f":small[{plain(source)}]"]
    box("  \n".join(lines), icon=icon)


def what_if(verdict: str, sentence: str, reasons: Sequence[str] = ()) -> None:
    """Draw what the gate would say with the reader's limits, without colour, so that nobody takes it for a verdict."""
    lines = [
        f":material/science: **What if: with your limits it {would(verdict)}.** {plain(sentence)}",
        *map(plain, reasons),
        ":small[A trial, not a verdict. The gate judges by the policy.]",
    ]
    with st.container(border=True, key="what_if"):
        st.markdown("  \n".join(lines))


def would(verdict: str) -> str:
    """Return what a verdict would be with other limits, in words."""
    return _WOULD.get(verdict, _WOULD["ERROR"])


def reasons(decision: Decision) -> list[str]:
    """Return the sentences of the worst rules, and how many more there are. Return [] where the candidate passes."""
    against = [group for group in by_rule(decision.checks) if group.worst.verdict is decision.verdict]
    if decision.verdict in ("PASS", "BOOTSTRAP") or not against:
        return []
    more = [f"And {count(len(against) - REASONS)} more rules."] if len(against) > REASONS else []
    return [group.sentence for group in against[:REASONS]] + more


def rules_table(checks: Sequence[Check], unavailable: Collection[str] = ()) -> str:
    """Return an HTML table with a row for each rule: sentence, observed value, limit and distance to it.

    Rules on all examples come first. A rule that makes several checks, for example one for each class, is one row. It
    shows the worst of them and unfolds a few more. The tables on screen do not give the metrics in `unavailable`.
    """
    rows = (_rows(group, unavailable) for group in by_rule(checks)[:SHOWN])
    return limit_bar.STYLE + STYLE + html_table(COLUMNS, rows, room=ROOM, classes="pct-rules pct-stack")


def left_out(checks: Sequence[Check]) -> int:
    """Count the rules that the table does not show."""
    return max(len(by_rule(checks)) - SHOWN, 0)


def _rows(group: RuleGroup, unavailable: Collection[str]) -> str:
    if len(group.checks) == 1:
        return _row(group.worst, group.sentence, unavailable)
    first = _row(group.worst, f"{group.sentence}. The numbers are those of the worst, {group.name}.", unavailable)
    inner = html_table(
        [column._replace(title="") for column in COLUMNS],
        (_row(check, check.sentence, unavailable) for check in group.checks[:WORST]),
        room=ROOM,
        classes="pct-rules pct-stack",
    )
    shown = min(WORST, len(group.checks))
    label = f"The worst {count(shown)} of {count(len(group.checks))} {group.parts}"
    # The row above has the numbers of the worst check, and no line below it: both are one rule.
    return (
        first.replace("<tr>", '<tr class="pct-open">', 1) + f'<tr class="pct-more"><td colspan="{len(COLUMNS)}">'
        f"<details><summary>{label}</summary>{inner}</details></td></tr>"
    )


def _row(check: Check, sentence: str, unavailable: Collection[str]) -> str:
    value = "not available" if check.metric in unavailable else written(check.metric, check.value)
    return (
        f'<tr><td class="pct-verdict">{_MARKS[check.verdict]} {html_text(str(check.verdict))}</td>'
        f"<td>{html_text(sentence)}</td>"
        f'<td class="pct-number pct-wide" data-label="observed">{value}</td>'
        f'<td class="pct-number pct-wide" data-label="limit">{written(check.metric, check.limit)}</td>'
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


def badge(verdict: str, *, is_what_if: bool = False) -> str:
    """Return the verdict as a small Markdown label: coloured with its mark, or grey in words where it is a trial."""
    if is_what_if:
        return f":gray-badge[{would(verdict)}]"
    colour = {"PASS": "green", "BOOTSTRAP": "green", "INCONCLUSIVE": "orange"}.get(verdict, "red")
    return f":{colour}-badge[{_MARKS[verdict]} {verdict}]"
