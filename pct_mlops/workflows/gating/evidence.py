"""Gathers what the gate decides on: the tables of two versions or files, reviews, and the floor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.comparison import Comparison, compare
from pct_mlops.comparison.copies import are_equal, have_same_predictions
from pct_mlops.config import Policy
from pct_mlops.errors import NotComparableError, PctError
from pct_mlops.gate import ReviewState, Tie, Ties, apart_ids, review_state, tie_of
from pct_mlops.predictions.foreign import is_foreign
from pct_mlops.workflows.runtime.references import have_same_content, open_sources, version_predictions
from pct_mlops.workflows.runtime.retrainings import find_retrainings, noise_among_flips

if TYPE_CHECKING:
    from pct_mlops.comparison import FlipNoise
    from pct_mlops.predictions import Predictions, ReadOptions, TableInfo
    from pct_mlops.registry import Floor, Registry, Version

SAME_PREDICTIONS = "Both tables hold the same predictions: is the candidate's file a copy of the baseline's?"
RESCORE = "or add --recompute to score both with their registered models on the candidate's evaluation set"


@dataclass(frozen=True)
class Evidence:
    """Input of `decide` beside the policy.

    Attributes:
        new_uri: The candidate that was compared.
        old_uri: The baseline that it was compared with, None when there is none yet.
        comparison: None when there is no baseline yet, or when `problem` says why.
        problem: Why the two cannot be compared.
        candidate: Facts about the candidate's table.
        baseline_exists: False when there is no baseline yet.
        review: What the reviewers' records add up to.
        floor: What retraining alone flips on the same examples.
        ties: Whether the weights of the versions made their tables.
        remark: What the verdict's sentence must say too.
        noise: How many of the negative flips retraining makes too, None where that was not measured.
        noise_lines: Sentences on it, which never change the verdict.
        alone: The candidate's table compared with itself, where there is no baseline and the policy has a minimum.
    """

    new_uri: str
    old_uri: str | None
    comparison: Comparison | None = None
    problem: PctError | None = None
    candidate: TableInfo | None = None
    baseline_exists: bool = True
    review: ReviewState | None = None
    floor: Floor | None = None
    ties: Ties | None = None
    remark: str = ""
    noise: FlipNoise | None = None
    noise_lines: tuple[str, ...] = ()
    alone: Comparison | None = None


def file_evidence(baseline: str, candidate: str, policy: Policy, reading: ReadOptions | None = None) -> Evidence:
    """Gather the evidence of two predictions files. `baseline` may also be a version."""
    old, new = open_sources((baseline, candidate), reading=reading)
    comparison, problem = None, None
    if not have_same_content(baseline, candidate):
        comparison, problem = _compare(old.predictions, new.predictions, policy)
    remark = ""
    if problem is None:
        problem, remark = copy_problem(baseline, candidate, comparison)
    return Evidence(new.uri, old.uri, comparison, problem, new.predictions.info, remark=remark)


def copy_problem(baseline: str, candidate: str, comparison: Comparison | None) -> tuple[NotComparableError | None, str]:
    """Return the error for a file that is the baseline or a copy of it, and a remark where predictions are the same.

    Only files are refused as copies: the same recipe trained again gives a version with the same predictions.

    Args:
        baseline: The file or version that the candidate is compared with.
        candidate: A file.
        comparison: Of both. None for files of the same bytes.
    """
    same = comparison is not None and have_same_predictions(comparison)
    if (
        comparison is None
        or have_same_content(baseline, candidate)
        or comparison.is_copy
        or (same and _are_one(baseline, candidate, comparison))
    ):
        text = f"{candidate} is the baseline itself or a copy of it: give the candidate's own predictions."
        return NotComparableError(text), ""
    return None, SAME_PREDICTIONS if same else ""


def _are_one(baseline: str, candidate: str, comparison: Comparison) -> bool:
    """Tell whether a file of another program is equal to the other one. A table of this package names its model."""
    return any(is_foreign(Path(path)) for path in (baseline, candidate)) and are_equal(comparison)


def version_evidence(
    registry: Registry, version: Version, old: Version | None, policy: Policy, *, target: str, recompute: bool
) -> Evidence:
    """Gather the evidence on `version` against `old` (None: no baseline yet), for production of the model `target`.

    With `recompute`, score both again where their stored tables are missing or about other examples.
    """
    split = policy.evaluation
    start = Evidence(version.uri, old.uri if old else None)
    if old is not None and _is_same(registry, version, old):
        problem = NotComparableError(
            f"{version.uri} is the baseline itself: register a new candidate, then judge that."
        )
        return replace(start, problem=problem, candidate=_info(registry, version, split))
    forced = recompute and policy.wanted_tie == "recomputed"
    recomputed, lacking = _complete(registry, version, old, split, recompute=recompute, forced=forced)
    if lacking:
        return replace(start, problem=lacking, candidate=_info(registry, version, split))
    old_table = version_predictions(registry, old, split) if old is not None else None
    new_table = version_predictions(registry, version, split)
    review = _reviews(registry, version, old, target)
    ties = _ties((version, new_table), (old, old_table), recomputed)
    floor = _floor(registry, target, new_table)
    found = replace(start, candidate=new_table.info, review=review, floor=floor, ties=ties)
    if old_table is None:
        flaw = _flaw(new_table)
        alone = compare(new_table, new_table) if policy.bootstrap is not None and flaw is None else None
        return replace(found, problem=flaw, baseline_exists=False, alone=alone)
    comparison, differing = _compare(old_table, new_table, policy, review)
    found = replace(found, comparison=comparison, problem=differing)
    return found if comparison is None or old is None else _with_noise(found, registry, old, old_table.info.digest)


def _with_noise(found: Evidence, registry: Registry, old: Version, digest: str) -> Evidence:
    """Add what the retrainings of the baseline's recipe say of the negative flips."""
    assert found.comparison is not None
    stored = find_retrainings(registry, old.name, old.version, digest)
    noise, lines = noise_among_flips(found.comparison, stored)
    return replace(found, noise=noise, noise_lines=tuple(lines))


def _compare(
    old: Predictions, new: Predictions, policy: Policy, review: ReviewState | None = None
) -> tuple[Comparison | None, PctError | None]:
    """Return (comparison, None), or (None, error): tables that do not fit are a verdict (ERROR), not a crash."""
    apart = apart_ids(policy, review) if review is not None else ()
    try:
        costs, aliases = policy.class_costs, policy.aliases
        return compare(old, new, slices=policy.slices_path, apart=apart, costs=costs, aliases=aliases), None
    except PctError as error:
        return None, error


def _flaw(table: Predictions) -> PctError | None:
    """Return what is wrong with the rows of a table that is compared with none. Return None when nothing is."""
    try:
        table.check_rows()
    except PctError as error:
        return error
    return None


def _is_same(registry: Registry, version: Version, old: Version) -> bool:
    """Tell whether both are one model: the same version, or one a copy of the other."""
    if version.uri == old.uri:
        return True
    return version.name != old.name and registry.have_same_files(version, old)


def _complete(
    registry: Registry, version: Version, old: Version | None, split: str, *, recompute: bool, forced: bool
) -> tuple[bool, PctError | None]:
    """Score the versions again where that is asked for and needed, or `forced`.

    Returns whether that was done, and what is missing after it.
    """
    problem = _missing(registry, version, old, split)
    if forced or (problem and old is not None and recompute):
        # This loads models, and so torch. Import it only where it is asked for and needed.
        from pct_mlops.workflows.gating.rescore import recompute as score_both

        score_both(registry, old, version, split=split)
        return True, _missing(registry, version, old, split)
    if problem and old is not None:
        problem = problem.reworded(f"{str(problem).rstrip('.')}, {RESCORE}.")
    return False, problem


def _ties(
    candidate: tuple[Version, Predictions], baseline: tuple[Version | None, Predictions | None], recomputed: bool
) -> Ties:
    from pct_mlops.registry import WEIGHTS_TAG

    def tie(version: Version, table: Predictions) -> Tie:
        return Tie.RECOMPUTED if recomputed else tie_of(table.info.weights, version.tags.get(WEIGHTS_TAG, ""))

    old, table = baseline
    return Ties(tie(*candidate), tie(old, table) if old is not None and table is not None else None)


def _missing(registry: Registry, version: Version, old: Version | None, split: str) -> PctError | None:
    """Return the error for a table that cannot be read, or for two about different examples.

    Return None when both can be compared.
    """
    tables = []
    for item in (version, old):
        if item is None:
            continue
        if registry.download(item, f"predictions/{split}.parquet") is None:
            from pct_mlops.registry import no_predictions

            return no_predictions(item, split)
        try:
            tables.append(version_predictions(registry, item, split))
        except PctError as error:
            return error.reworded(f"The predictions of {item.uri} on {split} cannot be used: {error}")
    return None if old is None else _other_examples((old, tables[1]), (version, tables[0]))


def _other_examples(baseline: tuple[Version, Predictions], candidate: tuple[Version, Predictions]) -> PctError | None:
    """Return the error for two tables about different examples, or None. Digests cover the class names, too."""
    (old, old_table), (new, new_table) = baseline, candidate
    if old_table.info.digest == new_table.info.digest:
        return None
    if old_table.info.class_names != new_table.info.class_names:
        try:
            # The classes changed, so only the join can tell whether the examples did.
            new_table.nfr(old_table)
            return None
        except NotComparableError as error:
            return error.reworded(f"The predictions of {old.uri} and {new.uri} do not fit: {str(error).rstrip('.')}")
        except PctError:
            return None  # The comparison will say it.
    return NotComparableError(
        f"The predictions of {old.uri} ({old_table.info.num_examples:,} examples) are about another evaluation set "
        f"than those of {new.uri} ({new_table.info.num_examples:,}; the digests differ): score both on the same data "
        "with 'pct score'"
    )


def _info(registry: Registry, version: Version, split: str) -> TableInfo | None:
    try:
        return version_predictions(registry, version, split).info
    except PctError:
        return None


def _reviews(registry: Registry, version: Version, old: Version | None, target: str) -> ReviewState:
    from pct_mlops.registry import reviews

    records = reviews(registry, version, into=target)
    return review_state(records, baseline=old.version if old else None, now=datetime.now(timezone.utc))


def _floor(registry: Registry, target: str, table: Predictions) -> Floor | None:
    from pct_mlops.registry import read_floor

    return read_floor(registry, target, table.info.digest)
