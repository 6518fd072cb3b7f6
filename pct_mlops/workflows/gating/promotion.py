"""Changes the registry for a run of the gate: record, copy and move. Tells how a failed promotion left it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pct_mlops.config import PctError
from pct_mlops.errors import RegistryForbiddenError

if TYPE_CHECKING:
    from pct_mlops.registry import Move, Registry, Version
    from pct_mlops.workflows.gating.judged_tables import JudgedTable


class Plan(NamedTuple):
    """Versions that a run is about. `old` is the baseline, None when there is none yet.

    `target` is the model whose production may move: the candidate's own, or the one that it is copied into. `is_new`
    says that it does not exist yet.
    """

    registry: Registry
    version: Version
    old: Version | None
    target: str
    is_new: bool


def before_move(report: dict[str, Any]) -> dict[str, Any]:
    """Return the report as it is recorded before a move, with `done` None.

    The result of the move is not known yet. The history of production tells it later.
    """
    promotion = report["promotion"]
    return report if promotion is None else {**report, "promotion": {**promotion, "done": None}}


def write_record(plan: Plan, version: Version, report: dict[str, Any], *, for_good: bool) -> str:
    """Keep a decision with a version: tags, metrics and the report. Return the report's address."""
    from pct_mlops.registry import record_decision

    found = report.get("metrics", {})
    values = {key: found[key]["value"] for key in ("nfr", "pfr", "accuracy_change") if key in found}
    metrics = {f"gate/{key}": value for key, value in values.items() if value is not None}
    tags = {
        "gate.verdict": report["verdict"],
        "gate.nfr": f"{metrics['gate/nfr']:.6f}" if "gate/nfr" in metrics else "",
        "gate.baseline_version": str(plan.old.version) if plan.old else "",
        "gate.policy_digest": report["policy"]["digest"],
    }
    # Emptied where this decision judged no evidence, so that none of an earlier one is taken for it.
    for role in ("candidate", "baseline"):
        found = (report["digests"] or {}).get(role)
        tags[f"gate.{role}_evidence"] = found["whole"] if found else ""
    promotion = report["promotion"]
    # The override of an earlier decision does not apply to this one, so its tag is emptied.
    if promotion is not None or "gate.override" in version.tags:
        tags["gate.override"] = promotion["reason"] if promotion and promotion["override"] else ""
    return record_decision(plan.registry, version, tags, metrics, report, for_good=for_good)


def fix_evidence(registry: Registry, judged: Iterable[JudgedTable]) -> None:
    """Record the evidence that was judged on each version that has no record of its own, so that a change is found.

    A record of the logged model does not count: whoever may edit the experiment can change it with the table. Whoever
    may judge a version need not be allowed to write to it. Then this decision's report alone names its digest.
    """
    from pct_mlops.registry import write_first_evidence

    for item in judged:
        if not item.is_on_version:
            with suppress(RegistryForbiddenError):
                write_first_evidence(registry, item.version, item.split, item.digests)


def release_candidate(plan: Plan, report: dict[str, Any], judged: Mapping[str, JudgedTable]) -> Version:
    """Return the version that production is to move to: the candidate, or its copy, which carries the same record."""
    from pct_mlops.registry import release, write_evidence

    if plan.version.name == plan.target:
        return plan.version
    copy = release(plan.registry, plan.version, plan.target)
    write_record(plan, copy, report, for_good=True)
    candidate = judged["candidate"]
    write_evidence(plan.registry, copy, candidate.split, candidate.digests)
    return copy


def move_production(
    plan: Plan, released: Version, report: dict[str, Any], report_uri: str, judged: Mapping[str, JudgedTable]
) -> Move:
    """Move production to `released`, as its report says, if the evidence is still what was judged."""
    from pct_mlops.registry import MoveEvidence, check_evidence, promote

    candidate, baseline = judged["candidate"], judged.get("baseline")

    def check() -> None:
        check_evidence(plan.registry, released, candidate.split, candidate.digests)
        if baseline is not None:
            check_evidence(plan.registry, baseline.version, baseline.split, baseline.digests)

    return promote(
        plan.registry,
        released,
        plan.old,
        verdict=report["verdict"],
        policy_digest=report["policy"]["digest"],
        report=report_uri,
        reason=report["promotion"]["reason"],
        override=report["promotion"]["override"],
        evidence=MoveEvidence(
            candidate.split, candidate.digests.whole, baseline.digests.whole if baseline is not None else ""
        ),
        check=check,
    )


class Ending(NamedTuple):
    """State of production after a promotion failed. `moved` tells whether this run moved it, None when unknown."""

    sentence: str
    moved: bool | None
    in_production: bool = False


def ending_of(plan: Plan, released: Version, why: str, *, has_begun: bool) -> Ending:
    """Find out how production stands after a promotion to `released` failed. `has_begun`: it was about to move."""
    if not has_begun:
        return Ending(f"nothing was promoted: {why}", False)
    from pct_mlops.registry import PRODUCTION, ProductionState, verify

    target = plan.target
    verb = f"'pct verify {target}'"
    try:
        now = plan.registry.find(target, PRODUCTION)
        state = verify(plan.registry, target).state
    except PctError:
        return Ending(f"the promotion broke off, and {verb} tells how far it came: {why}", None)
    if now is not None and now.uri == released.uri:
        if state is ProductionState.RECORDED:
            return Ending(f"{released.uri} is production already, and this run moved nothing more: {why}", False, True)
        repair = f"run 'pct verify {target} --repair'"
        return Ending(f"the promotion broke off after production had moved, {repair}: {why}", None, True)
    if state in (ProductionState.BEGUN, ProductionState.UNCLEAR):
        return Ending(f"the promotion broke off, and {verb} tells how far it came: {why}", None)
    return Ending(f"nothing was promoted: {why}", False)
