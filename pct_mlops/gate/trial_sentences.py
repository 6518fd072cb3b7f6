"""Says how simulated candidates are drawn, and what a number of examples cannot tell, never passes or never judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pct_mlops.config.metric_names import METRIC_INFO
from pct_mlops.config.numbers import percent
from pct_mlops.gate.candidate_kinds import WorseningPath
from pct_mlops.gate.sentences import value_text
from pct_mlops.gate.trial_rules import not_passed

if TYPE_CHECKING:
    from pct_mlops.comparison.simulated import Population
    from pct_mlops.config import Policy
    from pct_mlops.gate.candidate_kinds import CandidateKind
    from pct_mlops.gate.decision import Decision
    from pct_mlops.gate.trial_rules import TriedRules

# These depend on the old model alone. No candidate changes them.
_OF_THE_OLD = ("accuracy_old",)
_SHOWN = 3


def limit_sentences(
    rules: TriedRules, population: Population, churn: float, same: Decision, *, kinds: Sequence[CandidateKind] = ()
) -> list[str]:
    """Return sentences on what this number of examples cannot tell, and on what it never passes or never judges."""
    found, num = [], len(population.labels)
    for number, rule in zip(rules.numbers, rules.policy.rules, strict=True):
        value = WorseningPath(rules, number, population, churn).reach()
        unit = METRIC_INFO[rule.metric].unit
        if value is not None and value_text(value, unit) != rules.limit_text(number):
            found.append(
                f"With {num:,} examples, {rules.title(number)} cannot tell {value_text(value, unit)} from its limit of "
                f"{rules.limit_text(number)}: most candidates between the two do not pass."
            )
    return found + _never_passed(rules, same) + _not_judged(same) + _without_limit(rules, kinds)


def _without_limit(rules: TriedRules, kinds: Sequence[CandidateKind]) -> list[str]:
    lacking = [rules.title(number) for number in rules.numbers if not any(number in kind.on_limits for kind in kinds)]
    if not kinds or not lacking:
        return []
    return [f"No kind of candidate lies on the limit of {_some_of(lacking)}: none of those that were tried reaches it."]


def _never_passed(rules: TriedRules, same: Decision) -> list[str]:
    """Return a sentence on the checks that even an unchanged model does not pass."""
    flips = [check for check in not_passed(same.checks) if METRIC_INFO[check.metric].is_flip_rate]
    others = [check for check in not_passed(same.checks) if not METRIC_INFO[check.metric].is_flip_rate]
    found = []
    if flips:
        needed = max((check.examples_needed or 0 for check in flips), default=0)
        more = f" It takes about {needed:,} examples of each." if needed else ""
        titles = [f"{rules.check_name(check)} with {check.support or 0:,} examples" for check in flips]
        found.append(f"No candidate can pass here, even without a single flip: {_some_of(titles)}.{more}")
    for check in others:
        if check.metric in _OF_THE_OLD:
            found.append(f"No candidate changes {rules.check_name(check)}: {check.sentence}")
        else:
            found.append(f"A candidate that predicts as the old model does not pass here: {rules.check_name(check)}.")
    return found


def _not_judged(same: Decision) -> list[str]:
    names = {f"{item.metric} of {item.name}" for item in same.not_judged}
    if not names:
        return []
    return [f"Never judged, because there are fewer examples than the rule asks for: {_some_of(sorted(names))}."]


def drawing_sentence(population: Population) -> str:
    """Say how candidates are drawn."""
    known = population.info.columns
    what = "the old model's own probabilities"
    if "label_confidence" not in known:
        what = "the old model's confidences" if "confidence" in known else ""
    by = f"by {what}: those on which it hesitates flip first" if what else "alike for all: the table has no confidences"
    return (
        f"Candidates are drawn from {len(population.labels):,} examples with replacement. Which of them flip is drawn "
        f"{by}."
    )


def pinned_sentence(policy: Policy, population: Population, churn: float) -> str:
    """Say how likely a candidate as good as the old model flips a pinned example. Return "" where none is pinned."""
    ids = policy.pinned_ids
    if not ids:
        return ""
    chances = population.chances(churn).flip[population.named & population.is_right]
    absent = len(ids) - int(population.named.sum())
    are = "is" if absent == 1 else "are"
    lacking = f" {absent:,} of them {are} not in the table, which the gate calls an ERROR." if absent else ""
    return (
        f"Pinned examples are left out of the table. By the same draw, a candidate as good as the old model flips none "
        f"of the {len(ids):,} with a chance of {percent(float(np.prod(1 - chances)))}.{lacking}"
    )


def _some_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
