"""One rule against one comparison: three zones, or an error. Nothing undefined ever passes.

A rule on classes is held against every class without a correction for their number: "all classes stay inside" is wrong
only when the worst class passes by luck (intersection-union test).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pct_mlops.config import PctError
from pct_mlops.config.numbers import UNDEFINED, percent, points
from pct_mlops.gate.decision import Check, NotJudged, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from pct_mlops.comparison import ClassCounts, Comparison, Estimate
    from pct_mlops.config import Rule

# Beyond a million times the present evidence nobody will collect more.
_MAX_SCALE = 1e6
_BISECTIONS = 16


def judge(rule: Rule, comparison: Comparison, confidence: float) -> tuple[list[Check], list[NotJudged]]:
    """The checks of one rule, and the classes that are too small for it."""
    try:
        metric = comparison.metric(rule.metric)
    except PctError as error:
        return [_error(rule, str(error))], []
    if metric.per_class:
        return _judge_classes(rule, metric.unit, comparison, confidence)
    total = comparison.counts.total
    if total < rule.min_support:
        return [_error(rule, f"{rule.metric} needs {rule.min_support:,} examples, and there are {total:,}.")], []
    return [_check(rule, metric.unit, comparison, confidence)], []


def _judge_classes(
    rule: Rule, unit: str, comparison: Comparison, confidence: float
) -> tuple[list[Check], list[NotJudged]]:
    checks, small = [], []
    for part in comparison.classes():
        if part.counts.total < rule.min_support:
            small.append(NotJudged(rule.metric, part.name, part.counts.total, rule.min_support))
        else:
            checks.append(_check(rule, unit, comparison, confidence, part))
    if not checks:
        checks = [_error(rule, f"No class has {rule.min_support:,} examples, so {rule.metric} judges nothing.")]
    return checks, small


def _check(rule: Rule, unit: str, comparison: Comparison, confidence: float, part: ClassCounts | None = None) -> Check:
    """The rule held against all examples, or against those of one class."""

    def at(scale: float) -> Estimate:
        return comparison.estimate(rule.metric, confidence, part.index if part else None, scale=scale)

    estimate = at(1.0)
    check = Check(
        metric=rule.metric,
        class_name=part.name if part else None,
        value=estimate.value,
        lower=estimate.lower,
        upper=estimate.upper,
        limit=_limit(rule),
        bound=str(rule.bound),
        verdict=Verdict.ERROR,
        sentence=_problem(rule, estimate) or "",
        support=(part.counts if part else comparison.counts).total,
    )
    if check.sentence:
        where = f"Class '{part.name}': " if part else ""
        return replace(check, sentence=where + check.sentence)
    check = replace(check, verdict=zone(rule, estimate))
    if check.verdict is Verdict.INCONCLUSIVE:
        scale = _deciding_scale(rule, at)
        check = replace(check, examples_needed=None if scale is None else _rounded_up((check.support or 0) * scale))
    return replace(check, sentence=_sentence(check, rule, unit, confidence))


def zone(rule: Rule, estimate: Estimate) -> Verdict:
    """PASS inside, FAIL when even the opposite bound is outside, INCONCLUSIVE between; a limit itself is inside."""
    if rule.max is not None:
        high, low = (estimate.value, estimate.value) if rule.bound == "point" else (estimate.upper, estimate.lower)
        inside, outside = _at_most(high, rule.max), _at_most(low, rule.max) is False
    else:
        low, high = (estimate.value, estimate.value) if rule.bound == "point" else (estimate.lower, estimate.upper)
        inside, outside = _at_least(low, rule.min), _at_least(high, rule.min) is False
    if inside:
        return Verdict.PASS
    return Verdict.FAIL if outside else Verdict.INCONCLUSIVE


def _at_most(value: float | None, limit: float | None) -> bool | None:
    return None if value is None or limit is None else value <= limit


def _at_least(value: float | None, limit: float | None) -> bool | None:
    return None if value is None or limit is None else value >= limit


def _limit(rule: Rule) -> float | None:
    return rule.min if rule.max is None else rule.max


def _problem(rule: Rule, estimate: Estimate) -> str | None:
    """Why this estimate cannot be judged, or None."""
    used = (estimate.value,) if rule.bound == "point" else (estimate.value, estimate.lower, estimate.upper)
    if estimate.value is None:
        return f"{rule.metric} is undefined here (nothing to divide by), so it cannot be judged."
    if None in used:
        return f"{rule.metric} has no confidence bounds: use 'bound: point'."
    if not all(number is not None and math.isfinite(number) for number in (*used, _limit(rule))):
        return f"{rule.metric}, its bounds or its limit is not a number, so it cannot be judged."
    return None


def _deciding_scale(rule: Rule, at: Callable[[float], Estimate]) -> float | None:
    """How many times the evidence it takes, at the same observed rates, until the bounds decide.

    Bounds close in on the observed value as examples grow, so the smallest deciding scale is found by bisection of its
    logarithm. None when the observed value lies (almost) on the limit.
    """
    if zone(rule, at(_MAX_SCALE)) is Verdict.INCONCLUSIVE:
        return None
    low, high = 0.0, math.log(_MAX_SCALE)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if zone(rule, at(math.exp(middle))) is Verdict.INCONCLUSIVE:
            low = middle
        else:
            high = middle
    return math.exp(high)


def _rounded_up(number: float) -> int:
    """Two significant digits: more would pretend to know the rate."""
    unit = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return math.ceil(number / unit) * unit


def _sentence(check: Check, rule: Rule, unit: str, confidence: float) -> str:
    subject = check.metric if check.class_name is None else f"{check.metric} of '{check.class_name}'"
    demand = f"{'at most' if rule.max is not None else 'at least'} {_text(check.limit, unit)}"
    if rule.bound == "point":
        outside = "" if check.verdict is Verdict.PASS else ": outside"
        return f"{subject} is {_apart(check.value, check.limit, unit)}, and {demand} is allowed{outside}."
    # The bound that settled it: the cautious one for a pass, the generous one for a failure.
    upper = (rule.max is not None) == (check.verdict is not Verdict.FAIL)
    side, reached = ("upper", check.upper) if upper else ("lower", check.lower)
    head = (
        f"{subject} is {_text(check.value, unit)}, its {side} bound at {100 * confidence:.4g}% confidence "
        f"is {_apart(reached, check.limit, unit)}, and {demand} is allowed"
    )
    if check.verdict is Verdict.PASS:
        return f"{head}."
    if check.verdict is Verdict.FAIL:
        return f"{head}: outside even at its best."
    if check.examples_needed is None:
        return f"{head}: undecided, and the observed value is too close to the limit for any number of examples."
    examples = "examples" if check.class_name is None else "examples of this class"
    return f"{head}: undecided; about {check.examples_needed:,} {examples} would decide at the same observed rate."


def _text(value: float | None, unit: str, digits: int = 2) -> str:
    if unit == "share":
        return percent(value, digits)
    if unit == "signed share":
        return points(value, digits)
    return UNDEFINED if value is None else f"{value:.{digits + 2}g}"


def _apart(value: float | None, limit: float | None, unit: str) -> str:
    """The value with as many digits as it takes to look different from the limit."""
    for digits in (2, 4, 8):
        if value == limit or _text(value, unit, digits) != _text(limit, unit, digits):
            return _text(value, unit, digits)
    return _text(value, unit, 12)


def _error(rule: Rule, sentence: str) -> Check:
    """A check that could not even be started."""
    return Check(rule.metric, None, None, None, None, _limit(rule), str(rule.bound), Verdict.ERROR, sentence)
