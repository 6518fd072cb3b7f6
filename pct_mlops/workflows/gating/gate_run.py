"""Runs the gate in stages: from two versions or files to a verdict, its reports, and the move of production."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pct_mlops.config import Policy
from pct_mlops.errors import ConfigError, PctError, PromotionError
from pct_mlops.gate import Verdict, decide
from pct_mlops.predictions import ReadOptions
from pct_mlops.reports import ComparedPair, Promotion
from pct_mlops.workflows.gating.evidence import file_evidence, version_evidence
from pct_mlops.workflows.gating.judged_tables import digest_notes
from pct_mlops.workflows.gating.outcome import OVERRIDABLE, Outcome
from pct_mlops.workflows.gating.pinned_examples import fixed_blockers, with_ids
from pct_mlops.workflows.gating.promotion import (
    Plan,
    before_move,
    ending_of,
    fix_evidence,
    move_production,
    release_candidate,
    write_record,
)
from pct_mlops.workflows.gating.report_files import ReportFiles
from pct_mlops.workflows.runtime.references import is_file


@dataclass
class GateRun:
    """A run of the gate: what `pct gate` was asked for, and the stages. Each stage is called once, in this order.

        plan     Resolve the references once, find baseline and target, refuse what is not allowed.
          |      Whatever the aliases do from here on, these two versions are compared.
        decide   Gather the evidence (tables, reviews, floor), and draw the verdict from it, which is pure.
          |
        stage    Write the reports aside, as of a run that moves nothing.
          |      A report that cannot be written is known before anything is recorded or moved.
        move     Record the decision, copy the candidate if need be, stage again, move production.
          |      The record comes first, so that a move always points at one. Under the lock the evidence is read again.
        commit   Put the reports into their places.
                 This is last, so that no file says PASS where the run ended in an error.

    What fails before the move prevents it, and is an ERROR or a PctError. For files `plan` returns None, because there
    is nothing to move. `evaluate.evaluate_candidate` runs all of it and explains each field.
    """

    candidate: str
    policy: Policy
    baseline: str | None = None
    promote: bool = False
    override: bool = False
    reason: str = ""
    into: str | None = None
    recompute: bool = False
    pin: Path | None = None
    files: ReportFiles = field(default_factory=ReportFiles)
    tracking_uri: str | None = None
    reading: ReadOptions | None = None
    asks_to_move: bool = field(init=False)

    def __post_init__(self) -> None:
        self.asks_to_move = self.promote or self.override

    def run(self) -> Outcome:
        """Run all stages in their order. A PctError leaves reports that say ERROR. Any other exception leaves none."""
        try:
            plan = self.plan()
            outcome = self.decide(plan)
            self.stage(outcome)
            # An ERROR is no decision, so the registry stays as it was.
            if plan is not None and outcome.decision.verdict is not Verdict.ERROR:
                outcome = self.move(plan, outcome)
        except PctError as error:
            self.files.refuse(self.policy, error)
            raise
        except BaseException:
            self.files.discard()
            raise
        self.commit(outcome)
        return outcome

    def plan(self) -> Plan | None:
        """Return the versions that this run is about, None for two files. Raise PctError for what is not allowed."""
        if self.override and not self.reason.strip():
            raise PromotionError("--override requires --reason: say why production should move.")
        if is_file(self.candidate):
            self._check_files()
            return None
        from pct_mlops.registry import PRODUCTION, Registry, check_first

        registry = Registry(self.tracking_uri)
        version = registry.resolve(self.candidate)
        target, alias = self.into or version.name, self.policy.baseline
        if self.baseline is not None and is_file(self.baseline):
            raise ConfigError(
                f"{self.baseline} is a file and {version.uri} a version: judge two versions, or two files."
            )
        old = registry.find(target, alias) if self.baseline is None else registry.resolve(self.baseline)
        if old is None:
            return Plan(registry, version, None, target, not check_first(registry, target, alias))
        if self.asks_to_move and (self.baseline is not None or alias != PRODUCTION):
            now = registry.find(target, PRODUCTION)
            if now is None or now.uri != old.uri:
                raise PromotionError(
                    f"{version.uri} would be judged against {old.uri}, which is not in production of {target}: "
                    "only a judgement against production can promote; leave --baseline out."
                )
        return Plan(registry, version, old, target, False)

    def _check_files(self) -> None:
        file = self.candidate
        if self.asks_to_move or self.into:
            raise PromotionError(
                f"{file} is a file, and only a registered version can be promoted: name it name@candidate."
            )
        if self.recompute or self.pin:
            raise ConfigError(f"{file} is a file: --recompute and --pin-fixed are about registered versions.")
        if self.baseline is None:
            raise ConfigError("A predictions file is judged against another one: give it with --baseline OLD.parquet.")

    def decide(self, plan: Plan | None) -> Outcome:
        """Gather the evidence and draw the verdict from it.

        Nothing is written, except that `recompute` stores the tables that it scores again.
        """
        if plan is None:
            assert self.baseline is not None  # `plan` has checked this
            evidence = file_evidence(self.baseline, self.candidate, self.policy, self.reading)
        else:
            registry, version, old, target, _ = plan
            evidence = version_evidence(registry, version, old, self.policy, target=target, recompute=self.recompute)
        decision = decide(
            self.policy,
            evidence.comparison,
            baseline_exists=evidence.baseline_exists,
            candidate=evidence.candidate,
            problem=evidence.problem,
            floor=evidence.floor.mean if evidence.floor else None,
            review=evidence.review,
            ties=evidence.ties,
            alone=evidence.alone,
        )
        if evidence.remark:
            # In the sentence, it stands at the head of every report.
            decision = replace(decision, sentence=f"{decision.sentence} {evidence.remark}")
        decision = replace(decision, notes=(*decision.notes, *digest_notes(evidence.judged)))
        if plan is None:
            pair = ComparedPair(self.baseline or "", self.candidate)
            return self._with_flips(Outcome.of(decision, evidence, pair), None)
        promotion = None
        if self.asks_to_move:
            override = self.override and decision.verdict in OVERRIDABLE
            promotion = Promotion(plan.target, self.reason, override=override, done=False)
        context = {"candidate_uri": evidence.new_uri, "baseline_uri": evidence.old_uri, "reason": self.reason}
        new_model = plan.target if plan.is_new else ""
        outcome = Outcome.of(decision, evidence, _pair(plan), promotion, context=context, new_model=new_model)
        return self._with_flips(outcome, plan)

    def _with_flips(self, outcome: Outcome, plan: Plan | None) -> Outcome:
        """Add the negative flips that a report shows, where one is asked for that does."""
        if self.files.html_file is None or outcome.comparison is None:
            return outcome
        from pct_mlops.workflows.gating.flips_to_show import flips_of_files, flips_of_versions

        if plan is None:
            return replace(outcome, shown_flips=flips_of_files(outcome.comparison, self.candidate))
        return replace(outcome, shown_flips=flips_of_versions(outcome.comparison, plan.registry, plan.version))

    def stage(self, outcome: Outcome) -> None:
        """Write the reports aside, as of a run that moves nothing. Raise PctError when one cannot be written."""
        self.files.stage(outcome)

    def move(self, plan: Plan, outcome: Outcome) -> Outcome:
        """Record the decision, and move production if it is to move. A failure of either is an ERROR.

        After a PASS, add the blockers that are fixed to the list `pin`.
        """
        released, more = plan.version, {}
        try:
            report = before_move(outcome.report)
            report_uri = write_record(plan, plan.version, report, for_good=outcome.moves)
            outcome = replace(outcome, report_uri=report_uri)
            fix_evidence(plan.registry, outcome.judged.values())
            if outcome.moves:
                released = release_candidate(plan, report, outcome.judged)
                outcome = outcome.done(released.uri)
            if self.pin is not None and outcome.comparison is not None and outcome.decision.verdict is Verdict.PASS:
                fixed = fixed_blockers(plan.registry, {plan.version.name, plan.target}, outcome.comparison)
                text, number = with_ids(self.pin, fixed)
                outcome, more = replace(outcome, pinned=number), {self.pin: text} if number else {}
            self.files.stage(outcome, more)
            if outcome.moves:
                made = move_production(plan, released, outcome.report, report_uri, outcome.judged)
                outcome = replace(outcome, move=made)
        except (PctError, KeyboardInterrupt) as error:
            end = ending_of(plan, released, str(error) or "interrupted.", has_begun=bool(outcome.moved_to))
            outcome = outcome.failed(end.sentence, end.moved, getattr(error, "code", None))
            if end.moved is False and not end.in_production:
                # The record must not say PASS where the command said ERROR. A registry that is gone stays as it was.
                with suppress(PctError):
                    for item in {version.uri: version for version in (plan.version, released)}.values():
                        write_record(plan, item, outcome.report, for_good=False)
            self.files.stage(outcome)
        return outcome

    def commit(self, outcome: Outcome) -> None:
        """Put the reports into their places. When that fails, the PctError says whether production moved."""
        try:
            self.files.commit()
        except PctError as error:
            if outcome.move is None:
                # Files that are written already must say ERROR too, as the command does.
                self.files.refuse(self.policy, error)
                raise
            raise error.reworded(f"{outcome.moved_to} is production now, but {error}") from error


def _pair(plan: Plan) -> ComparedPair | None:
    new, old = plan.version, plan.old
    if old is None:
        return None
    return ComparedPair(str(old.version), str(new.version), old.name, new.name if new.name != old.name else "")
