"""Sliders over the limits of a policy: their range and unit, and their place in the address."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.comparison import METRICS
from pct_mlops.config.metric_names import LIMITS
from pct_mlops.explorer.state import selection
from pct_mlops.gate import limit_name

if TYPE_CHECKING:
    from pct_mlops.config import Rule
    from pct_mlops.gate import Check

STEPS = 200  # about so many places of a slider
MOST = 1e12  # of a limit without end: more is no number that a slider can hold
CONFIDENCES = (0.8, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999)


@dataclass(frozen=True)
class Dial:
    """A slider for one limit, in the unit that a person reads: `scale` times the limit itself.

    `span` is the range as limits; `digits` are those behind the decimal point of what is shown.
    """

    key: str
    own: float
    span: tuple[float, float]
    scale: float
    digits: int
    suffix: str

    @property
    def step(self) -> float:
        """The smallest move that is worth showing."""
        return max(_nice(self.scale * (self.span[1] - self.span[0]) / STEPS), 10.0**-self.digits)

    def shown(self, limit: float) -> float:
        """A limit in the slider's unit; one beyond its range stands at its end."""
        return round(self.scale * min(max(limit, self.span[0]), self.span[1]), 6)

    def limit(self, shown: float) -> float:
        """What the slider says, as a limit; exactly the policy's own where it was not moved."""
        return self.own if math.isclose(shown, self.shown(self.own)) else round(shown / self.scale, 10)


def dial(key: str, rule: Rule, check: Check) -> Dial:
    """A slider that reaches from well inside to well outside of what was observed, and holds the policy's own limit."""
    name = limit_name(rule)
    own = getattr(rule, name)
    seen = [value for value in (check.value, check.lower, check.upper) if value is not None]
    unit = METRICS[rule.metric].unit if rule.metric in METRICS else ""
    if name == "max_times_floor":
        floor = check.limit / own if check.limit else math.inf
        reach = _up(max([2 * own, 0.1, *(1.3 * value / floor for value in seen)]))
        return Dial(key, own, (min(0.01, own), reach), 1.0, 2, " × floor")
    least, most = LIMITS.get(unit, (0.0, None))
    if unit == "signed share":
        reach = _up(1.3 * max([abs(own), 0.005, *map(abs, seen)]), most)
        return Dial(key, own, (-reach, reach), 100.0, 2, " points")
    reach = _up(1.3 * max([1.5 * own, 1e-4, *seen]), most)
    if unit == "share":
        low = max(0.0, 1 - _up(1.3 * max([1 - own, *(1 - value for value in seen)]))) if name == "min" else 0.0
        return Dial(key, own, (low, reach), 100.0, 2, "%")
    return Dial(key, own, (least, reach), 1.0, 3, "")


def _nice(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten that is at least `value`."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1e-6
    return next((factor * power for factor in (1, 2, 5) if factor * power >= value * (1 - 1e-9)), 10 * power)


def _up(value: float, most: float | None = None) -> float:
    """A round number that is at least `value`, in steps of a tenth of its size; at most `most`."""
    most = MOST if most is None else most
    if value >= most:
        return most
    step = _nice(value / 10)
    return min(round(math.ceil(value / step - 1e-9) * step, 10), most)


def slide(shown: Dial, label: str, hint: str) -> float:
    """Draw the slider; the limit that it stands on, which the address keeps when it is not the policy's own."""
    low, high = shown.shown(shown.span[0]), shown.shown(shown.span[1])
    selection.restore_float(shown.key, low, high, shown.shown(shown.own))
    value = st.slider(
        label,
        low,
        high,
        key=shown.key,
        step=shown.step,
        format=f"%.{shown.digits}f{shown.suffix.replace('%', '%%')}",
        help=hint,
    )
    limit = shown.limit(value)
    selection.remember(**{shown.key: None if limit == shown.own else f"{value:g}"})
    return limit


def slide_confidence(own: float) -> float:
    """A choice among usual confidences and the policy's own."""
    options = {f"{choice:g}": choice for choice in sorted({*CONFIDENCES, own})}
    selection.restore("confidence", options, f"{own:g}")
    chosen = st.select_slider(
        "Confidence",
        list(options),
        format_func=lambda text: f"{100 * options[text]:.4g}%",
        key="confidence",
        help="Of each one-sided bound. More confidence makes bounds wider, so fewer candidates pass and more stay "
        "undecided.",
    )
    selection.remember(f"{own:g}", confidence=chosen)
    return options[chosen]
