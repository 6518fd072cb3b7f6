"""Where a value, its bounds and its limit lie on a short line, so that one sees how far it is from the limit."""

from __future__ import annotations

from typing import NamedTuple

_EDGE = 0.06  # of the line stays free on both sides


class Ruler(NamedTuple):
    """Places from 0 (left) to 1; `start` and `end` are those of the bounds, or of the value where there are none."""

    start: float
    end: float
    value: float
    limit: float


def ruler(value: float | None, lower: float | None, upper: float | None, limit: float | None) -> Ruler | None:
    """All four on one scale that holds them and zero; None when the value or the limit is undefined."""
    if value is None or limit is None:
        return None
    low, high = (value if bound is None else bound for bound in (lower, upper))
    least, most = min(value, low, limit, 0.0), max(value, high, limit, 0.0)
    width = (most - least) or 1.0

    def place(number: float) -> float:
        return _EDGE + (1 - 2 * _EDGE) * (number - least) / width

    return Ruler(place(low), place(high), place(value), place(limit))
