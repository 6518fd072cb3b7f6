"""Says which parts of a policy simulated candidates can try, and describes checks in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pct_mlops.comparison import Comparison
from pct_mlops.config.metric_names import METRIC_INFO
from pct_mlops.config.policy import Policy, ReviewRules
from pct_mlops.errors import ConfigError
from pct_mlops.gate.decision import Verdict
from pct_mlops.gate.scopes import Scope
from pct_mlops.gate.sentences import value_text

if TYPE_CHECKING:
    from pct_mlops.config import Rule
    from pct_mlops.gate.decision import Check


class CheckName(NamedTuple):
    """Rule number, metric, and what the check is about ("of 'cat'", or empty for all examples)."""

    rule: int
    metric: str
    about: str

    @property
    def short(self) -> str:
        """Name without the metric: "rule 3 of 'cat'"."""
        return f"rule {self.rule} {self.about}".strip()

    def __str__(self) -> str:
        return f"rule {self.rule} ({f'{self.metric} {self.about}'.strip()})"


@dataclass(frozen=True)
class TriedRules:
    """The part of a policy that simulated candidates are held against.

    Attributes:
        given: the whole policy.
        policy: a copy with these rules alone.
        numbers: number of each of its rules in the policy that was given, from 1.
        notes: sentences on what was left out.
        floor: NFR of plain retraining, for limits relative to it.
    """

    given: Policy
    policy: Policy
    numbers: tuple[int, ...]
    notes: tuple[str, ...]
    floor: float | None = None

    def title(self, number: int) -> str:
        """Return words for a rule: "rule 1 (nfr)"."""
        return f"rule {number} ({self.rule(number).metric})"

    def rule(self, number: int) -> Rule:
        """Return the rule of this number."""
        return self.policy.rules[self.numbers.index(number)]

    def check_name(self, check: Check) -> CheckName:
        """Return the name of a check of one of these rules."""
        scope = Scope(0, None, check.class_name, check.slice, check.on)
        for number, rule in zip(self.numbers, self.policy.rules, strict=True):
            same = rule.metric == check.metric and rule.limit(self.floor) == check.limit and rule.bound == check.bound
            if same and (rule.on or "all") == check.on and _may_judge(rule, check):
                return CheckName(number, check.metric, scope.subject.strip())
        return CheckName(0, check.metric, scope.subject.strip())

    def limit_text(self, number: int) -> str:
        """Return the limit of a rule as people read it."""
        rule = self.rule(number)
        return value_text(rule.limit(self.floor), METRIC_INFO[rule.metric].unit)


def tried_rules(policy: Policy, comparison: Comparison, floor: float | None) -> TriedRules:
    """Return the rules that simulated candidates can be held against, with a sentence on all else.

    Args:
        policy: the policy.
        comparison: of the old model with any simulated candidate.
        floor: NFR of plain retraining; None where it is not known.

    Raises:
        PctError: nothing is left.
    """
    kept, numbers, notes = [], [], []
    for number, rule in enumerate(policy.rules, start=1):
        reason = _left_out(rule, comparison, floor)
        if reason:
            notes.append(f"Rule {number} ({rule.metric}) is left out: {reason}.")
        else:
            kept.append(rule)
            numbers.append(number)
    if not kept:
        raise ConfigError(f"No rule of this policy can be tried on simulated candidates. {' '.join(notes)}")
    changes: dict[str, Any] = {"rules": tuple(kept), "pinned": None, "evidence": None, "reviews": ReviewRules()}
    notes += _beside_rules(policy)
    return TriedRules(policy, policy.model_copy(update=changes), tuple(numbers), tuple(notes), floor)


def _may_judge(rule: Rule, check: Check) -> bool:
    """Tell whether the rule judges the class and the slice of the check."""
    classes, place = rule.judged_classes, rule.slice
    if (classes is None) != (check.class_name is None) or (place is None) != (check.slice is None):
        return False
    if classes not in (None, "all") and check.class_name not in (classes or ()):
        return False
    return place is None or place.value is None or check.slice == (place.column, place.value)


def _left_out(rule: Rule, comparison: Comparison, floor: float | None) -> str:
    definition = comparison.metric(rule.metric)
    if rule.max_times_floor is not None and floor is None:
        return (
            f"its limit is {rule.max_times_floor:g} times the floor of plain retraining, which is not known for this "
            "table (measure it with 'pct floor' and name the version, or give it as --churn)"
        )
    if definition.costly or comparison.lacking(rule.metric):
        return "it depends on confidences, and a simulated candidate has none"
    if rule.on == "new":
        return "a simulated candidate knows the same classes as the old model"
    return ""


def _beside_rules(policy: Policy) -> list[str]:
    """Return a sentence on each part of the policy beside its rules."""
    notes = []
    if policy.reviews != ReviewRules():
        notes.append("Reviews are left out: every try is judged as if a reviewer had accepted it and marked nothing.")
    if policy.bootstrap is not None:
        notes.append("What a first version must reach (bootstrap) is left out: here a model is in use.")
    if policy.wanted_tie:
        notes.append("The demand on evidence is left out: simulated candidates have no weights.")
    if policy.aliases:
        notes.append("Aliases count for the old model's predictions; a simulated candidate adds no finer class.")
    if any(rule.slice is not None for rule in policy.rules):
        notes.append("Slices are simulated: each drawn example keeps the values of its columns.")
    if policy.class_costs is not None:
        notes.append("Costs are simulated: each flip costs what its target class costs.")
    return notes


def not_passed(checks: Sequence[Check]) -> list[Check]:
    """Return the checks that stand in the way of a PASS."""
    return [check for check in checks if check.verdict is not Verdict.PASS]
