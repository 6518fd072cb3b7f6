"""How far a check is from its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.gate.decision import Verdict

if TYPE_CHECKING:
    from pct_mlops.gate.decision import Check


def distance(check: Check) -> float | None:
    """From the number that has to be inside to the limit, in the metric's unit; negative outside, None if undefined.

    That number is the bound that the rule names, or with `bound: point` the observed value.
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
    """Whether the limit is one from above; of an observed value that is said by where it lies and whether it passed."""
    if check.bound != "point":
        return check.bound == "upper"
    if check.value is None or check.limit is None or check.value == check.limit:
        return True
    return (check.value < check.limit) == (check.verdict is Verdict.PASS)
