"""Makes copies of a policy with other limits, and writes them as policy files. The copies decide like any policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from pct_mlops.gate.decision import WORST_FIRST
from pct_mlops.gate.limit_distance import distance

if TYPE_CHECKING:
    from pct_mlops.config import Policy, Rule
    from pct_mlops.gate.decision import Check

LIMITS = ("max", "min", "max_times_floor")  # of a rule, exactly one is given


def limit_name(rule: Rule) -> str:
    """Return the name of the limit that the rule gives: max, min or max_times_floor."""
    return next(name for name in LIMITS if getattr(rule, name, None) is not None)


def with_limits(policy: Policy, limits: Mapping[int, float], confidence: float | None = None) -> Policy:
    """Return a copy with these limits (by the rule's place, from 0) and, if it is given, this confidence."""
    rules = tuple(
        rule.model_copy(update={limit_name(rule): limits[place]}) if place in limits else rule
        for place, rule in enumerate(policy.rules)
    )
    changes: dict[str, Any] = {"rules": rules}
    if confidence is not None:
        changes["confidence"] = confidence
    return policy.model_copy(update=changes)


def tightest(checks: Sequence[Check]) -> Check:
    """Return the check that decides among a rule's checks: the worst verdict, then the least distance to the limit."""

    def rank(check: Check) -> tuple[int, float]:
        left = distance(check)
        return WORST_FIRST.index(check.verdict), -math.inf if left is None else left

    return min(checks, key=rank)


def to_yaml(policy: Policy) -> str:
    """Return the text of a policy file, for `Policy.read`. The files that the policy names must lie beside it.

    It holds what differs from the defaults, and always the split, the baseline and the confidence, so that a reader
    need not know the defaults of these.
    """
    data = policy.model_dump(mode="json", exclude_defaults=True)
    head = {"evaluation": policy.evaluation, "baseline": policy.baseline, "confidence": policy.confidence}
    content = {**head, **{key: value for key, value in data.items() if key not in head}}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100)
