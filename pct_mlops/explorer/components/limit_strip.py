"""What was observed of a rule, below the slider of its limit and on the slider's axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.explorer.components.limit_bar import line
from pct_mlops.explorer.components.verdict_banner import written
from pct_mlops.gate import limit_name

if TYPE_CHECKING:
    from pct_mlops.config import Rule
    from pct_mlops.explorer.components.limit_slider import Dial
    from pct_mlops.gate import Check


def strip(shown: Dial, rule: Rule, check: Check, limit: float) -> str:
    """The line as HTML, also where the slider counts in floors; what lies beyond the slider's end stands at it."""
    name = limit_name(rule)
    # One on the slider is this much of the metric.
    unit = check.limit / limit if name == "max_times_floor" and check.limit else 1.0
    low, high = shown.span

    def place(value: float) -> float:
        return min(max((value / unit - low) / (high - low), 0.0), 1.0)

    said = {key: written(check.metric, getattr(check, key)) for key in ("value", "lower", "upper", "limit")}
    bounds = [place(bound) for bound in (check.lower, check.upper) if bound is not None]
    return line(
        place(limit * unit),
        None if check.value is None else place(check.value),
        (bounds[0], bounds[1]) if len(bounds) == 2 else None,
        at_most=name != "min",
        says=f"observed {said['value']}, bounds {said['lower']} to {said['upper']}, limit {said['limit']}",
        classes="pct-slider",
    )
