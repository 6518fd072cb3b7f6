"""Groups the checks of a decision by rule: a rule on classes may make a thousand checks."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pct_mlops.config.metric_names import METRIC_INFO
from pct_mlops.config.numbers import number_of
from pct_mlops.gate.decision import WORST_FIRST, Verdict, part_name
from pct_mlops.gate.limit_distance import distance, is_at_most
from pct_mlops.gate.sentences import value_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pct_mlops.gate.decision import Check, Decision

_CHECKS = re.compile(r"[\d,]+ of [\d,]+ checks")
_SAID = {"ERROR": "not judged", "FAIL": "failed", "INCONCLUSIVE": "undecided", "PASS": "passed"}


@dataclass(frozen=True)
class RuleGroup:
    """The checks of one rule, the worst first. There is at least one."""

    checks: tuple[Check, ...]

    @property
    def worst(self) -> Check:
        """The check that decides the rule."""
        return self.checks[0]

    @property
    def is_global(self) -> bool:
        """True where the rule is about all examples."""
        return self.worst.class_name is None and self.worst.slice is None

    @property
    def parts(self) -> str:
        """Parts that the checks are about, in the plural."""
        if self.is_global:
            return "checks"
        if self.worst.class_name is None:
            return "slices"
        return "classes" if self.worst.slice is None else "classes of slices"

    @property
    def name(self) -> str:
        """Part that the worst check is about: a class, a slice or both."""
        return part_name(self.worst)

    @property
    def demand(self) -> str:
        """Words for what the rule allows. Empty where it has no limit."""
        if self.worst.limit is None:
            return ""
        return (
            f"{'at most' if is_at_most(self.worst) else 'at least'} {_value(self.worst, self.worst.limit)} is allowed"
        )

    @property
    def sentence(self) -> str:
        """The reason for the verdict in one line: that of the check, or how many of several have which verdict."""
        if len(self.checks) == 1:
            return self.worst.sentence
        numbers = {verdict: sum(check.verdict is verdict for check in self.checks) for verdict in WORST_FIRST}
        said = [f"{number:,} {_SAID[str(verdict)]}" for verdict, number in numbers.items() if number]
        first, _, word = said[0].partition(" ")
        said[0] = f"{first} of {len(self.checks):,} {self.parts} {word}"
        sizes = [check.support for check in self.checks if check.support is not None]
        about = f" (about {round(statistics.median(sizes)):,} examples each)" if sizes else ""
        return f"{self.worst.metric}: {', '.join(said)}{about}"

    @property
    def full_sentence(self) -> str:
        """The same with what the rule allows, where it makes several checks."""
        if len(self.checks) == 1:
            return self.sentence
        return f"{self.sentence}{f'; {self.demand}' if self.demand else ''}."

    @property
    def listed(self) -> tuple[Check, ...]:
        """Checks to list below the sentence: none for one, all that do not pass, or where all do the closest one."""
        if len(self.checks) == 1:
            return ()
        return tuple(check for check in self.checks if check.verdict is not Verdict.PASS) or (self.worst,)


def by_rule(checks: Sequence[Check]) -> list[RuleGroup]:
    """Return a group for each rule. Rules on all examples come first, and among them the worst.

    Where checks do not say which rule made them, what the checks of one rule share is taken for it.
    """
    found: dict[object, list[Check]] = {}
    for check in checks:
        column = check.slice[0] if check.slice is not None else None
        shared = (check.metric, check.on, check.bound, check.limit, check.class_name is not None, column)
        found.setdefault(shared if check.rule is None else check.rule, []).append(check)
    groups = [RuleGroup(tuple(sorted(group, key=worst_check_first))) for group in found.values()]
    return sorted(groups, key=lambda group: (not group.is_global, worst_check_first(group.worst)))


def part_sentence(check: Check) -> str:
    """Return what was observed on one of several parts. The demand is that of its rule, and stands there."""
    if check.verdict is Verdict.ERROR or check.value is None:
        return check.sentence
    support = "" if check.support is None else f" ({number_of(check.support, 'example')})"
    said = f"{part_name(check)}{support}: {_value(check, check.value)}"
    if check.bound == "point":
        return said
    # The bound that settles it: the one nearer to failing, and for a FAIL the one nearer to passing.
    upper = (check.bound == "upper") != (check.verdict is Verdict.FAIL)
    reached = check.upper if upper else check.lower
    if check.verdict is Verdict.FAIL and check.corrected_bound is not None:
        reached = check.corrected_bound
    said += f", {'at most' if upper else 'at least'} {_value(check, reached)}"
    needed = check.examples_needed
    return said if needed is None else f"{said}; about {needed:,} would decide"


def _value(check: Check, value: float | None) -> str:
    info = METRIC_INFO.get(check.metric)
    return value_text(value, info.unit if info is not None else "number")


def worst_check_first(check: Check) -> tuple[int, float]:
    """Return a sort key: the worst verdict first, then the farthest outside of a limit or the closest to it."""
    left = distance(check)
    return WORST_FIRST.index(check.verdict), float("-inf") if left is None else left


def rules_sentence(decision: Decision) -> str:
    """Return the sentence of the decision with its number of checks given as one of rules, where rules make several."""
    groups = by_rule(decision.checks)
    if len(groups) == len(decision.checks):
        return decision.sentence
    same = sum(group.worst.verdict is decision.verdict for group in groups)
    return _CHECKS.sub(f"{same:,} of {len(groups):,} rules", decision.sentence)
