"""Defines the sums that a pass over the pairs counts, and from which every metric follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error and mean negative log-likelihood of one model. None means undefined."""

    ece: float | None = None
    nll: float | None = None


@dataclass(frozen=True)
class Totals:
    """Sums over all examples, or over those of a class, of a slice, or of both. Fractional only when scaled.

    Attributes:
        both_right: number of examples that both models get right.
        negative_flips: number of negative flips, including those set apart.
        positive_flips: number of positive flips.
        both_wrong: number of examples that both models get wrong.
        both_wrong_changed: number of these whose prediction changed.
        excess_confidence: sum over counted flips of the new model's confidence in its prediction minus in the target.
        type_1: number of counted flips whose target confidence fell by at most 0.1.
        type_2: number of counted flips whose target confidence fell by at least 0.5.
        apart: number of negative flips that were set apart and do not count in flip rates.
        cost_of_flips: sum of the costs of the counted flips.
        squared_cost_of_flips: sum of the squares of these costs.
        cost_of_all: sum of the costs that all examples would have as flips.
        max_cost: greatest cost of one flip; None without costs.
        old_calibration: of the old model, where it was asked for.
        new_calibration: of the new model, likewise.
    """

    both_right: float = 0
    negative_flips: float = 0
    positive_flips: float = 0
    both_wrong: float = 0
    both_wrong_changed: float = 0
    excess_confidence: float = 0
    type_1: float = 0
    type_2: float = 0
    apart: float = 0
    cost_of_flips: float = 0
    squared_cost_of_flips: float = 0
    cost_of_all: float = 0
    max_cost: float | None = None
    old_calibration: Calibration = Calibration()
    new_calibration: Calibration = Calibration()

    @property
    def num(self) -> float:
        """Number of examples."""
        return self.both_right + self.negative_flips + self.positive_flips + self.both_wrong

    @property
    def counted_flips(self) -> float:
        """Number of negative flips that count in flip rates."""
        return self.negative_flips - self.apart

    def __add__(self, other: Totals) -> Totals:
        costs = [cost for cost in (self.max_cost, other.max_cost) if cost is not None]
        sums = {name: getattr(self, name) + getattr(other, name) for name in SUMS}
        return Totals(**sums, max_cost=max(costs, default=None))

    def scaled(self, scale: float) -> Totals:
        """Return the sums that `scale` times as many examples would have at the same rates."""
        return replace(self, **{name: getattr(self, name) * scale for name in SUMS})

    def weighed(self, cost: float) -> Totals:
        """Return a copy with the sums of costs, for examples that all have the same cost."""
        flips = self.counted_flips
        return replace(
            self,
            cost_of_flips=cost * flips,
            squared_cost_of_flips=cost * cost * flips,
            cost_of_all=cost * self.num,
            max_cost=cost if self.num else None,
        )


SUMS = tuple(f.name for f in fields(Totals) if f.name not in ("max_cost", "old_calibration", "new_calibration"))
# The order in which the queries of this package count.
COUNTED = (
    "both_right",
    "negative_flips",
    "positive_flips",
    "both_wrong",
    "both_wrong_changed",
    "excess_confidence",
    "type_1",
    "type_2",
    "apart",
)


def totals_of(row: Sequence[Any]) -> Totals:
    """Make Totals of a row in the order of COUNTED. NULL, the sum of an empty FILTER, becomes 0.

    Counts become Python's integers, which are exact.
    """
    found: dict[str, Any] = {
        name: (float if name == "excess_confidence" else int)(value or 0)
        for name, value in zip(COUNTED, row, strict=True)
    }
    return Totals(**found)
