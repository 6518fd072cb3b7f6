"""Gathers the checks of a decision into one group a rule: a rule on classes may make a thousand checks."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pct_mlops.charts import count
from pct_mlops.gate.decision import WORST_FIRST
from pct_mlops.gate.limit_distance import distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pct_mlops.gate import Check, Decision

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
        place = "=".join(self.worst.slice) if self.worst.slice is not None else ""
        return " where ".join(part for part in (self.worst.class_name, place) if part)

    @property
    def sentence(self) -> str:
        """The reason for the verdict in one line: that of the check, or how many of several have which verdict."""
        if len(self.checks) == 1:
            return self.worst.sentence
        numbers = {verdict: sum(check.verdict is verdict for check in self.checks) for verdict in WORST_FIRST}
        said = [f"{count(number)} {_SAID[str(verdict)]}" for verdict, number in numbers.items() if number]
        first, _, word = said[0].partition(" ")
        said[0] = f"{first} of {count(len(self.checks))} {self.parts} {word}"
        sizes = [check.support for check in self.checks if check.support is not None]
        about = f" (about {count(round(statistics.median(sizes)))} examples each)" if sizes else ""
        return f"{self.worst.metric}: {', '.join(said)}{about}"


def by_rule(checks: Sequence[Check]) -> list[RuleGroup]:
    """Return a group for each rule. Rules on all examples come first, and among them the worst.

    Checks do not say which rule made them. What the checks of one rule share is taken for it.
    """
    found: dict[tuple[object, ...], list[Check]] = {}
    for check in checks:
        column = check.slice[0] if check.slice is not None else None
        key = (check.metric, check.on, check.bound, check.limit, check.class_name is not None, column)
        found.setdefault(key, []).append(check)
    groups = [RuleGroup(tuple(sorted(group, key=worst_check_first))) for group in found.values()]
    return sorted(groups, key=lambda group: (not group.is_global, worst_check_first(group.worst)))


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
    return _CHECKS.sub(f"{count(same)} of {count(len(groups))} rules", decision.sentence)
