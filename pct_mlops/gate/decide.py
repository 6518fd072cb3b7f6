"""The one decision that command line, CI and explorer share: pure, and closed when in doubt."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from pct_mlops.gate.decision import WORST_FIRST, Check, Decision, NotJudged, Verdict
from pct_mlops.gate.rules import judge

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison
    from pct_mlops.config import Policy
    from pct_mlops.predictions import TableInfo


def decide(
    policy: Policy,
    comparison: Comparison | None,
    *,
    baseline_exists: bool = True,
    candidate: TableInfo | None = None,
    problem: str | None = None,
) -> Decision:
    """Whether the candidate (the comparison's new table) may replace the baseline (its old table).

    Without a baseline there is no comparison: pass baseline_exists=False and the candidate's TableInfo, which must
    exist even then. `problem` says why there is no comparison (tables missing or not comparable): always an ERROR.
    """
    old = comparison.old if comparison else None
    new = comparison.new if comparison else candidate
    num_examples = new.num_examples if new else None

    def decision(verdict: Verdict, sentence: str, checks: list[Check], small: list[NotJudged]) -> Decision:
        return Decision(verdict, sentence, tuple(checks), policy, tuple(small), num_examples, new, old)

    refusal = problem or _refusal(policy, comparison, baseline_exists, candidate)
    if refusal:
        return decision(Verdict.ERROR, refusal, [], [])
    if comparison is None:
        sentence = "There is no baseline yet: the candidate may become the first one."
        return decision(Verdict.BOOTSTRAP, sentence, [], [])
    checks: list[Check] = []
    small: list[NotJudged] = []
    for rule in policy.rules:
        judged, skipped = judge(rule, comparison, policy.confidence)
        checks += judged
        small += skipped
    verdict = next(verdict for verdict in WORST_FIRST if any(check.verdict is verdict for check in checks))
    return decision(verdict, _summary(verdict, checks, comparison.counts.total), checks, small)


def _refusal(
    policy: Policy, comparison: Comparison | None, baseline_exists: bool, candidate: TableInfo | None
) -> str | None:
    """Why no rule is even looked at, or None."""
    if not policy.rules:
        return "The policy has no rules, so it would let anything pass: write at least one."
    if comparison is None:
        return _bootstrap_refusal(policy, baseline_exists, candidate)
    if not baseline_exists:
        return "There is a comparison although no baseline exists: one of the two is wrong."
    if is_same_model(comparison.old, comparison.new):
        return f"Candidate and baseline are the same model ({comparison.new.title}): register the candidate first."
    return _wrong_split(policy, candidate=comparison.new, baseline=comparison.old)


def _bootstrap_refusal(policy: Policy, baseline_exists: bool, candidate: TableInfo | None) -> str | None:
    if baseline_exists:
        return "There is nothing to compare the candidate with: score the baseline and the candidate first."
    if candidate is None:
        return "The candidate has no predictions: score it first, also when there is no baseline yet."
    return _wrong_split(policy, candidate=candidate)


def _wrong_split(policy: Policy, **tables: TableInfo) -> str | None:
    """Evidence from another split may have trained a model or selected its epoch."""
    for role, info in tables.items():
        if info.split != policy.evaluation:
            split = f"of '{info.split}'" if info.split else "of an unnamed split"
            return f"The policy decides on '{policy.evaluation}', but the {role}'s table is {split}: score it on that."
    return None


def is_same_model(one: TableInfo, other: TableInfo) -> bool:
    """Whether two tables come from one model version, as far as they say: same uri, name and version, or file."""
    return any(
        (
            bool(one.model_uri) and one.model_uri == other.model_uri,
            bool(one.model_name and one.model_version)
            and (one.model_name, one.model_version) == (other.model_name, other.model_version),
            bool(one.path and other.path) and os.path.abspath(one.path) == os.path.abspath(other.path),
        )
    )


def _summary(verdict: Verdict, checks: list[Check], num_examples: int) -> str:
    number = sum(check.verdict is verdict for check in checks)
    of = f"{number:,} of {len(checks):,} checks"
    on = f"on {num_examples:,} examples"
    return {
        Verdict.PASS: f"All {len(checks):,} checks hold {on}." if number > 1 else f"The only check holds {on}.",
        Verdict.FAIL: f"Outside the limit {on}: {of}.",
        Verdict.INCONCLUSIVE: f"Undecided {on}: {of}; more examples would decide.",
        Verdict.ERROR: f"Could not be judged: {of}.",
    }[verdict]
