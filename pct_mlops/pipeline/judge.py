"""The gate over a registry or over files: judge, record, and move production only on a pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pct_mlops.comparison import Comparison, compare
from pct_mlops.config import PctError, Policy
from pct_mlops.gate import Decision, Verdict, decide
from pct_mlops.pipeline.references import is_file, open_source, version_predictions
from pct_mlops.reports import to_json

if TYPE_CHECKING:
    from pct_mlops.registry import Floor, Move, Registry, Version

PROMOTING = (Verdict.PASS, Verdict.BOOTSTRAP)


@dataclass(frozen=True)
class Judgement:
    """A decision with its evidence.

    `report_uri` is where the registry keeps the report; `move` is what was done to production, None when nothing was.
    `floor` is what retraining alone flips on the same examples, None where that was not measured.
    """

    decision: Decision
    comparison: Comparison | None
    report: dict[str, Any]
    candidate: str
    baseline: str | None
    report_uri: str = ""
    move: Move | None = None
    floor: Floor | None = None


def judge(
    candidate: str,
    policy: Policy,
    *,
    baseline: str | None = None,
    promote: bool = False,
    reason: str = "",
    tracking_uri: str | None = None,
) -> Judgement:
    """Judge `candidate` against `baseline` (default: the policy's alias of the candidate's model).

    Over a registry the decision is recorded with the version; with `promote`, production moves on PASS or BOOTSTRAP.
    """
    if is_file(candidate):
        return _judge_files(candidate, policy, baseline, promote)
    from pct_mlops.registry import Registry

    registry = Registry(tracking_uri)
    # Resolved once: whatever the aliases do from here on, these two versions are what is judged.
    version = registry.resolve(candidate)
    old = _baseline(registry, version, policy, baseline)
    judgement = _judge_versions(registry, version, old, policy, reason)
    if promote and judgement.decision.verdict in PROMOTING:
        return replace(judgement, move=_promote(registry, version, old, judgement, reason))
    return judgement


def _judge_files(candidate: str, policy: Policy, baseline: str | None, promote: bool) -> Judgement:
    if promote:
        raise PctError(f"{candidate} is a file, and only a registered version can be promoted: name it name@candidate.")
    if baseline is None:
        raise PctError("A predictions file is judged against another one: give it with --baseline OLD.parquet.")
    old, new = open_source(baseline), open_source(candidate)
    comparison, problem = _compared(old.predictions, new.predictions)
    decision = decide(policy, comparison, problem=problem, candidate=new.predictions.info)
    return Judgement(decision, comparison, to_json(decision, comparison), new.uri, old.uri)


def _judge_versions(
    registry: Registry, version: Version, old: Version | None, policy: Policy, reason: str
) -> Judgement:
    decision, comparison = _decide(registry, version, old, policy)
    context: dict[str, Any] = {
        "candidate_uri": version.uri,
        "baseline_uri": old.uri if old else None,
        "reason": reason,
    }
    floor = _floor(registry, version, comparison)
    if floor is not None:
        shown = {key: getattr(floor, key) for key in ("mean", "std", "max", "num_seeds", "version", "sentence")}
        context["floor"] = shown
    report = to_json(decision, comparison, context)
    judgement = Judgement(decision, comparison, report, version.uri, old.uri if old else None, floor=floor)
    # An ERROR is no decision: the registry stays as it was.
    if decision.verdict is Verdict.ERROR:
        return judgement
    return replace(judgement, report_uri=_record(registry, version, old, judgement))


def _floor(registry: Registry, version: Version, comparison: Comparison | None) -> Floor | None:
    from pct_mlops.registry import read_floor

    return read_floor(registry, version.name, comparison.new.digest) if comparison is not None else None


def _promote(registry: Registry, version: Version, old: Version | None, judgement: Judgement, reason: str) -> Move:
    from pct_mlops.registry import PRODUCTION, promote

    now = registry.find(version.name, PRODUCTION)
    if old is not None and (now is None or now.version != old.version):
        raise PctError(
            f"{version.uri} was judged against {old.uri}, which is not in production: "
            "only a judgement against production can promote; leave --baseline out."
        )
    decision = judgement.decision
    return promote(
        registry,
        version,
        old,
        verdict=str(decision.verdict),
        policy_digest=decision.policy_digest,
        report=judgement.report_uri,
        reason=reason,
    )


def _baseline(registry: Registry, version: Version, policy: Policy, reference: str | None) -> Version | None:
    if reference is None:
        return registry.find(version.name, policy.baseline)
    if is_file(reference):
        raise PctError(f"{reference} is a file and {version.uri} a version: judge two versions, or two files.")
    return registry.resolve(reference)


def _decide(
    registry: Registry, version: Version, old: Version | None, policy: Policy
) -> tuple[Decision, Comparison | None]:
    new_table = version_predictions(registry, version, policy.evaluation)
    if old is None:
        return decide(policy, None, baseline_exists=False, candidate=new_table.info), None
    if old.uri == version.uri:
        problem = f"{version.uri} is the baseline itself: register a new candidate, then judge that."
        return decide(policy, None, problem=problem, candidate=new_table.info), None
    comparison, problem_found = _compared(version_predictions(registry, old, policy.evaluation), new_table)
    return decide(policy, comparison, problem=problem_found, candidate=new_table.info), comparison


def _compared(old: Any, new: Any) -> tuple[Comparison | None, str | None]:
    """The comparison, or why there is none: not comparable is a verdict (ERROR), not a crash."""
    try:
        return compare(old, new), None
    except PctError as error:
        return None, str(error)


def _record(registry: Registry, version: Version, old: Version | None, judgement: Judgement) -> str:
    from pct_mlops.registry import record_decision

    decision, comparison = judgement.decision, judgement.comparison
    metrics = {}
    if comparison is not None:
        values = {key: comparison.estimate(key, decision.confidence).value for key in ("nfr", "pfr", "accuracy_change")}
        metrics = {f"gate/{key}": value for key, value in values.items() if value is not None}
    tags = {
        "gate.verdict": str(decision.verdict),
        "gate.nfr": f"{metrics['gate/nfr']:.6f}" if "gate/nfr" in metrics else "",
        "gate.baseline_version": str(old.version) if old else "",
        "gate.policy_digest": decision.policy_digest,
    }
    return record_decision(registry, version, tags, metrics, judgement.report)
