"""Checks one rule against one comparison: PASS, FAIL, INCONCLUSIVE or ERROR. Nothing undefined ever passes.

A rule on classes or slices is held against each of them. A PASS of all of them needs no correction for their number:
"all stay inside" is wrong only when the worst one passes by chance (intersection-union test, Berger 1982). A FAIL of
one of them does need it, because among many that are fine some look bad by chance. So a FAIL must hold at the
confidence of Holm's procedure (Holm 1979).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import ConfigError, PctError
from pct_mlops.gate.decision import Check, NotJudged, Verdict
from pct_mlops.gate.scopes import Scope, scopes, too_small
from pct_mlops.gate.sentences import sentence

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison, Estimate
    from pct_mlops.config import Rule

# Nobody collects more than a million times the present evidence.
_MAX_SCALE = 1e6
_BISECTIONS = 16


def check_rule(
    rule: Rule, comparison: Comparison, confidence: float, floor: float | None = None
) -> tuple[list[Check], list[NotJudged]]:
    """Return the checks of one rule, and the classes and slices that are too small for it.

    A rule that cannot be applied gives one check with the verdict ERROR, not an exception.

    Args:
        rule: the rule.
        comparison: of baseline (old) and candidate (new).
        confidence: of every one-sided bound.
        floor: NFR of plain retraining; None where it was not measured.
    """
    limit = rule.limit(floor)
    try:
        unit = comparison.metric(rule.metric).unit
        if limit is None or (rule.max_times_floor is not None and not 0 <= limit < 1):
            raise ConfigError(_no_floor(rule, floor))
        large, small = scopes(rule, comparison)
        check_of = _RuleCheck(rule, limit, comparison, confidence)
        checks = [check_of.observe(scope) for scope in large]
    except PctError as error:
        return [failed_check(rule.metric, error, limit, rule)], too_small(error)
    confirmed, level = check_of.confirm([(scope, check) for scope, check in zip(large, checks, strict=True)])
    judged = [
        check_of.conclude(scope, check, confirmed.get(index, level), index in confirmed)
        for index, (scope, check) in enumerate(zip(large, checks, strict=True))
    ]
    return [
        replace(
            check,
            sentence=check.sentence or sentence(check, rule, unit, scope=scope, confidence=confidence, floor=floor),
        )
        for scope, check in zip(large, judged, strict=True)
    ], small


def failed_check(metric: str, error: PctError, limit: float | None = None, rule: Rule | None = None) -> Check:
    """Return the ERROR check of a rule that could not be applied."""
    bound = str(rule.bound) if rule else "point"
    check = Check(metric, None, None, None, None, limit, bound, Verdict.ERROR, str(error), error_code=error.code)
    return replace(check, on=rule.on) if rule is not None and rule.on is not None else check


@dataclass(frozen=True)
class _RuleCheck:
    """A rule with its limit as a number, and the comparison that gives its estimates."""

    rule: Rule
    limit: float
    comparison: Comparison
    confidence: float

    def estimate(self, scope: Scope, confidence: float, scale: float = 1.0) -> Estimate:
        # Only what the scope narrows is passed: a comparison of other programs may know no slices and no parts.
        place: dict[str, Any] = {} if scope.slice is None else {"slice": scope.slice}
        if scope.on != "all":
            place["on"] = scope.on
        return self.comparison.estimate(self.rule.metric, confidence, scope.class_index, scale=scale, **place)

    def observe(self, scope: Scope) -> Check:
        """Return the check with the verdict that it would have alone. Only an ERROR has its sentence already."""
        estimate = self.estimate(scope, self.confidence)
        lacking = self.comparison.lacking(self.rule.metric)
        problem = f"is not available: {lacking}." if lacking else _problem(self.rule, estimate, self.limit)
        return Check(
            metric=self.rule.metric,
            class_name=scope.class_name,
            value=estimate.value,
            lower=estimate.lower,
            upper=estimate.upper,
            limit=self.limit,
            bound=str(self.rule.bound),
            verdict=Verdict.ERROR if problem else self.zone(estimate),
            sentence=f"{self.rule.metric}{scope.subject} {problem}" if problem else "",
            support=scope.support,
            slice=scope.slice,
            on=scope.on,
            is_maximum=self.rule.is_maximum,
        )

    def zone(self, estimate: Estimate) -> Verdict:
        """Return PASS if inside, FAIL if even the opposite bound is outside, else INCONCLUSIVE.

        A value on the limit is inside.
        """
        if self.inside(estimate):
            return Verdict.PASS
        return Verdict.FAIL if self.outside(estimate) else Verdict.INCONCLUSIVE

    def inside(self, estimate: Estimate) -> bool:
        """Tell whether the bound nearer to failing is inside the limit. An unknown bound is not."""
        cautious = estimate.upper if self.rule.is_maximum else estimate.lower
        return self._within(estimate.value if self.rule.bound == "point" else cautious) is True

    def outside(self, estimate: Estimate) -> bool:
        """Tell whether even the bound nearer to passing is outside the limit. An unknown bound is not."""
        generous = estimate.lower if self.rule.is_maximum else estimate.upper
        return self._within(estimate.value if self.rule.bound == "point" else generous) is False

    def confirm(self, checks: list[tuple[Scope, Check]]) -> tuple[dict[int, float], float]:
        """Return the FAILs that stand after Holm's correction, and the confidence that the next one would need.

        The FAILs map the place of a check to the confidence at which it stands. Holm's step-down: with m checks, of
        which r are confirmed so far, the next must hold at the confidence 1 - alpha / (m - r). A bound outside the
        limit at that confidence is the same as a p-value below alpha / (m - r).
        """
        confirmed: dict[int, float] = {}
        open_ = [index for index, (_, check) in enumerate(checks) if check.verdict is Verdict.FAIL]
        if self.rule.bound == "point":
            return dict.fromkeys(open_, self.confidence), self.confidence
        while True:
            level = self._level(len(checks) - len(confirmed))
            found = [index for index in open_ if self.outside(self.estimate(checks[index][0], level))]
            if not found:
                return confirmed, level
            confirmed.update(dict.fromkeys(found, level))
            open_ = [index for index in open_ if index not in confirmed]

    def _level(self, remaining: int) -> float:
        return self.confidence if remaining <= 1 else 1 - (1 - self.confidence) / remaining

    def conclude(self, scope: Scope, check: Check, level: float, is_confirmed: bool) -> Check:
        """Return the check with its final verdict. `level` is the confidence that a FAIL needs."""
        if check.verdict in (Verdict.PASS, Verdict.ERROR):
            return check
        corrected = self.estimate(scope, level) if level > self.confidence else None
        generous = None if corrected is None else corrected.lower if self.rule.is_maximum else corrected.upper
        if is_confirmed:
            return replace(check, corrected_bound=generous)
        looks_bad = check.verdict is Verdict.FAIL
        scale = self._deciding_scale(scope, level)
        return replace(
            check,
            verdict=Verdict.INCONCLUSIVE,
            corrected_bound=generous if looks_bad else None,
            examples_needed=None if scale is None else _rounded_up((check.support or 0) * scale),
        )

    def _within(self, number: float | None) -> bool | None:
        if number is None or math.isnan(number):
            return None
        return number <= self.limit if self.rule.is_maximum else number >= self.limit

    def _deciding_scale(self, scope: Scope, level: float) -> float | None:
        """Return by which factor the examples must grow, at the same observed rates, until the bounds decide.

        Bounds close in on the observed value as examples grow, so the smallest deciding factor is found by bisection of
        its logarithm. Return None when even the largest factor does not decide: the value lies (almost) on the limit.
        """
        if self._within(self.estimate(scope, self.confidence).value):
            confidence, decides = self.confidence, self.inside
        else:
            confidence, decides = level, self.outside
        if not decides(self.estimate(scope, confidence, _MAX_SCALE)):
            return None
        low, high = 0.0, math.log(_MAX_SCALE)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            if decides(self.estimate(scope, confidence, math.exp(middle))):
                high = middle
            else:
                low = middle
        return math.exp(high)


def _problem(rule: Rule, estimate: Estimate, limit: float) -> str | None:
    """Return why this estimate cannot be judged, or None."""
    used = (estimate.value,) if rule.bound == "point" else (estimate.value, estimate.lower, estimate.upper)
    if estimate.value is None:
        return "is undefined here (nothing to divide by, or an input that the tables lack), so it cannot be judged."
    if None in used:
        return "has no confidence bounds: use 'bound: point'."
    if not all(number is not None and math.isfinite(number) for number in (*used, limit)):
        return "is not a number, or its bounds or its limit are not, so it cannot be judged."
    return None


def _no_floor(rule: Rule, floor: float | None) -> str:
    if rule.max_times_floor is None:
        return f"The rule on {rule.metric} has no limit: give it one."
    if floor is None:
        return (
            f"{rule.metric} is limited to {rule.max_times_floor:g} times the floor of plain retraining, which was not "
            "measured on these examples: measure it with 'pct floor'."
        )
    times = f"{rule.max_times_floor:g} times the floor of {floor:.2%}"
    return f"{times} limits nothing: give {rule.metric} a limit below 100%."


def _rounded_up(number: float) -> int:
    """Round up to two significant digits: more would pretend that the rate is known exactly."""
    unit = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return math.ceil(number / unit) * unit
