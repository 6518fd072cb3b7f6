"""A decision carried out: recorded with the version, production moved, and what is said where that breaks off."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pct_mlops.errors import PctError
from pct_mlops.gate import Verdict
from pct_mlops.workflows.gating.outcome import Judgement
from pct_mlops.workflows.gating.pinned_examples import fixed_blockers, with_ids
from pct_mlops.workflows.gating.report_files import Outputs

if TYPE_CHECKING:
    from pct_mlops.registry import Move, Registry, Version


class Case(NamedTuple):
    """A candidate, the baseline (None: none yet) and the model whose production may move, which may have to be made."""

    registry: Registry
    version: Version
    old: Version | None
    target: str
    is_new: bool


def carry_out(case: Case, judgement: Judgement, outputs: Outputs, *, pin: Path | None = None) -> Judgement:
    """Record the decision, then move production if it is to move; a failure of either is an ERROR.

    After a pass, the blockers that are fixed are added to `pin`. `outputs` are written aside before the move.
    """
    released = case.version
    try:
        judgement = replace(judgement, report_uri=_record(case, case.version, judgement))
        if judgement.may_move:
            released = _released(case, judgement)
        judgement = judgement.done(released.uri if judgement.may_move else None)
        judgement, more = _pinned(case, judgement, pin)
        outputs.stage(judgement, more)
        if judgement.moved_to:
            judgement = replace(judgement, move=_move(case, released, judgement))
    except (PctError, KeyboardInterrupt) as error:
        end = _after_failure(case, released, judgement, str(error) or "interrupted.")
        judgement = judgement.failed(end.sentence, end.moved, getattr(error, "code", None))
        if end.moved is False and not end.in_production:
            # Nobody should read a pass where the command said error; a registry that is gone stays as it was.
            with suppress(PctError):
                for item in {version.uri: version for version in (case.version, released)}.values():
                    _record(case, item, judgement)
        outputs.stage(judgement)
    return judgement


def _released(case: Case, judgement: Judgement) -> Version:
    """The version that production is to move to: the candidate, or its copy, which carries the same record."""
    from pct_mlops.registry import release

    if case.version.name == case.target:
        return case.version
    copy = release(case.registry, case.version, case.target)
    _record(case, copy, judgement)
    return copy


def _move(case: Case, released: Version, judgement: Judgement) -> Move:
    from pct_mlops.registry import promote

    decision, promotion = judgement.decision, judgement.promotion
    assert promotion is not None  # nothing moves that was not asked for
    return promote(
        case.registry,
        released,
        case.old,
        verdict=str(decision.verdict),
        policy_digest=decision.policy_digest,
        report=judgement.report_uri,
        reason=promotion.reason,
        override=promotion.override,
    )


def _pinned(case: Case, judgement: Judgement, pin: Path | None) -> tuple[Judgement, dict[Path, str]]:
    """After a pass: the text of the pinned file with the blockers that the candidate puts right."""
    if pin is None or judgement.comparison is None or judgement.decision.verdict is not Verdict.PASS:
        return judgement, {}
    fixed = fixed_blockers(case.registry, {case.version.name, case.target}, judgement.comparison)
    text, number = with_ids(pin, fixed)
    return replace(judgement, pinned=number), {pin: text} if number else {}


class _End(NamedTuple):
    """How a promotion that failed left production. `moved`: by it, None when that is not certain."""

    sentence: str
    moved: bool | None
    in_production: bool = False


def _after_failure(case: Case, released: Version, judgement: Judgement, why: str) -> _End:
    if not judgement.moved_to:
        return _End(f"nothing was promoted: {why}", False)
    from pct_mlops.registry import PRODUCTION, Standing, verify

    verb = f"'pct verify {case.target}'"
    try:
        now = case.registry.find(case.target, PRODUCTION)
        state = verify(case.registry, case.target).state
    except PctError:
        return _End(f"the promotion broke off, and {verb} tells how far it came: {why}", None)
    if now is not None and now.uri == released.uri:
        if state is Standing.RECORDED:
            return _End(f"{released.uri} is production already, and this run moved nothing more: {why}", False, True)
        repair = f"run 'pct verify {case.target} --repair'"
        return _End(f"the promotion broke off after production had moved, {repair}: {why}", None, True)
    if state in (Standing.BEGUN, Standing.UNCLEAR):
        return _End(f"the promotion broke off, and {verb} tells how far it came: {why}", None)
    return _End(f"nothing was promoted: {why}", False)


def _record(case: Case, version: Version, judgement: Judgement) -> str:
    """Keep the decision with a version: tags, metrics and the report, whose address is returned."""
    from pct_mlops.registry import record_decision

    decision, comparison, promotion = judgement.decision, judgement.comparison, judgement.promotion
    metrics = {}
    if comparison is not None:
        values = {key: comparison.estimate(key, decision.confidence).value for key in ("nfr", "pfr", "accuracy_change")}
        metrics = {f"gate/{key}": value for key, value in values.items() if value is not None}
    tags = {
        "gate.verdict": str(decision.verdict),
        "gate.nfr": f"{metrics['gate/nfr']:.6f}" if "gate/nfr" in metrics else "",
        "gate.baseline_version": str(case.old.version) if case.old else "",
        "gate.policy_digest": decision.policy_digest,
    }
    overridden = promotion is not None and promotion.override
    if promotion is not None or "gate.override" in version.tags:
        tags["gate.override"] = promotion.reason if promotion and overridden else ""
    return record_decision(case.registry, version, tags, metrics, judgement.report, for_good=judgement.may_move)
