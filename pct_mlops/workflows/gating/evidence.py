"""Gathers what the gate decides on: the tables of two versions or files, reviews, and the floor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.comparison import Comparison, compare
from pct_mlops.comparison.copies import are_equal, have_same_predictions
from pct_mlops.config import Policy
from pct_mlops.errors import NotComparableError, PctError
from pct_mlops.gate import ReviewState, Tie, Ties, apart_ids, review_state, tie_of
from pct_mlops.predictions.foreign import is_foreign
from pct_mlops.workflows.gating.judged_tables import JudgedTable, OtherModelError, read_judged
from pct_mlops.workflows.runtime.references import RESULT, have_same_content, open_sources, version_predictions
from pct_mlops.workflows.runtime.retrainings import find_retrainings, noise_among_flips

if TYPE_CHECKING:
    from pct_mlops.comparison import FlipNoise
    from pct_mlops.predictions import Predictions, ReadOptions, TableInfo
    from pct_mlops.registry import Floor, Registry, Version

SAME_PREDICTIONS = "Both tables hold the same predictions: is the candidate's file a copy of the baseline's?"
NO_DIFFERENCE = "Both tables hold the same predictions: no example tells the two models apart."
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
        judged: The tables of versions that were read, by role.
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
    judged: Mapping[str, JudgedTable] = field(default_factory=dict)


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
        text = (
            f"{candidate} is the baseline itself or a copy of it, so both are the same table: give the candidate's own "
            "predictions."
        )
        return NotComparableError(text), ""
    return None, SAME_PREDICTIONS if same else ""


def _are_one(baseline: str, candidate: str, comparison: Comparison) -> bool:
    """Tell whether a file of another program is equal to the other one. A table of this package names its model."""
    others = (path for path in (baseline, candidate) if path.endswith(RESULT) or is_foreign(Path(path)))
    return any(others) and are_equal(comparison)


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
    read, recomputed = _complete(registry, version, old, split, recompute=recompute, forced=forced)
    if isinstance(read, PctError):
        return replace(start, problem=read, candidate=_info(registry, version, split))
    new_table = read["candidate"].table
    old_table = read["baseline"].table if "baseline" in read else None
    review = _reviews(registry, version, old, target)
    ties = _ties((version, new_table), (old, old_table), recomputed)
    floor = _floor(registry, target, new_table)
    found = replace(start, candidate=new_table.info, review=review, floor=floor, ties=ties, judged=read)
    if old_table is None:
        flaw, alone = _flaw(new_table), None
        if policy.bootstrap is not None and flaw is None:
            alone, flaw = _compare(new_table, new_table, policy)
        return replace(found, problem=flaw, baseline_exists=False, alone=alone)
    comparison, differing = _compare(old_table, new_table, policy, review)
    same = comparison is not None and have_same_predictions(comparison)
    found = replace(found, comparison=comparison, problem=differing, remark=NO_DIFFERENCE if same else "")
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
) -> tuple[dict[str, JudgedTable] | PctError, bool]:
    """Score the versions again where that is asked for and needed, or `forced`.

    Returns the tables by role, or the error that says what is missing after it, and whether they were scored.
    """
    read = _read(registry, version, old, split)
    if isinstance(read, OtherModelError):
        return read.reworded(f"{str(read).rstrip('.')}."), False  # predictions of another model are none of this one
    failed = isinstance(read, PctError)
    if forced or (failed and old is not None and recompute):
        # This loads models, and so torch. Import it only where it is asked for and needed.
        from pct_mlops.workflows.gating.rescore import recompute as score_both

        score_both(registry, old, version, split=split)
        again = [registry.get(item.name, item.version) if item else None for item in (version, old)]
        return _read(registry, again[0] or version, again[1], split), True
    if isinstance(read, PctError):
        text = str(read).rstrip(".")
        read = read.reworded(f"{text}, {RESCORE}." if old is not None else f"{text}.")
    return read, False


def _ties(
    candidate: tuple[Version, Predictions], baseline: tuple[Version | None, Predictions | None], recomputed: bool
) -> Ties:
    from pct_mlops.registry import WEIGHTS_TAG

    def tie(version: Version, table: Predictions) -> Tie:
        return Tie.RECOMPUTED if recomputed else tie_of(table.info.weights, version.tags.get(WEIGHTS_TAG, ""))

    old, table = baseline
    return Ties(tie(*candidate), tie(old, table) if old is not None and table is not None else None)


def _read(registry: Registry, version: Version, old: Version | None, split: str) -> dict[str, JudgedTable] | PctError:
    """Return the tables by role, or the error for one that cannot be used or for two about different examples."""
    tables: dict[str, JudgedTable] = {}
    for role, item in (("candidate", version), ("baseline", old)):
        if item is None:
            continue
        try:
            tables[role] = read_judged(registry, item, split)
        except PctError as error:
            return error
    if old is None:
        return tables
    new_table, old_table = (tables[role].table for role in ("candidate", "baseline"))
    return _other_examples((old, old_table), (version, new_table)) or tables


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
