"""Draws sliders for the limits of a policy, works out their range and unit, and keeps them in the address."""

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

STEPS = 200  # places of a slider, about
MOST = 1e12  # the largest limit of a metric without a maximum: a slider cannot hold larger numbers
CONFIDENCES = (0.8, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999)


@dataclass(frozen=True)
class Dial:
    """A slider for one limit, in the unit that a person reads, for example percent.

    Attributes:
        key: Key of the widget, and of the address.
        own: Limit of the policy.
        span: Lowest and highest limit of the slider.
        scale: Factor from the limit to what the slider shows.
        digits: Digits behind the decimal point of what is shown.
        suffix: Unit of what is shown.
    """

    key: str
    own: float
    span: tuple[float, float]
    scale: float
    digits: int
    suffix: str

    @property
    def step(self) -> float:
        """Smallest move of the slider, in its unit."""
        return max(_nice(self.scale * (self.span[1] - self.span[0]) / STEPS), 10.0**-self.digits)

    def shown(self, limit: float) -> float:
        """Return a limit in the unit of the slider. A limit beyond its range becomes the end of the range."""
        return round(self.scale * min(max(limit, self.span[0]), self.span[1]), 6)

    def limit(self, shown: float) -> float:
        """Return the limit of a place of the slider: exactly the policy's own where it was not moved."""
        return self.own if math.isclose(shown, self.shown(self.own)) else round(shown / self.scale, 10)


def dial(key: str, rule: Rule, check: Check) -> Dial:
    """Build the slider of a rule. Its range holds the policy's own limit, the observed value and its bounds."""
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
    """Return the smallest of 1, 2 or 5 times a power of ten that is at least `value`."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1e-6
    return next((factor * power for factor in (1, 2, 5) if factor * power >= value * (1 - 1e-9)), 10 * power)


def _up(value: float, most: float | None = None) -> float:
    """Round `value` up to a multiple of about a tenth of it, but to no more than `most` (MOST if None)."""
    most = MOST if most is None else most
    if value >= most:
        return most
    step = _nice(value / 10)
    return min(round(math.ceil(value / step - 1e-9) * step, 10), most)


def slide(shown: Dial, label: str, hint: str) -> float:
    """Draw the slider and return its limit. The address keeps a limit that is not the policy's own."""
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
    """Draw a choice of usual confidences and the policy's own, and return the chosen one, from 0 to 1."""
    options = {f"{choice:g}": choice for choice in sorted({*CONFIDENCES, own})}
    selection.restore("confidence", options, f"{own:g}")
    chosen = st.select_slider(
        "Confidence",
        list(options),
        format_func=lambda text: f"{100 * options[text]:.4g}%",
        key="confidence",
        help="The confidence of each one-sided bound. More confidence makes bounds wider: fewer candidates pass, and "
        "more stay undecided.",
    )
    selection.remember(f"{own:g}", confidence=chosen)
    return options[chosen]
