"""Result of a run of the gate: the decision with its evidence, and what became of production."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pct_mlops.gate import Decision, Verdict
from pct_mlops.reports import ComparedPair, Promotion, to_json

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison
    from pct_mlops.registry import Floor, Move
    from pct_mlops.reports import ShownFlip
    from pct_mlops.workflows.gating.evidence import Evidence
    from pct_mlops.workflows.gating.judged_tables import JudgedTable

PROMOTING = (Verdict.PASS, Verdict.BOOTSTRAP)
OVERRIDABLE = (Verdict.FAIL, Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class Outcome:
    """A decision with its evidence, and what became of production.

    Attributes:
        decision: The verdict with its checks.
        comparison: What it was drawn from, None where nothing could be compared.
        report: The JSON report.
        candidate: The version or file that was judged.
        baseline: The version or file that it was compared with, None where there is none yet.
        pair: Both, as the links to the explorer name them.
        report_uri: Where the registry keeps the report.
        move: What was done to production, None when nothing was.
        moved_to: What production is after the move (`models:/name/3`).
        floor: What retraining alone flips on the same examples, None where it was not measured.
        noise_lines: Sentences on which of the flips retraining makes too.
        promotion: What was asked for, None when no move was.
        pinned: The number of examples that were added to the policy's pinned file.
        new_model: The name of the model to promote into, where the registry has no model of that name.
        moves: True when production is to move: that was asked for, and the decision passed or is overridden.
        shown_flips: Negative flips with their images or texts, for the HTML report.
        judged: The tables of versions that the decision was drawn from, by role.
    """

    decision: Decision
    comparison: Comparison | None
    report: dict[str, Any]
    candidate: str
    baseline: str | None
    pair: ComparedPair | None = None
    report_uri: str = ""
    move: Move | None = None
    moved_to: str = ""
    floor: Floor | None = None
    noise_lines: tuple[str, ...] = ()
    promotion: Promotion | None = None
    pinned: int | None = None
    new_model: str = ""
    moves: bool = False
    shown_flips: tuple[ShownFlip, ...] = ()
    judged: Mapping[str, JudgedTable] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        decision: Decision,
        evidence: Evidence,
        pair: ComparedPair | None,
        promotion: Promotion | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        new_model: str = "",
    ) -> Outcome:
        """Build the outcome with the report that belongs to the decision. `context` adds facts to the report."""
        floor = evidence.floor
        if floor is not None:
            keys = ("mean", "std", "max", "num_seeds", "version", "sentence")
            context = {**(context or {}), "floor": {key: getattr(floor, key) for key in keys}}
        if evidence.noise is not None:
            context = {**(context or {}), "flip_noise": evidence.noise.to_json()}
        return cls(
            decision,
            evidence.comparison,
            to_json(
                decision,
                evidence.comparison,
                context,
                promotion=promotion,
                digests={role: item.to_json() for role, item in evidence.judged.items()},
            ),
            evidence.new_uri,
            evidence.old_uri,
            pair,
            floor=floor,
            noise_lines=evidence.noise_lines,
            promotion=promotion,
            new_model=new_model,
            moves=promotion is not None and (promotion.override or decision.verdict in PROMOTING),
            judged=evidence.judged,
        )

    @property
    def exit_code(self) -> int:
        """Exit code: 0 PASS or BOOTSTRAP, 1 FAIL, 2 ERROR, 3 INCONCLUSIVE, and 0 where an override moved production."""
        return int(self.report["exit_code"])

    def done(self, target: str) -> Outcome:
        """Return the outcome of a run that moved production to `target` (`models:/name/3`)."""
        assert self.promotion is not None  # nothing moves that was not asked for
        promotion = replace(self.promotion, done=True)
        return replace(
            self, moved_to=target, promotion=promotion, report={**self.report, "promotion": asdict(promotion)}
        )

    def failed(self, sentence: str, done: bool | None = False, code: str | None = None) -> Outcome:
        """Return the outcome as an ERROR: it was judged, but the decision could not be kept or carried out.

        Args:
            sentence: What went wrong.
            done: Tells whether production moved. None means that it is not known.
            code: The code of the PctError that stopped the run.
        """
        sentence = f"Judged {self.decision.verdict}, but {sentence}"
        decision = replace(self.decision, verdict=Verdict.ERROR, sentence=sentence, error_code=code)
        promotion = replace(self.promotion, override=False, done=done) if self.promotion else None
        report = {
            **self.report,
            "verdict": str(Verdict.ERROR),
            "error_code": code,
            "exit_code": decision.exit_code,
            "sentence": decision.sentence,
            "promotion": asdict(promotion) if promotion else None,
        }
        unmoved = replace(self, moves=False, moved_to="", pinned=None)
        return replace(unmoved, decision=decision, report=report, promotion=promotion)

    @property
    def remarks(self) -> list[str]:
        """Lines that say what became of the run."""
        lines = [f"For comparison: {self.floor.sentence}."] if self.floor is not None else []
        lines += self.noise_lines
        if self.new_model:
            lines.append(f"There is no model {self.new_model} yet: promoting makes it.")
        if self.promotion is not None:
            lines.append(self._promoted(self.promotion))
        if self.pinned is not None:
            lines.append(f"Added to the pinned examples, which must stay right: {self.pinned:,}.")
        return lines

    def _promoted(self, promotion: Promotion) -> str:
        if promotion.done is None:
            return f"Run 'pct verify {promotion.target}' to see whether production moved."
        if not promotion.done:
            return "Not promoted: production stays as it is."
        if promotion.override:
            return (
                f"Promoted by override, the verdict is {self.decision.verdict}: {self.moved_to} is production now. "
                f"Reason: {promotion.reason}"
            )
        return f"Promoted: {self.moved_to} is production now."
