"""Draws the observed value and bounds of a rule below the slider of its limit, on the same axis."""

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
    """Return the line as HTML. What lies beyond the range of the slider is drawn at its end.

    `limit` is the limit on the slider: of a rule with `max_times_floor`, a multiple of the floor.
    """
    name = limit_name(rule)
    # The value of the metric where the slider says 1.
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
