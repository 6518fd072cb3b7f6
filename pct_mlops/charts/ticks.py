"""Chooses the ticks of axes in percent: round steps, and the same number of decimals at every tick."""

from __future__ import annotations

import math
from typing import Any


def nice_step(span: float, most: int = 8) -> float:
    """Return a tick distance of 1, 2 or 5 times a power of ten that gives up to `most` ticks over `span`."""
    power: float = 10.0 ** math.floor(math.log10(span / most))
    return next(factor * power for factor in (1, 2, 5, 10) if span <= most * factor * power * (1 + 1e-9))


def share(value: float, step: float) -> str:
    """Format a fraction at a tick in percent, with the decimals that a tick distance of `step` (a fraction) needs."""
    return f"{value:.{_decimals(100 * step)}%}"


def fraction_ticks(span: float, most: int = 8) -> dict[str, Any]:
    """Return the tick settings of an axis over fractions that is `span` long."""
    step = nice_step(span, most)
    return {"dtick": step, "tickformat": f".{_decimals(100 * step)}%"}


def percent_ticks(span: float, most: int = 8) -> dict[str, Any]:
    """Return the tick settings of an axis over numbers in percent that is `span` long."""
    step = nice_step(span, most)
    return {"dtick": step, "tickformat": f".{_decimals(step)}f", "ticksuffix": "%"}


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))
