"""What if a policy had other limits? Pure: the copies decide as any policy does, and are written as one."""

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
    """Which of its limits the rule gives."""
    return next(name for name in LIMITS if getattr(rule, name, None) is not None)


def with_limits(policy: Policy, limits: Mapping[int, float], confidence: float | None = None) -> Policy:
    """The policy with other limits (by the rule's place, from 0) and another confidence, where they are given."""
    rules = tuple(
        rule.model_copy(update={limit_name(rule): limits[place]}) if place in limits else rule
        for place, rule in enumerate(policy.rules)
    )
    changes: dict[str, Any] = {"rules": rules}
    if confidence is not None:
        changes["confidence"] = confidence
    return policy.model_copy(update=changes)


def tightest(checks: Sequence[Check]) -> Check:
    """Of a rule's checks (one a class, or a slice) the one that decides: the worst verdict, then the least room."""

    def rank(check: Check) -> tuple[int, float]:
        left = distance(check)
        return WORST_FIRST.index(check.verdict), -math.inf if left is None else left

    return min(checks, key=rank)


def to_yaml(policy: Policy) -> str:
    """The policy as a file that `Policy.read` understands, where the files it names lie beside it.

    Only what differs from the defaults, and always what a reader should not have to know: split, baseline, confidence.
    """
    data = policy.model_dump(mode="json", exclude_defaults=True)
    head = {"evaluation": policy.evaluation, "baseline": policy.baseline, "confidence": policy.confidence}
    content = {**head, **{key: value for key, value in data.items() if key not in head}}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100)
