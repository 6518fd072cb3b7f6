"""Defines the results of a comparison: counts and estimates as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from pct_mlops.comparison.totals import Totals


@dataclass(frozen=True)
class FlipCounts:
    """The 2x2 of a joined pair of tables, as numbers of examples.

    Attributes:
        both_right: examples that are right in both tables.
        negative_flips: examples that are right in the old table and wrong in the new one.
        positive_flips: examples that are wrong in the old table and right in the new one.
        both_wrong: examples that are wrong in both tables, whether the prediction changed or not.

    Example:
        >>> from pct_mlops import FlipCounts
        >>> FlipCounts(both_right=90, negative_flips=2, positive_flips=5, both_wrong=3).total
        100
    """

    both_right: int
    negative_flips: int
    positive_flips: int
    both_wrong: int

    @property
    def total(self) -> int:
        """Number of examples."""
        return self.both_right + self.negative_flips + self.positive_flips + self.both_wrong


@dataclass(frozen=True)
class ClassCounts:
    """The 2x2 of the examples whose target is one class."""

    index: int
    name: str
    counts: FlipCounts


@dataclass(frozen=True)
class SliceCounts:
    """The 2x2 of the examples that share a value of a column. '(none)' stands for examples without a value."""

    column: str
    value: str
    counts: FlipCounts


@dataclass(frozen=True)
class FlipCell:
    """Number of negative flips of the class `target` for which the new model predicts the class `wrong` (indices)."""

    target: int
    wrong: int
    count: int


@dataclass(frozen=True)
class Estimate:
    """Observed value of a metric and its one-sided bounds. None means undefined.

    Attributes:
        metric: name of the metric; `pct list metrics` shows them all.
        value: the observed value.
        lower: the lower bound.
        upper: the upper bound.
        confidence: confidence of either bound by itself.
        numerator: number of examples that a share counts.
        denominator: number of examples of which it is a share.

    Example:
        >>> from pct_mlops import Predictions, compare
        >>> ids, labels, classes = ["a", "b", "c", "d"], [0, 1, 1, 0], ("cat", "dog")
        >>> old = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [0, 2], [0, 2]], class_names=classes)
        >>> new = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [2, 0], [2, 0]], class_names=classes)
        >>> estimate = compare(old, new).estimate("nfr", confidence=0.95)
        >>> estimate.value, round(estimate.upper, 3), estimate.numerator, estimate.denominator
        (0.25, 0.751, 1, 4)
    """

    metric: str
    value: float | None
    lower: float | None
    upper: float | None
    confidence: float
    numerator: int | None = None
    denominator: int | None = None


def counts_of(totals: Totals) -> FlipCounts:
    """Return the 2x2 as whole numbers."""
    parts = (totals.both_right, totals.negative_flips, totals.positive_flips, totals.both_wrong)
    return FlipCounts(*(round(part) for part in parts))
