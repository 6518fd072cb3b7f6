"""What the gate decides on: tables of two versions, reviewers' words, the floor; and the decision itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pct_mlops.comparison import Comparison, compare
from pct_mlops.config import Policy
from pct_mlops.errors import NotComparableError, PctError, RegistryNotFoundError
from pct_mlops.gate import Decision, Mark, ReviewState, decide, standing
from pct_mlops.workflows.runtime.references import version_predictions

if TYPE_CHECKING:
    from pct_mlops.predictions import Predictions, TableInfo
    from pct_mlops.registry import Floor, Registry, Version

RESCORE = "or add --recompute to score both with their registered models on the candidate's evaluation set"


@dataclass(frozen=True)
class Evidence:
    """A decision, the comparison behind it (None: there was none) and what retraining alone flips."""

    decision: Decision
    comparison: Comparison | None = None
    floor: Floor | None = None


def weigh(
    registry: Registry, version: Version, old: Version | None, policy: Policy, *, target: str, recompute: bool
) -> Evidence:
    """Decide on `version` against `old` (None: there is none yet); `target` is the model whose production it is about.

    With `recompute` both are scored anew where their stored tables are missing or about other examples.
    """
    if old is not None and _is_same(registry, version, old):
        problem = f"{version.uri} is the baseline itself: register a new candidate, then judge that."
        return Evidence(decide(policy, None, problem=problem, candidate=_info(registry, version, policy)))
    tables, lacking = _tables(registry, version, old, policy.evaluation, recompute)
    if lacking or tables is None:
        return Evidence(decide(policy, None, problem=lacking, candidate=_info(registry, version, policy)))
    old_table, new_table = tables
    state = _reviews(registry, version, old, target)
    floor = _floor(registry, target, new_table)
    given: dict[str, Any] = {"review": state, "floor": floor.mean if floor else None, "candidate": new_table.info}
    if old_table is None:
        return Evidence(decide(policy, None, problem=_flaw(new_table), baseline_exists=False, **given), floor=floor)
    comparison, differing = compared(old_table, new_table, policy, state)
    return Evidence(decide(policy, comparison, problem=differing, **given), comparison, floor)


def compared(
    old: Predictions, new: Predictions, policy: Policy, state: ReviewState | None = None
) -> tuple[Comparison | None, PctError | None]:
    """The comparison, or why there is none: not comparable is a verdict (ERROR), not a crash."""
    marks = [Mark(mark) for mark in policy.reviews.count_apart]
    apart = state.samples(*marks) if state is not None and marks else ()
    try:
        return compare(old, new, slices=policy.slices_path, apart=apart, costs=policy.class_costs), None
    except PctError as error:
        return None, error


def _flaw(table: Predictions) -> PctError | None:
    """What is wrong with the rows of a table that is compared with none."""
    try:
        table.check_rows()
    except PctError as error:
        return error
    return None


def _is_same(registry: Registry, version: Version, old: Version) -> bool:
    """Whether both are one model: the same version, or one a copy of the other."""
    if version.uri == old.uri:
        return True
    return version.name != old.name and registry.model_id(version) == registry.model_id(old)


def _tables(
    registry: Registry, version: Version, old: Version | None, split: str, recompute: bool
) -> tuple[tuple[Predictions | None, Predictions] | None, PctError | None]:
    """((baseline's, candidate's), None), or (None, what is missing)."""
    problem = _missing(registry, version, old, split)
    if problem and old is not None and recompute:
        # Loads models, and so torch: only where it is asked for and needed.
        from pct_mlops.workflows.gating.rescore import recompute as score_both

        score_both(registry, old, version, split=split)
        problem = _missing(registry, version, old, split)
    elif problem and old is not None:
        problem = problem.reworded(f"{str(problem).rstrip('.')}, {RESCORE}.")
    if problem:
        return None, problem
    old_table = version_predictions(registry, old, split) if old is not None else None
    return (old_table, version_predictions(registry, version, split)), None


def _missing(registry: Registry, version: Version, old: Version | None, split: str) -> PctError | None:
    """Which table cannot be read, or that both are about different examples; None when both can be compared."""
    infos = []
    for item in (version, old):
        if item is None:
            continue
        if registry.download(item, f"predictions/{split}.parquet") is None:
            return RegistryNotFoundError(
                f"{item.uri} carries no predictions on {split}: make them with "
                f"'pct score {item.name}/{item.version} --split {split}'"
            )
        try:
            infos.append(version_predictions(registry, item, split).info)
        except PctError as error:
            return error.reworded(f"The predictions of {item.uri} on {split} are of no use: {error}")
    if old is None or infos[0].digest == infos[1].digest:
        return None
    return NotComparableError(
        f"The predictions of {old.uri} ({infos[1].num_examples:,} examples) are about another evaluation set than "
        f"those of {version.uri} ({infos[0].num_examples:,}; the digests differ): score both on the same data with "
        "'pct score'"
    )


def _info(registry: Registry, version: Version, policy: Policy) -> TableInfo | None:
    try:
        return version_predictions(registry, version, policy.evaluation).info
    except PctError:
        return None


def _reviews(registry: Registry, version: Version, old: Version | None, target: str) -> ReviewState:
    from pct_mlops.registry import reviews

    records = reviews(registry, version, into=target)
    return standing(records, baseline=old.version if old else None, now=datetime.now(timezone.utc))


def _floor(registry: Registry, target: str, table: Predictions) -> Floor | None:
    from pct_mlops.registry import read_floor

    return read_floor(registry, target, table.info.digest)
