"""Asks the gate for its decision under other limits, cached. The command line makes the same decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.config import Policy
from pct_mlops.explorer.queries import decisions, pairs
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.gate import check_rule, with_limits

if TYPE_CHECKING:
    from pct_mlops.gate import Check, Decision

# The policy where none is given. It is an example and no recommendation.
START = {
    "rules": [
        {"metric": "nfr", "max": 0.02},
        {"metric": "accuracy_change", "min": -0.002},
        {"metric": "class_nfr", "max": 0.05, "min_support": 100},
    ]
}


@dataclass(frozen=True)
class Limits:
    """Changes that a reader has made to a policy.

    Attributes:
        moved: Pairs of a rule's place in the policy, from 0, and its new limit.
        confidence: New confidence, None where it was not changed.
    """

    moved: tuple[tuple[int, float], ...] = ()
    confidence: float | None = None


def starting_policy(path: str | None) -> Policy:
    """Return the policy that the explorer was started with, or an example."""
    return pairs.read_policy(pairs.file_table(path)) if path else Policy.model_validate(START)


def changed(path: str | None, limits: Limits) -> Policy:
    """Return the policy with the reader's limits."""
    return with_limits(starting_policy(path), dict(limits.moved), limits.confidence)


def what_if_decision(pair: Pair, path: str | None, limits: Limits) -> Decision:
    """Return the gate's decision with these limits, and with reviews, floor and pinned examples as they are."""
    return decisions.decide_under(pair, changed(path, limits))


def checks(pair: Pair, path: str | None, limits: Limits, place: int) -> list[Check]:
    """Return the checks of one rule with these limits. `place` is the place of the rule in the policy, from 0."""
    mine = Limits(tuple((index, value) for index, value in limits.moved if index == place), limits.confidence)
    given, floor = changed(path, mine), pairs.floor_of(pair)
    # Only this rule is part of the key, so that moving the limit of another one judges nothing again.
    alone = given.model_copy(update={"rules": (given.rules[place],)})
    return _checks(pair, alone.digest, decisions.apart(pair, alone), floor.mean if floor else None, alone)


@st.cache_data(max_entries=1000, show_spinner="Judging…")
def _checks(pair: Pair, digest: str, apart: frozenset[str], floor: float | None, _alone: Policy) -> list[Check]:
    # The digest stands for the policy.
    return check_rule(_alone.rules[0], decisions.comparison_under(pair, _alone, apart), _alone.confidence, floor)[0]
