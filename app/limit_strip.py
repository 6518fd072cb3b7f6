"""A rule's limit and what was observed, on one line: allowed side, bounds, value and limit; HTML that wraps nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.tiles import text
from app.verdict import written
from pct_mlops.gate import limit_name

if TYPE_CHECKING:
    from app.dials import Dial
    from pct_mlops.config import Rule
    from pct_mlops.gate import Check

STYLE = """<style>
.pct-strip{position:relative;height:26px;margin:-14px 7px 0}
.pct-strip i{position:absolute;display:block;box-sizing:border-box}
.pct-strip .pct-axis{left:0;right:0;top:12px;height:2px;background:color-mix(in srgb,currentColor 22%,transparent)}
.pct-strip .pct-allowed{top:3px;height:20px;border-radius:4px;background:rgba(47,134,201,.26)}
.pct-strip .pct-bounds{top:10px;height:6px;border-radius:3px;background:color-mix(in srgb,currentColor 55%,transparent);
min-width:3px}
.pct-strip .pct-value{top:7px;width:12px;height:12px;margin-left:-6px;border-radius:50%;background:currentColor;
border:2px solid color-mix(in srgb,currentColor 15%,Canvas)}
.pct-strip .pct-limit{top:0;width:3px;height:26px;margin-left:-1.5px;background:#2F86C9;border-radius:1px}
</style>"""


@dataclass(frozen=True)
class Strip:
    """Numbers on an axis from `low` to `high`, None where undefined; with `at_most` the left side is allowed."""

    low: float
    high: float
    limit: float
    at_most: bool
    value: float | None
    lower: float | None
    upper: float | None
    says: str


def of_check(shown: Dial, rule: Rule, check: Check, limit: float) -> Strip:
    """A check below the slider of its rule: on the slider's axis, also where that counts in floors."""
    name = limit_name(rule)
    # One on the slider is this much of the metric.
    unit = check.limit / limit if name == "max_times_floor" and check.limit else 1.0

    def on_axis(value: float | None) -> float | None:
        return None if value is None else value / unit

    said = {key: written(check.metric, getattr(check, key)) for key in ("value", "lower", "upper", "limit")}
    return Strip(
        *shown.span,
        limit=limit,
        at_most=name != "min",
        value=on_axis(check.value),
        lower=on_axis(check.lower),
        upper=on_axis(check.upper),
        says=f"observed {said['value']}, bounds {said['lower']} to {said['upper']}, limit {said['limit']}",
    )


def strip(drawn: Strip) -> str:
    """The line as HTML; `says` is what a screen reader hears and a pointer shows."""

    def place(number: float) -> float:
        wide = drawn.high - drawn.low
        return 100 * min(max((number - drawn.low) / wide if wide else 0.5, 0.0), 1.0)

    limit = place(drawn.limit)
    left, right = (0.0, limit) if drawn.at_most else (limit, 100.0)
    parts = [f'<i class="pct-allowed" style="left:{left:.2f}%;width:{right - left:.2f}%"></i><i class="pct-axis"></i>']
    if drawn.lower is not None and drawn.upper is not None:
        start, end = place(drawn.lower), place(drawn.upper)
        parts.append(f'<i class="pct-bounds" style="left:{start:.2f}%;width:{end - start:.2f}%"></i>')
    if drawn.value is not None:
        parts.append(f'<i class="pct-value" style="left:{place(drawn.value):.2f}%"></i>')
    parts.append(f'<i class="pct-limit" style="left:{limit:.2f}%"></i>')
    says = text(drawn.says)
    return f'<div class="pct-strip" role="img" aria-label="{says}" title="{says}">{"".join(parts)}</div>'
