"""The gate over a registry or over files: judge, record, and move production only on a pass."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pct_mlops.config import PctError, Policy
from pct_mlops.gate import Verdict, decide
from pct_mlops.pipeline.evidence import compared, weigh
from pct_mlops.pipeline.judgement import OVERRIDABLE, PROMOTING, Judgement
from pct_mlops.pipeline.outputs import Outputs
from pct_mlops.pipeline.references import is_file, open_source
from pct_mlops.reports import Pair, Promotion

if TYPE_CHECKING:
    from pct_mlops.registry import Move, Registry, Version

__all__ = ["PROMOTING", "Judgement", "Outputs", "judge"]


@dataclass(frozen=True)
class _Request:
    """What was asked for beside the verdict."""

    baseline: str | None = None
    promote: bool = False
    override: bool = False
    reason: str = ""
    into: str | None = None
    recompute: bool = False
    pin: Path | None = None

    @property
    def moves(self) -> bool:
        return self.promote or self.override


class _Case(NamedTuple):
    """A candidate, the baseline (None: none yet) and the model whose production may move, which may have to be made."""

    registry: Registry
    version: Version
    old: Version | None
    target: str
    is_new: bool


def judge(
    candidate: str,
    policy: Policy,
    *,
    baseline: str | None = None,
    promote: bool = False,
    override: bool = False,
    reason: str = "",
    into: str | None = None,
    recompute: bool = False,
    pin: Path | None = None,
    outputs: Outputs | None = None,
    tracking_uri: str | None = None,
) -> Judgement:
    """Judge `candidate` against `baseline` (default: the policy's alias of the candidate's model, or of `into`).

    Over a registry the decision is recorded with the version. With `promote`, production moves on PASS or BOOTSTRAP;
    with `override` (which needs a reason) on FAIL and INCONCLUSIVE too, never on ERROR. `into` names the model that
    the candidate is copied to when it is promoted. `recompute` scores both where their tables do not fit. `pin` is the
    policy's list of pinned examples, to which blockers that are fixed are added after a pass.

    Order: decide, write `outputs` aside, record, move, put the outputs in place. What fails before the move prevents
    it, and is an ERROR or a PctError.
    """
    outputs = outputs or Outputs()
    request = _Request(baseline, promote, override, reason, into, recompute, pin)
    try:
        if override and not reason.strip():
            raise PctError("An override without a reason tells nobody anything: give one with --reason.")
        if is_file(candidate):
            judgement = _judge_files(candidate, policy, request)
            outputs.stage(judgement)
        else:
            from pct_mlops.registry import Registry

            judgement = _judge_version(Registry(tracking_uri), candidate, policy, request, outputs)
    except PctError as error:
        outputs.refuse(policy, str(error))
        raise
    except BaseException:
        outputs.discard()
        raise
    try:
        outputs.commit()
    except PctError as error:
        if judgement.move is None:
            # A file that was written already would say what the command does not.
            outputs.refuse(policy, str(error))
            raise
        raise PctError(f"{judgement.moved_to} is production now, but {error}") from error
    return judgement


def _judge_files(candidate: str, policy: Policy, request: _Request) -> Judgement:
    if request.moves or request.into:
        raise PctError(f"{candidate} is a file, and only a registered version can be promoted: name it name@candidate.")
    if request.recompute or request.pin:
        raise PctError(f"{candidate} is a file: --recompute and --pin-fixed are about registered versions.")
    if request.baseline is None:
        raise PctError("A predictions file is judged against another one: give it with --baseline OLD.parquet.")
    old, new = open_source(request.baseline), open_source(candidate)
    comparison, problem = compared(old.predictions, new.predictions, policy)
    decision = decide(policy, comparison, problem=problem, candidate=new.predictions.info)
    pair = Pair(request.baseline, candidate)
    return Judgement.of(decision, comparison, {}, candidate=new.uri, baseline=old.uri, pair=pair)


def _judge_version(
    registry: Registry, candidate: str, policy: Policy, request: _Request, outputs: Outputs
) -> Judgement:
    # Resolved once: whatever the aliases do from here on, these two versions are what is judged.
    version = registry.resolve(candidate)
    target = request.into or version.name
    case = _case(registry, version, target, policy, request)
    old = case.old
    found = weigh(registry, version, old, policy, target=target, recompute=request.recompute)
    verdict = found.decision.verdict
    promotion = None
    if request.moves:
        promotion = Promotion(target, request.reason, override=request.override and verdict in OVERRIDABLE)
    context: dict[str, Any] = {
        "candidate_uri": version.uri,
        "baseline_uri": old.uri if old else None,
        "reason": request.reason,
    }
    if found.floor is not None:
        keys = ("mean", "std", "max", "num_seeds", "version", "sentence")
        context["floor"] = {key: getattr(found.floor, key) for key in keys}
    judgement = Judgement.of(
        found.decision,
        found.comparison,
        context,
        promotion,
        candidate=version.uri,
        baseline=old.uri if old else None,
        pair=_pair(version, old),
        floor=found.floor,
        new_model=target if case.is_new else "",
    )
    # An output that cannot be written is known before anything is.
    outputs.stage(judgement.done(None))
    # An ERROR is no decision: the registry stays as it was.
    if verdict is Verdict.ERROR:
        return judgement.done(None)
    return _carry_out(case, judgement, request, outputs)


def _pair(version: Version, old: Version | None) -> Pair | None:
    if old is None:
        return None
    other = version.name if version.name != old.name else ""
    return Pair(str(old.version), str(version.version), old.name, other)


def _case(registry: Registry, version: Version, target: str, policy: Policy, request: _Request) -> _Case:
    from pct_mlops.registry import PRODUCTION, check_first

    reference = request.baseline
    if reference is not None and is_file(reference):
        raise PctError(f"{reference} is a file and {version.uri} a version: judge two versions, or two files.")
    old = registry.find(target, policy.baseline) if reference is None else registry.resolve(reference)
    if old is None:
        return _Case(registry, version, None, target, not check_first(registry, target, policy.baseline))
    if request.moves and (reference is not None or policy.baseline != PRODUCTION):
        now = registry.find(target, PRODUCTION)
        if now is None or now.uri != old.uri:
            raise PctError(
                f"{version.uri} would be judged against {old.uri}, which is not in production of {target}: "
                "only a judgement against production can promote; leave --baseline out."
            )
    return _Case(registry, version, old, target, False)


def _carry_out(case: _Case, judgement: Judgement, request: _Request, outputs: Outputs) -> Judgement:
    """Record the decision, then move production if it is to move; a failure of either is an ERROR."""
    released = case.version
    try:
        judgement = replace(judgement, report_uri=_record(case, case.version, judgement))
        if judgement.may_move:
            released = _released(case, judgement)
        judgement = judgement.done(released.uri if judgement.may_move else None)
        judgement, more = _pinned(case, judgement, request)
        outputs.stage(judgement, more)
        if judgement.moved_to:
            judgement = replace(judgement, move=_move(case, released, judgement))
    except (PctError, KeyboardInterrupt) as error:
        end = _after_failure(case, released, judgement, str(error) or "interrupted.")
        judgement = judgement.failed(end.sentence, end.moved)
        if end.moved is False and not end.in_production:
            # Nobody should read a pass where the command said error; a registry that is gone stays as it was.
            with suppress(PctError):
                for item in {version.uri: version for version in (case.version, released)}.values():
                    _record(case, item, judgement)
        outputs.stage(judgement)
    return judgement


def _released(case: _Case, judgement: Judgement) -> Version:
    """The version that production is to move to: the candidate, or its copy, which carries the same record."""
    from pct_mlops.registry import release

    if case.version.name == case.target:
        return case.version
    copy = release(case.registry, case.version, case.target)
    _record(case, copy, judgement)
    return copy


def _move(case: _Case, released: Version, judgement: Judgement) -> Move:
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


def _pinned(case: _Case, judgement: Judgement, request: _Request) -> tuple[Judgement, dict[Path, str]]:
    """After a pass: the text of the pinned file with the blockers that the candidate puts right."""
    if request.pin is None or judgement.comparison is None or judgement.decision.verdict is not Verdict.PASS:
        return judgement, {}
    from pct_mlops.pipeline.pins import fixed_blockers, with_ids

    fixed = fixed_blockers(case.registry, {case.version.name, case.target}, judgement.comparison)
    text, number = with_ids(request.pin, fixed)
    return replace(judgement, pinned=number), {request.pin: text} if number else {}


class _End(NamedTuple):
    """How a promotion that failed left production. `moved`: by it, None when that is not certain."""

    sentence: str
    moved: bool | None
    in_production: bool = False


def _after_failure(case: _Case, released: Version, judgement: Judgement, why: str) -> _End:
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


def _record(case: _Case, version: Version, judgement: Judgement) -> str:
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
