"""What the gate would say under other limits: cached calls of the same decision that the command line makes."""

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

# Where no policy is given: something to begin with, and no recommendation.
START = {
    "rules": [
        {"metric": "nfr", "max": 0.02},
        {"metric": "accuracy_change", "min": -0.002},
        {"metric": "class_nfr", "max": 0.05, "min_support": 100},
    ]
}


@dataclass(frozen=True)
class Limits:
    """What a reader has moved: limits by the rule's place, and the confidence; None where nothing was."""

    moved: tuple[tuple[int, float], ...] = ()
    confidence: float | None = None


def starting_policy(path: str | None) -> Policy:
    """The policy that the explorer was started with, or something to begin with."""
    return pairs.read_policy(pairs.file_table(path)) if path else Policy.model_validate(START)


def changed(path: str | None, limits: Limits) -> Policy:
    """The policy with the reader's limits."""
    return with_limits(starting_policy(path), dict(limits.moved), limits.confidence)


def what_if_decision(pair: Pair, path: str | None, limits: Limits) -> Decision:
    """What the gate would say with these limits, and with all else that it is given."""
    return decisions.decide_under(pair, changed(path, limits))


def checks(pair: Pair, path: str | None, limits: Limits, place: int) -> list[Check]:
    """What one rule says with these limits."""
    mine = Limits(tuple((index, value) for index, value in limits.moved if index == place), limits.confidence)
    given, floor = changed(path, mine), pairs.floor_of(pair)
    # Of all rules only this one counts here, so that moving another one's limit judges nothing anew.
    alone = given.model_copy(update={"rules": (given.rules[place],)})
    return _checks(pair, alone.digest, decisions.apart(pair, alone), floor.mean if floor else None, alone)


@st.cache_data(max_entries=1000, show_spinner="Judging…")
def _checks(pair: Pair, digest: str, apart: frozenset[str], floor: float | None, _alone: Policy) -> list[Check]:
    # The digest stands for the policy.
    return check_rule(_alone.rules[0], decisions.comparison_under(pair, _alone, apart), _alone.confidence, floor)[0]
