"""The gate over a registry or over files: two tables are judged; over a registry the decision is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.config import Policy
from pct_mlops.errors import ConfigError, NotComparableError, PctError, PromotionError
from pct_mlops.gate import Verdict, decide
from pct_mlops.reports import Pair, Promotion
from pct_mlops.workflows.gating.evidence import compared, weigh
from pct_mlops.workflows.gating.outcome import OVERRIDABLE, PROMOTING, Judgement
from pct_mlops.workflows.gating.promotion import Case, carry_out
from pct_mlops.workflows.gating.report_files import Outputs
from pct_mlops.workflows.runtime.references import have_same_content, is_file, open_source

if TYPE_CHECKING:
    from pct_mlops.registry import Registry, Version

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
            raise PromotionError("An override without a reason tells nobody anything: give one with --reason.")
        if is_file(candidate):
            judgement = _judge_files(candidate, policy, request)
            outputs.stage(judgement)
        else:
            from pct_mlops.registry import Registry

            judgement = _judge_version(Registry(tracking_uri), candidate, policy, request, outputs)
    except PctError as error:
        outputs.refuse(policy, error)
        raise
    except BaseException:
        outputs.discard()
        raise
    try:
        outputs.commit()
    except PctError as error:
        if judgement.move is None:
            # A file that was written already would say what the command does not.
            outputs.refuse(policy, error)
            raise
        raise error.reworded(f"{judgement.moved_to} is production now, but {error}") from error
    return judgement


def _judge_files(candidate: str, policy: Policy, request: _Request) -> Judgement:
    if request.moves or request.into:
        raise PromotionError(
            f"{candidate} is a file, and only a registered version can be promoted: name it name@candidate."
        )
    if request.recompute or request.pin:
        raise ConfigError(f"{candidate} is a file: --recompute and --pin-fixed are about registered versions.")
    if request.baseline is None:
        raise ConfigError("A predictions file is judged against another one: give it with --baseline OLD.parquet.")
    old, new = open_source(request.baseline), open_source(candidate)
    comparison, problem = None, None
    if not have_same_content(request.baseline, candidate):
        comparison, problem = compared(old.predictions, new.predictions, policy)
    # A version's table is not refused for that: the same recipe trained again gives the same model, to the last bit.
    if problem is None and (comparison is None or comparison.is_copy):
        problem = NotComparableError(
            f"{candidate} is the baseline itself or a copy of it: give the candidate's own predictions."
        )
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
    return carry_out(case, judgement, outputs, pin=request.pin)


def _pair(version: Version, old: Version | None) -> Pair | None:
    if old is None:
        return None
    other = version.name if version.name != old.name else ""
    return Pair(str(old.version), str(version.version), old.name, other)


def _case(registry: Registry, version: Version, target: str, policy: Policy, request: _Request) -> Case:
    from pct_mlops.registry import PRODUCTION, check_first

    reference = request.baseline
    if reference is not None and is_file(reference):
        raise ConfigError(f"{reference} is a file and {version.uri} a version: judge two versions, or two files.")
    old = registry.find(target, policy.baseline) if reference is None else registry.resolve(reference)
    if old is None:
        return Case(registry, version, None, target, not check_first(registry, target, policy.baseline))
    if request.moves and (reference is not None or policy.baseline != PRODUCTION):
        now = registry.find(target, PRODUCTION)
        if now is None or now.uri != old.uri:
            raise PromotionError(
                f"{version.uri} would be judged against {old.uri}, which is not in production of {target}: "
                "only a judgement against production can promote; leave --baseline out."
            )
    return Case(registry, version, old, target, False)
