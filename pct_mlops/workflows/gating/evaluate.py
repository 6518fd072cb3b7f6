"""The gate over a registry or over files: two tables are judged; over a registry the decision is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.config import PctError, Policy
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
    """Judge a candidate against a baseline, and move production if that is asked for and permitted.

    Over a registry the decision is recorded with the version. Order: decide, write `outputs` aside, record, move, put
    the outputs in place. What fails before the move prevents it, and is an ERROR or a PctError.

    Args:
        candidate: a version (name@candidate, name/3, models:/name/3) or a predictions file.
        policy: the rules.
        baseline: what it is judged against; None: the policy's alias of the candidate's model, or of `into`.
        promote: move production on PASS or BOOTSTRAP.
        override: move it on FAIL and INCONCLUSIVE too, never on ERROR; needs a reason.
        reason: kept in the history of production.
        into: the model that the candidate is judged for, and copied to when it is promoted.
        recompute: score both where their tables do not fit.
        pin: the policy's list of pinned examples, to which blockers that are fixed are added after a pass.
        outputs: report files to write.
        tracking_uri: of the registry; None: MLflow's own setting.

    Returns:
        The decision with its evidence, its report as a dictionary, and what became of production.

    Raises:
        PctError: the candidate, baseline or registry cannot be read, or what was asked for does not go together.

    Example:
        >>> from pct_mlops import Policy, Predictions, Rule, evaluate_candidate
        >>> ids, labels = ["a", "b", "c", "d"], [0, 1, 1, 0]
        >>> about = {"class_names": ("cat", "dog"), "split": "test"}
        >>> old = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [0, 2], [0, 2]], **about)
        >>> new = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [2, 0], [2, 0]], **about)
        >>> tables = old.save("old.parquet"), new.save("new.parquet")
        >>> policy = Policy(rules=(Rule(metric="nfr", max=0.02, bound="point"),))
        >>> judged = evaluate_candidate("new.parquet", policy, baseline="old.parquet")
        >>> judged.decision.verdict.value, judged.report["checks"][0]["value"]
        ('FAIL', 0.25)
    """
    request = _Request(baseline, promote, override, reason, into, recompute, pin)
    return _judge(candidate, policy, request, outputs or Outputs(), tracking_uri)


def _judge(candidate: str, policy: Policy, request: _Request, outputs: Outputs, tracking_uri: str | None) -> Judgement:
    try:
        if request.override and not request.reason.strip():
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
    comparison, problem = (
        (None, f"{candidate} is the baseline itself or a copy of it: give the candidate's own predictions.")
        if have_same_content(request.baseline, candidate)
        else compared(old.predictions, new.predictions, policy)
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
        raise PctError(f"{reference} is a file and {version.uri} a version: judge two versions, or two files.")
    old = registry.find(target, policy.baseline) if reference is None else registry.resolve(reference)
    if old is None:
        return Case(registry, version, None, target, not check_first(registry, target, policy.baseline))
    if request.moves and (reference is not None or policy.baseline != PRODUCTION):
        now = registry.find(target, PRODUCTION)
        if now is None or now.uri != old.uri:
            raise PctError(
                f"{version.uri} would be judged against {old.uri}, which is not in production of {target}: "
                "only a judgement against production can promote; leave --baseline out."
            )
    return Case(registry, version, old, target, False)
