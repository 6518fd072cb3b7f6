"""Chooses the kinds of candidate that a policy is tried on: as good as the old model, and around each rule's limit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pct_mlops.config.numbers import percent, points
from pct_mlops.errors import ConfigError
from pct_mlops.gate.decision import Check, Verdict
from pct_mlops.gate.explain import CHURN
from pct_mlops.gate.rules import check_rule

if TYPE_CHECKING:
    from pct_mlops.comparison.simulated import Population
    from pct_mlops.config import Rule
    from pct_mlops.gate.trial_rules import TriedRules

EQUAL = "as good as the old model"
# These fall along a path of worse accuracy. Every other metric is followed along a path of more flips.
_ACCURACIES = ("accuracy_change", "accuracy_new")
_FACTORS = {0.5: "half its limit", 1.0: "on its limit", 1.5: "1.5 times its limit"}
# Where the limit is no change at all, multiples of it are the same: candidates this much better and worse are tried.
_STEP = 0.005
_BISECTIONS = 40


@dataclass(frozen=True)
class CandidateKind:
    """Candidates with one true NFR and one true change of accuracy, as fractions.

    `on_limits` are the numbers of the rules on whose limit they lie.
    """

    title: str
    nfr: float
    accuracy_change: float
    on_limits: tuple[int, ...] = ()


def chosen_kinds(nfr: Sequence[float], accuracy_change: Sequence[float], churn: float) -> list[CandidateKind]:
    """Return a candidate as good as the old model, and every combination of the rates that a user names."""
    rates, changes = list(nfr) or [churn], list(accuracy_change) or [0.0]
    named = [
        CandidateKind(f"NFR {percent(rate)}, accuracy {points(change)}", rate, change)
        for rate, change in itertools.product(rates, changes)
    ]
    return _merged([CandidateKind(EQUAL, churn, 0.0), *named])


def kinds_around_limits(rules: TriedRules, population: Population, churn: float) -> list[CandidateKind]:
    """Return a candidate as good as the old model, and candidates around the limit of each rule."""
    found = [CandidateKind(EQUAL, churn, 0.0)]
    for number in rules.numbers:
        found += WorseningPath(rules, number, population, churn).around()
    return _merged(found)


def _merged(kinds: Sequence[CandidateKind]) -> list[CandidateKind]:
    """Join kinds of the same rates into one, and keep the order."""
    found: dict[tuple[float, float], CandidateKind] = {}
    for kind in kinds:
        key = (round(kind.nfr, 7), round(kind.accuracy_change, 7))
        known = found.get(key)
        if known is None:
            found[key] = kind
        elif kind.title not in known.title:
            title = f"{known.title}; {kind.title}"
            found[key] = replace(known, title=title, on_limits=known.on_limits + kind.on_limits)
    return list(found.values())


class WorseningPath:
    """Candidates that get worse step by step, from 0 to 1, along which a rule goes from kept to broken.

    For a rule on accuracy, accuracy falls, and NFR is the churn or just what the fall takes. For any other rule NFR
    rises, and positive flips make up for it as long as the old model has errors left.

    Args:
        rules: the rules that are tried.
        number: of the rule.
        population: the old model's examples.
        churn: NFR of a candidate as good as the old model.
    """

    def __init__(self, rules: TriedRules, number: int, population: Population, churn: float) -> None:
        self.rules, self.number, self.population, self.churn = rules, number, population, churn
        self.rule = rules.rule(number)

    def at(self, place: float) -> tuple[float, float]:
        """Return NFR and change of accuracy at a place from 0 to 1."""
        accuracy, error = self.population.accuracy, self.population.error
        if self.rule.metric in _ACCURACIES:
            best = error - self.churn
            change = best - place * (best + accuracy)
            return max(self.churn, -change), change
        rate = place * accuracy
        return rate, min(0.0, error - rate)

    def around(self) -> list[CandidateKind]:
        """Return the candidates at half the limit, on it and at 1.5 times it, as far as there are any."""
        found = []
        for words, limit in self._limits().items():
            rule = self._observed(limit)
            place = self._last(lambda at, rule=rule: self._holds(rule, at))  # type: ignore[misc]
            if place is not None:
                on = (self.number,) if limit == self.rule.limit(self.rules.floor) else ()
                nfr, change = (round(rate, 9) for rate in self.at(place))
                found.append(CandidateKind(f"rule {self.number}: {words}", nfr, change, on))
        return found

    def reach(self) -> float | None:
        """Return the true value up to which at least about half of the tries keep the rule.

        Return None where none does, where all do, and where the rule allows nothing for chance.
        """
        if self.rule.bound == "point":
            return None
        place = self._last(lambda at: self._holds(self.rule, at))
        if place is None:
            return None
        limit = self.rule.limit(self.rules.floor)
        values = [check.value or 0.0 for check in self._checks(self._observed(limit or 0.0), place)]
        return max(values) if self.rule.is_maximum else min(values)

    def _limits(self) -> dict[str, float]:
        limit = self.rule.limit(self.rules.floor) or 0.0
        if self.rule.metric in _ACCURACIES:
            same = self.population.accuracy if self.rule.metric == "accuracy_new" else 0.0
            if abs(limit - same) < _STEP / 1000:
                step = 100 * _STEP
                above, below = f"{step:g} points above its limit", f"{step:g} points below its limit"
                return {above: limit + _STEP, "on its limit": limit, below: limit - _STEP}
            return {
                words: limit if factor == 1 else same + factor * (limit - same) for factor, words in _FACTORS.items()
            }
        if self.rule.is_maximum:
            return {words: factor * limit for factor, words in _FACTORS.items()}
        return {words: limit if factor == 1 else 1 - factor * (1 - limit) for factor, words in _FACTORS.items()}

    def _observed(self, limit: float) -> Rule:
        """Return the rule with another limit, held against the true value."""
        name = "max" if self.rule.is_maximum else "min"
        return self.rule.model_copy(update={name: limit, "max_times_floor": None, "bound": "point"})

    def _checks(self, rule: Rule, place: float) -> list[Check]:
        comparison = self.population.expected(self.population.chances(*self.at(place)))
        return check_rule(rule, comparison, self.rules.policy.confidence, self.rules.floor)[0]

    def _holds(self, rule: Rule, place: float) -> bool:
        return all(check.verdict is Verdict.PASS for check in self._checks(rule, place))

    def _last(self, holds: Callable[[float], bool]) -> float | None:
        """Return the last place at which something holds, None where it never or always does."""
        if not holds(0.0) or holds(1.0):
            return None
        low, high = 0.0, 1.0
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if holds(middle) else (low, middle)
        return low


def checked_churn(churn: float | None, floor: float | None, population: Population) -> tuple[float, str]:
    """Return the NFR of a candidate as good as the old model, and in words where it comes from.

    Raise ConfigError for one that such a candidate cannot have on these examples.
    """
    if population.error == 0:
        raise ConfigError(
            "The old model is right on every example, so nothing can flip without a loss of accuracy: try the policy "
            "on a harder table."
        )
    most = min(population.accuracy, population.error)
    if churn is None and floor:
        source = "the floor of plain retraining"
        return min(floor, most), source if floor <= most else f"{source}, lowered to what these examples allow"
    if churn is None:
        return min(CHURN, most / 2), "the default"
    if not 0 < churn <= most:
        raise ConfigError(
            f"--churn should be above 0% and at most {percent(most)}, and it is {percent(churn)}: a candidate as good "
            "as the old model gains as many examples as it loses."
        )
    return churn, "as given"
