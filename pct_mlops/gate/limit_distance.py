"""Measures how far a check is from its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.gate.decision import Verdict

if TYPE_CHECKING:
    from pct_mlops.gate.decision import Check


def distance(check: Check) -> float | None:
    """Return how far inside the limit a check is, in the metric's unit: negative outside, None if undefined.

    Measured from the bound that the rule names, or with `bound: point` from the observed value.
    """
    if check.limit is None:
        return None
    if check.bound == "point":
        if check.value is None:
            return None
        apart = abs(check.value - check.limit)
        return apart if check.verdict is Verdict.PASS else -apart
    if check.bound == "upper":
        return None if check.upper is None else check.limit - check.upper
    return None if check.lower is None else check.lower - check.limit


def is_at_most(check: Check) -> bool:
    """Tell whether the limit is a maximum.

    A check that was made elsewhere may not say that. With `bound: point` it then follows from the side on which the
    value lies and from whether the check passed. A value on the limit could be either, and counts as under a maximum.
    """
    if check.is_maximum is not None:
        return check.is_maximum
    if check.bound != "point":
        return check.bound == "upper"
    if check.value is None or check.limit is None or check.value == check.limit:
        return True
    return (check.value < check.limit) == (check.verdict is Verdict.PASS)
