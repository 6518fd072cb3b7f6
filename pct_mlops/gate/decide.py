"""Makes the one decision that command line, CI and explorer share. It reads no files and refuses when in doubt."""

from __future__ import annotations

import os.path
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pct_mlops.comparison import shared_loss
from pct_mlops.errors import ConfigError, PctError
from pct_mlops.gate.beyond import (
    BEYOND_RULES,
    beyond_rules,
    class_notes,
    counted_apart,
    notes,
    other_inputs,
    review_checks,
)
from pct_mlops.gate.decision import WORST_FIRST, Check, Decision, NotJudged, Verdict
from pct_mlops.gate.reviews import ReviewState
from pct_mlops.gate.rules import check_rule, failed_check
from pct_mlops.gate.ties import Ties, ties_notes, ties_refusal

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison
    from pct_mlops.config import Policy, Rule
    from pct_mlops.predictions import TableInfo


def decide(
    policy: Policy,
    comparison: Comparison | None,
    *,
    baseline_exists: bool = True,
    candidate: TableInfo | None = None,
    problem: PctError | str | None = None,
    floor: float | None = None,
    review: ReviewState | None = None,
    pinned: Collection[str] | None = None,
    ties: Ties | None = None,
    alone: Comparison | None = None,
) -> Decision:
    """Decide whether the candidate may replace the baseline.

    Args:
        policy: the rules, and what else must hold.
        comparison: of the baseline's table (old) with the candidate's (new); None where there is none.
        baseline_exists: whether something is in production; if not, pass the candidate's TableInfo.
        candidate: what the candidate's table says about itself; needed only without a comparison.
        problem: why there is no comparison; gives the verdict ERROR, with the code of a PctError.
        floor: NFR of plain retraining on the same examples, for limits relative to it.
        review: the state that the reviewers' records add up to.
        pinned: ids that must not flip, instead of those that the policy names.
        ties: whether the tables were made by the weights of their versions; None for tables of no version.
        alone: the candidate's table compared with itself, for what a first version must reach.

    Returns:
        The decision. Whatever is missing or unknown gives the verdict ERROR, not an exception.

    Example:
        >>> from pct_mlops import Policy, Predictions, Rule, compare, decide
        >>> ids, labels = ["a", "b", "c", "d"], [0, 1, 1, 0]
        >>> about = {"class_names": ("cat", "dog"), "split": "test"}
        >>> old = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [0, 2], [0, 2]], **about)
        >>> new = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [2, 0], [2, 0]], **about)
        >>> decision = decide(Policy(rules=(Rule(metric="nfr", max=0.02),)), compare(old, new))
        >>> decision.verdict.value, decision.exit_code
        ('INCONCLUSIVE', 3)
    """
    old, new = (comparison.old, comparison.new) if comparison else (None, candidate)
    num_examples, review = new.num_examples if new else None, review or ReviewState()
    refusal = problem or _refusal(policy, comparison, baseline_exists, candidate, review)
    refusal = refusal or ties_refusal(ties, policy.wanted_tie, new, old)
    start = Decision(Verdict.ERROR, str(refusal or ""), (), policy, (), num_examples, new, old, ties=ties)
    if refusal:
        return replace(start, error_code=refusal.code if isinstance(refusal, PctError) else None)
    if comparison is None:
        return _first(start, _first_checks(policy, alone) + review_checks(policy, review))
    checks, small = _check_rules(policy.rules, comparison, policy.confidence, floor)
    checks += beyond_rules(policy, comparison, review, pinned)
    return replace(
        start,
        **_verdict_of(checks, comparison.counts.total),
        not_judged=tuple(small),
        apart=counted_apart(policy, comparison, review),
        notes=notes(comparison) + class_notes(policy.rules, comparison) + ties_notes(ties),
        shared_loss=shared_loss(comparison),
    )


def _verdict_of(checks: list[Check], num_examples: int) -> dict[str, Any]:
    """Return the fields of a decision that follow from its checks alone."""
    verdict = _worst(checks)
    code = next((check.error_code for check in checks if check.error_code), None)
    sentence = _summary(verdict, checks, num_examples)
    return {"verdict": verdict, "sentence": sentence, "checks": tuple(checks), "error_code": code}


def _check_rules(
    rules: Sequence[Rule], comparison: Comparison, confidence: float, floor: float | None
) -> tuple[list[Check], list[NotJudged]]:
    found = [check_rule(rule, comparison, confidence, floor) for rule in rules]
    checks = [replace(check, rule=number) for number, (made, _) in enumerate(found, start=1) for check in made]
    return checks, [item for _, small in found for item in small]


def _worst(checks: list[Check]) -> Verdict:
    return next(verdict for verdict in WORST_FIRST if any(check.verdict is verdict for check in checks))


def _first_checks(policy: Policy, alone: Comparison | None) -> list[Check]:
    """Return the check of what the policy asks of a first version, if there is one."""
    if policy.bootstrap is None:
        return []
    rule = policy.bootstrap.rule
    if alone is None:
        error = ConfigError("The policy's bootstrap asks for the accuracy of the first version: give its table.")
        return [failed_check(rule.metric, error, rule.limit(), rule)]
    return check_rule(rule, alone, policy.confidence)[0]


def _first(start: Decision, checks: list[Check]) -> Decision:
    """Decide on the first candidate, while nothing is in production. Reviewers and the policy's minimum can refuse."""
    open_ = [check for check in checks if check.verdict is not Verdict.PASS]
    if open_:
        worst = _worst(open_)
        said = next(check.sentence for check in open_ if check.verdict is worst)
        return replace(start, verdict=worst, sentence=said, checks=tuple(checks))
    sentence = "There is no baseline yet: the candidate may become the first one."
    told = ties_notes(start.ties)
    return replace(start, verdict=Verdict.BOOTSTRAP, sentence=sentence, checks=tuple(checks), notes=told)


def _refusal(
    policy: Policy,
    comparison: Comparison | None,
    baseline_exists: bool,
    candidate: TableInfo | None,
    review: ReviewState,
) -> PctError | str | None:
    """Return why no rule can be checked at all, or None."""
    if not policy.rules:
        return "The policy has no rules, so it would let anything pass: write at least one."
    if comparison is None:
        return _bootstrap_refusal(policy, baseline_exists, candidate)
    if not baseline_exists:
        return "There is a comparison although no baseline exists: one of the two is wrong."
    if is_same_model(comparison.old, comparison.new):
        return f"Candidate and baseline are the same model ({comparison.new.title}): register the candidate first."
    split = _wrong_split(policy, candidate=comparison.new, baseline=comparison.old)
    return split or other_inputs(policy, comparison, review)


def _bootstrap_refusal(policy: Policy, baseline_exists: bool, candidate: TableInfo | None) -> str | None:
    if baseline_exists:
        return "There is nothing to compare the candidate with: score the baseline and the candidate first."
    if candidate is None:
        return "The candidate has no predictions: score it first, also when there is no baseline yet."
    return _wrong_split(policy, candidate=candidate)


def _wrong_split(policy: Policy, **tables: TableInfo) -> str | None:
    """Return why these tables must not decide, or None if all are of the split that the policy names.

    Examples of another split may have trained a model or selected its epoch.
    """
    for role, info in tables.items():
        if info.split != policy.evaluation:
            split, wanted = f"of '{info.split}'" if info.split else "of an unnamed split", f"'{policy.evaluation}'"
            return f"The policy decides on {wanted}, but the {role}'s table is {split}: score it on {wanted}."
    return None


def is_same_model(one: TableInfo, other: TableInfo) -> bool:
    """Tell whether two tables name the same uri, the same model name and version, or the same file."""
    return any(
        (
            bool(one.model_uri) and one.model_uri == other.model_uri,
            bool(one.model_name and one.model_version)
            and (one.model_name, one.model_version) == (other.model_name, other.model_version),
            bool(one.path and other.path) and os.path.realpath(one.path) == os.path.realpath(other.path),
        )
    )


def _summary(verdict: Verdict, checks: list[Check], num_examples: int) -> str:
    these = [check for check in checks if check.verdict is verdict]
    of = f"{len(these):,} of {len(checks):,} checks"
    on = f"on {num_examples:,} examples"
    undecided = "" if any(check.examples_needed is None for check in these) else "; more examples would decide"
    beyond = any(check.metric in BEYOND_RULES for check in these)
    return {
        Verdict.PASS: f"All {len(checks):,} checks hold {on}." if len(these) > 1 else f"The only check holds {on}.",
        Verdict.FAIL: f"{'Refused' if beyond else 'Outside the limit'} {on}: {of}.",
        Verdict.INCONCLUSIVE: f"Undecided {on}: {of}{undecided}.",
        Verdict.ERROR: f"Could not be judged: {of}.",
    }[verdict]
