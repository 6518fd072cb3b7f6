"""Places a value, its bounds and its limit on a short line that shows how far the value is from the limit."""

from __future__ import annotations

from typing import NamedTuple

_EDGE = 0.06  # share of the line that stays free on each side


class Ruler(NamedTuple):
    """Places from 0 (left) to 1. `start` and `end` are those of the bounds, or of the value if it has none."""

    start: float
    end: float
    value: float
    limit: float


def ruler(value: float | None, lower: float | None, upper: float | None, limit: float | None) -> Ruler | None:
    """Place all four on one scale that also holds zero. Return None if the value or the limit is undefined."""
    if value is None or limit is None:
        return None
    low, high = (value if bound is None else bound for bound in (lower, upper))
    least, most = min(value, low, limit, 0.0), max(value, high, limit, 0.0)
    width = (most - least) or 1.0

    def place(number: float) -> float:
        return _EDGE + (1 - 2 * _EDGE) * (number - least) / width

    return Ruler(place(low), place(high), place(value), place(limit))
