"""Asks the gate for its decision on the pair on screen, with the same inputs as on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.comparison import Comparison, compare
from pct_mlops.explorer.queries import pairs, reviews
from pct_mlops.explorer.queries.pairs import FileTable, Pair, VersionTable
from pct_mlops.gate import Tie, Ties, apart_ids, decide, tie_of
from pct_mlops.workflows.gating.evidence import copy_problem

if TYPE_CHECKING:
    from pct_mlops.config import Policy
    from pct_mlops.gate import Decision
    from pct_mlops.gate.reviews import ReviewState


def decision(pair: Pair, path: str | None) -> Decision | None:
    """Return the gate's decision on the pair under a policy file, or None without a file."""
    return decide_under(pair, pairs.read_policy(pairs.file_table(path))) if path else None


def decide_under(pair: Pair, given: Policy) -> Decision:
    """Return the gate's decision on the pair under a policy, with reviews, floor and pinned examples."""
    review, floor = reviews.state(pair), pairs.floor_of(pair)
    ties = ties_of(pair)
    said = tuple(sorted((sample, record.id) for sample, record in review.marks.items()))
    decided = review.decision.id if review.decision else ""
    return _decided(pair, given.digest, (decided, said), floor.mean if floor else None, ties, given, review)


@st.cache_resource(max_entries=32, show_spinner="Judging…")
def _decided(
    pair: Pair,
    digest: str,
    said: tuple[object, ...],
    floor: float | None,
    ties: Ties | None,
    _given: Policy,
    _review: ReviewState,
) -> Decision:
    # Streamlit does not hash `_given` and `_review`: the policy's digest and the ids of records stand for them.
    comparison = comparison_under(pair, _given, frozenset(apart_ids(_given, _review)))
    problem, remark = None, ""
    if isinstance(pair.new, FileTable):
        problem, remark = copy_problem(_address(pair.old), pair.new.path, comparison)
    made = decide(_given, comparison, floor=floor, review=_review, ties=ties, problem=problem)
    return replace(made, sentence=f"{made.sentence} {remark}") if remark else made


def _address(table: pairs.Table) -> str:
    return table.path if isinstance(table, FileTable) else f"models:/{table.name}/{table.version}"


@st.cache_data(ttl=pairs.REFRESH, show_spinner=False)
def ties_of(pair: Pair) -> Ties | None:
    """Tell whether the weights of the two versions made their tables, None for files."""
    old, new = pair.old, pair.new
    if not (isinstance(old, VersionTable) and isinstance(new, VersionTable)):
        return None
    return Ties(_tie(new), _tie(old))


def _tie(table: VersionTable) -> Tie:
    from pct_mlops.registry import WEIGHTS_TAG

    version = pairs.registry(table.tracking_uri).get(table.name, table.version)
    return tie_of(pairs.predictions(table).info.weights, version.tags.get(WEIGHTS_TAG, ""))


def apart(pair: Pair, given: Policy) -> frozenset[str]:
    """Return the ids of marked examples whose flips the policy leaves out of the flip rates."""
    return frozenset(apart_ids(given, reviews.state(pair)))


def comparison_under(pair: Pair, given: Policy, apart: frozenset[str]) -> Comparison:
    """Return the pair joined as the policy counts it: the comparison on screen where that is the same."""
    slices = pairs.file_table(given.slices_path) if given.slices_path is not None else None
    as_shown = not apart and given.class_costs is None and not given.aliases
    if as_shown and slices in (None, pairs.joined_slices(pair)):
        return pairs.comparison(pair)
    costs = tuple(sorted(given.class_costs.items())) if given.class_costs is not None else None
    aliases = tuple(sorted(given.aliases.items())) if given.aliases else ()
    return _compared(pair.old, pair.new, slices, apart, costs=costs, aliases=aliases)


@st.cache_resource(max_entries=4, show_spinner="Judging…")
def _compared(
    old: pairs.Table,
    new: pairs.Table,
    slices: FileTable | None,
    apart: frozenset[str],
    *,
    costs: tuple[tuple[str, float], ...] | None,
    aliases: tuple[tuple[str, str | tuple[str, ...]], ...],
) -> Comparison:
    return compare(
        pairs.predictions(old),
        pairs.predictions(new),
        slices=Path(slices.path) if slices else None,
        apart=apart,
        costs=None if costs is None else dict(costs),
        aliases=dict(aliases),
    )
