"""Formats rates and differences the same way in terminal, reports, charts and app."""

from __future__ import annotations

import contextlib
from decimal import Decimal, InvalidOperation
from typing import Any

UNDEFINED = "undefined"
# The slice of the examples that have no value in a column.
NO_VALUE = "(none)"


def percent(rate: float | None, digits: int = 2) -> str:
    """Format a fraction as percent. None becomes 'undefined', never 0."""
    return UNDEFINED if rate is None else f"{rate:.{digits}%}"


def number_of(number: int, what: str) -> str:
    """Return a number with what it counts in singular or plural: '1 example', '2,000 examples'."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def as_fraction(value: Any) -> Any:
    """Return a percentage such as '1.5%' as a fraction. Return any other value as it is."""
    if isinstance(value, str) and value.strip().endswith("%"):
        with contextlib.suppress(InvalidOperation):
            return float(Decimal(value.strip().removesuffix("%").strip()) / 100)
    return value


def probability(value: float) -> str:
    """Format a p-value with three decimals. A value below 0.001 is shown as p < 0.001."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def points(change: float | None, digits: int = 2) -> str:
    """Format a difference of two fractions as percentage points, with its sign. None becomes 'undefined'."""
    return UNDEFINED if change is None else f"{100 * change:+.{digits}f} points"
