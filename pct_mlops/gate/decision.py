"""Defines what the gate returns: verdicts, exit codes, checks, and the decision that they add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pct_mlops.config import Policy
    from pct_mlops.gate.ties import Ties
    from pct_mlops.predictions import TableInfo


class Verdict(str, Enum):
    """Verdict of a check or of the whole decision. Only the whole can be BOOTSTRAP: there is no baseline yet.

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
    """A rule held against all examples, one class or one slice. Also pinned examples, a blocker or a review.

    Attributes:
        metric: name of the metric; 'pinned', 'blocker' or 'review' where no metric is checked.
        class_name: the target class that the check is about, if any.
        value: the observed value; None where undefined.
        lower: one-sided lower bound at the policy's confidence.
        upper: one-sided upper bound at the policy's confidence.
        limit: the limit of the rule.
        bound: what is held against the limit: upper, lower or point.
        verdict: the verdict of this check.
        sentence: the reason for the verdict, in one line.
        support: number of examples behind it.
        examples_needed: about how many examples would decide an INCONCLUSIVE check; None: no number within reach.
        slice: the slice (column, value) that the check is about, if any.
        corrected_bound: the bound nearer to passing, at the higher confidence that Holm's correction demands of a
            FAIL; None unless a check among several looks bad.
        error_code: code of the PctError that made the check an ERROR; None for any other reason.
        on: part of the examples that is judged: all, shared (labels that the old model knows) or new.
        rule: number of the policy's rule that made the check, from 1; None for what no rule asks.
        is_maximum: whether the limit is a maximum; None where that is not known.

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
    on: str = "all"
    rule: int | None = None
    is_maximum: bool | None = None


@dataclass(frozen=True)
class NotJudged:
    """A class or slice (column, value) with fewer examples than the rule asks for.

    `negative_flips` counts those of its examples. It is None where the comparison does not tell.
    """

    metric: str
    class_name: str | None
    support: int
    min_support: int
    slice: tuple[str, str] | None = None
    on: str = "all"
    negative_flips: int | None = None

    @property
    def name(self) -> str:
        """Class, slice or both, as people read it."""
        return part_name(self)


def part_name(part: Check | NotJudged) -> str:
    """Return the class, the slice or both that a check is about, as people read it. Empty for all examples."""
    place = "=".join(part.slice) if part.slice is not None else ""
    return " where ".join(name for name in (part.class_name, place) if name)


@dataclass(frozen=True)
class Decision:
    """The gate's decision on a candidate, with the checks behind it.

    Attributes:
        verdict: the verdict of the whole.
        sentence: the reason for it, in one line.
        checks: one for each rule, class and slice, and for what else must hold.
        policy: the policy that decided.
        not_judged: classes and slices with fewer examples than their rule asks for.
        num_examples: number of examples in the evaluation set.
        candidate: what the candidate's table says about itself.
        baseline: what the baseline's table says about itself; None when there is none.
        apart: mark -> number of negative flips that carry it and do not count in flip rates.
        notes: facts that are shown and decide nothing.
        error_code: code of the PctError that made the verdict ERROR, or of the first check that met one; None for any
            other reason.
        ties: whether the weights of the versions made their tables; None for tables of no version.
        shared_loss: sentence that accuracy fell on the labels that the old model knows although it rose over all; empty
            where it did not.

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
    shared_loss: str = ""

    @property
    def exit_code(self) -> int:
        """Exit code: 0 PASS or BOOTSTRAP, 1 FAIL, 2 ERROR, 3 INCONCLUSIVE."""
        return EXIT_CODES[self.verdict]

    @property
    def policy_digest(self) -> str:
        """Digest of the policy that decided."""
        return self.policy.digest

    @property
    def confidence(self) -> float:
        """Confidence of every one-sided bound."""
        return self.policy.confidence
