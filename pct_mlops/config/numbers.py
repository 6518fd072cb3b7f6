"""Rates and differences as people read them, the same in terminal, reports, charts and app."""

from __future__ import annotations

UNDEFINED = "undefined"
# The slice of the examples that have no value in a column.
NO_VALUE = "(none)"


def percent(rate: float | None, digits: int = 2) -> str:
    """A fraction as percent; None is 'undefined', never 0."""
    return UNDEFINED if rate is None else f"{rate:.{digits}%}"


def probability(value: float) -> str:
    """A p-value with three decimals; what is smaller still is said to be so."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def points(change: float | None, digits: int = 2) -> str:
    """A difference of two fractions in percentage points, with its sign."""
    return UNDEFINED if change is None else f"{100 * change:+.{digits}f} points"
