"""What a gate says: verdicts, exit codes, checks, and the decision they add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pct_mlops.config import Policy
    from pct_mlops.gate.ties import Ties
    from pct_mlops.predictions import TableInfo


class Verdict(str, Enum):
    """What is decided, of a check or of the whole; BOOTSTRAP (there is no baseline yet) only of the whole.

    Example:
        >>> from pct_mlops import Verdict
        >>> [str(verdict) for verdict in Verdict]
        ['PASS', 'FAIL', 'INCONCLUSIVE', 'ERROR', 'BOOTSTRAP']
    """

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"
    BOOTSTRAP = "BOOTSTRAP"

    def __str__(self) -> str:
        return self.value


# The worst verdict of any check is the verdict of the whole.
WORST_FIRST = (Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
EXIT_CODES = {
    Verdict.PASS: 0,
    Verdict.BOOTSTRAP: 0,
    Verdict.FAIL: 1,
    Verdict.ERROR: 2,
    Verdict.INCONCLUSIVE: 3,
}


@dataclass(frozen=True)
class Check:
    """One rule, for one class or slice (column, value) if the rule is about those; or what else must hold.

    Attributes:
        metric: its name; 'pinned', 'blocker' or 'review' where no metric is checked.
        class_name: the target class that it is about, if any.
        value: as observed; None where undefined.
        lower: one-sided bound at the policy's confidence.
        upper: one-sided bound at the policy's confidence.
        limit: of the rule.
        bound: what is held against the limit: upper, lower or point.
        verdict: of this check.
        sentence: why, in a line.
        support: examples behind it.
        examples_needed: about how many would decide an INCONCLUSIVE check; None: no number within reach.
        slice: (column, value) that it is about, if any.
        corrected_bound: where a check among several looks bad, its generous bound at the confidence that an accusation
            needs (Holm).
        error_code: of the PctError because of which the check is an ERROR; None for any other reason.

    Example:
        >>> from pct_mlops import Check, Verdict
        >>> Check("nfr", None, 0.01, 0.008, 0.013, 0.02, "upper", Verdict.PASS, "nfr is at most 0.02.").verdict.value
        'PASS'
    """

    metric: str
    class_name: str | None
    value: float | None
    lower: float | None
    upper: float | None
    limit: float | None
    bound: str
    verdict: Verdict
    sentence: str
    support: int | None = None
    examples_needed: int | None = None
    slice: tuple[str, str] | None = None
    corrected_bound: float | None = None
    error_code: str | None = None


@dataclass(frozen=True)
class NotJudged:
    """A class or slice (column, value) with fewer examples than the rule asks for."""

    metric: str
    class_name: str | None
    support: int
    min_support: int
    slice: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """Class, slice or both, as people read it."""
        place = "=".join(self.slice) if self.slice else ""
        return " where ".join(part for part in (self.class_name, place) if part)


@dataclass(frozen=True)
class Decision:
    """The gate's answer.

    Attributes:
        verdict: of the whole.
        sentence: why, in a line.
        checks: one for each rule, class and slice, and for what else must hold.
        policy: that decided.
        not_judged: classes and slices with fewer examples than their rule asks for.
        num_examples: of the evaluation.
        candidate: what the candidate's table says about itself.
        baseline: what the baseline's table says about itself; None when there is none.
        apart: mark -> negative flips of this comparison that carry it and do not count in flip rates.
        notes: facts beside the decision, on which nothing depends.
        error_code: of the PctError because of which the verdict is ERROR, or of the first check that met one; None for
            any other reason.
        ties: whether the tables were made by the weights of their versions; None for tables of no version.

    Example:
        >>> from pct_mlops import Policy, Rule, decide
        >>> decision = decide(Policy(rules=(Rule(metric="nfr", max=0.02),)), None, problem="The table is missing.")
        >>> decision.verdict.value, decision.exit_code, decision.sentence
        ('ERROR', 2, 'The table is missing.')
    """

    verdict: Verdict
    sentence: str
    checks: tuple[Check, ...]
    policy: Policy
    not_judged: tuple[NotJudged, ...] = ()
    num_examples: int | None = None
    candidate: TableInfo | None = None
    baseline: TableInfo | None = None
    apart: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error_code: str | None = None
    ties: Ties | None = None

    @property
    def exit_code(self) -> int:
        """0 PASS or BOOTSTRAP, 1 FAIL, 2 ERROR, 3 INCONCLUSIVE."""
        return EXIT_CODES[self.verdict]

    @property
    def policy_digest(self) -> str:
        """Which policy decided."""
        return self.policy.digest

    @property
    def confidence(self) -> float:
        """Of every one-sided bound."""
        return self.policy.confidence
