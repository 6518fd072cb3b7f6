"""Writes the sentence of a check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.config.numbers import UNDEFINED, percent, points
from pct_mlops.gate.decision import Check, Verdict

if TYPE_CHECKING:
    from pct_mlops.config import Rule
    from pct_mlops.gate.scopes import Scope


def sentence(check: Check, rule: Rule, unit: str, *, scope: Scope, confidence: float, floor: float | None) -> str:
    """Say what was observed, what is allowed, and what follows."""
    subject = check.metric + scope.subject
    demand = f"{'at most' if rule.is_maximum else 'at least'} {value_text(check.limit, unit)}"
    if rule.max_times_floor is not None:
        demand += f" ({rule.max_times_floor:g} times the floor of {value_text(floor, unit)})"
    if rule.bound == "point":
        outside = "" if check.verdict is Verdict.PASS else ": outside"
        return f"{subject} is {_apart(check.value, check.limit, unit)}, and {demand} is allowed{outside}."
    # The bound that settled it: the one nearer to failing for a PASS, the one nearer to passing for a FAIL.
    upper = rule.is_maximum != (check.verdict is Verdict.FAIL)
    side, reached = ("upper", check.upper) if upper else ("lower", check.lower)
    at = f" at {100 * confidence:.4g}% confidence"
    if check.verdict is Verdict.FAIL and check.corrected_bound is not None:
        reached = check.corrected_bound
        at += ", corrected for the number of checks,"
    head = (
        f"{subject} is {value_text(check.value, unit)}, its {side} bound{at} "
        f"is {_apart(reached, check.limit, unit)}, and {demand} is allowed"
    )
    if check.verdict is Verdict.PASS:
        return f"{head}."
    if check.verdict is Verdict.FAIL:
        return f"{head}: outside even at its best."
    return f"{head}: {_undecided(check, scope)}."


def _undecided(check: Check, scope: Scope) -> str:
    looks_bad = "looks outside, but of so many checks one may by chance; " if check.corrected_bound is not None else ""
    if check.examples_needed is None:
        return f"{looks_bad}undecided, and the observed value is too close to the limit for any number of examples"
    more = f"about {check.examples_needed:,} {scope.examples} would decide at the same observed rate"
    return f"{looks_bad}undecided; {more}"


def value_text(value: float | None, unit: str, digits: int = 2) -> str:
    """Format a value in the metric's unit."""
    if unit == "share":
        return percent(value, digits)
    if unit == "signed share":
        return points(value, digits)
    return UNDEFINED if value is None else f"{value:.{digits + 2}g}"


def _apart(value: float | None, limit: float | None, unit: str) -> str:
    """Format the value with as many digits as it takes to look different from the limit."""
    for digits in (2, 4, 8):
        if value == limit or value_text(value, unit, digits) != value_text(limit, unit, digits):
            return value_text(value, unit, digits)
    return value_text(value, unit, 12)
