"""What a pass over the pairs counts: the sums from which every metric follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Calibration:
    """Of one model over some examples: expected calibration error and mean negative log-likelihood; None: undefined."""

    ece: float | None = None
    nll: float | None = None


@dataclass(frozen=True)
class Totals:
    """Sums overall, for one class or for one slice. Fractional only when scaled.

    negative_flips are all of them; `apart` of these are left out of flip rates, and already out of the sums of
    confidence and type. cost_*: sums of the classes' costs over counted flips (also squared) and over all examples;
    max_cost is the greatest cost of one flip, None without costs.
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
        """Examples."""
        return self.both_right + self.negative_flips + self.positive_flips + self.both_wrong

    @property
    def counted_flips(self) -> float:
        """Negative flips that count."""
        return self.negative_flips - self.apart

    def __add__(self, other: Totals) -> Totals:
        costs = [cost for cost in (self.max_cost, other.max_cost) if cost is not None]
        sums = {name: getattr(self, name) + getattr(other, name) for name in SUMS}
        return Totals(**sums, max_cost=max(costs, default=None))

    def scaled(self, scale: float) -> Totals:
        """As if every example had been seen `scale` times."""
        return replace(self, **{name: getattr(self, name) * scale for name in SUMS})

    def weighed(self, cost: float) -> Totals:
        """With the sums of costs, where every example here has the same cost."""
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
    """A row in the order of COUNTED; an empty FILTER sums to NULL. Counts become exact Python integers."""
    found: dict[str, Any] = {}
    for name, value in zip(COUNTED, row, strict=True):
        exact = name in COUNTED and name != "excess_confidence"
        number = 0 if value is None else value
        found[name] = int(number) if exact else float(number)
    return Totals(**found)
