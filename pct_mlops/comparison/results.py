"""What a comparison answers with: counts and estimates as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from pct_mlops.comparison.totals import Totals


@dataclass(frozen=True)
class FlipCounts:
    """The 2x2 of a joined pair of tables."""

    both_right: int
    negative_flips: int
    positive_flips: int
    both_wrong: int

    @property
    def total(self) -> int:
        """Examples."""
        return self.both_right + self.negative_flips + self.positive_flips + self.both_wrong


@dataclass(frozen=True)
class ClassCounts:
    """The 2x2 of the examples whose target is one class."""

    index: int
    name: str
    counts: FlipCounts


@dataclass(frozen=True)
class SliceCounts:
    """The 2x2 of the examples that share a value of a column; '(none)' are those without one."""

    column: str
    value: str
    counts: FlipCounts


@dataclass(frozen=True)
class FlipCell:
    """Negative flips of target class `target` that the new model takes for class `wrong` (indices)."""

    target: int
    wrong: int
    count: int


@dataclass(frozen=True)
class Estimate:
    """A metric's value and its one-sided bounds, each at `confidence`; None means undefined."""

    metric: str
    value: float | None
    lower: float | None
    upper: float | None
    confidence: float
    numerator: int | None = None
    denominator: int | None = None


def counts_of(totals: Totals) -> FlipCounts:
    """The 2x2 as whole numbers."""
    parts = (totals.both_right, totals.negative_flips, totals.positive_flips, totals.both_wrong)
    return FlipCounts(*(round(part) for part in parts))
