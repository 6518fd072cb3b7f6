"""The metrics of two joined tables: one definition each, from counts to value and bounds.

a = both right, b = negative flips, c = positive flips, d = both wrong, N = a + b + c + d. Undefined is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

from pct_mlops.comparison.intervals import clopper_pearson, tango
from pct_mlops.config import PctError


@dataclass(frozen=True)
class Totals:
    """What one pass over the pairs counts, overall or for one class. Fractional only when scaled."""

    both_right: float = 0
    negative_flips: float = 0
    positive_flips: float = 0
    both_wrong: float = 0
    both_wrong_changed: float = 0
    excess_confidence: float = 0
    type_1: float = 0
    type_2: float = 0

    @property
    def num(self) -> float:
        """Examples."""
        return self.both_right + self.negative_flips + self.positive_flips + self.both_wrong

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def scaled(self, scale: float) -> Totals:
        """As if every example had been seen `scale` times."""
        return Totals(*(getattr(self, f.name) * scale for f in fields(self)))


class Evaluation(NamedTuple):
    """A metric's value with its one-sided bounds (None: undefined, or no interval) and the counts behind a share."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    numerator: float | None = None
    denominator: float | None = None


@dataclass(frozen=True)
class Metric:
    """A metric: what it says in a line, its unit, and how it follows from totals at a confidence."""

    name: str
    summary: str
    unit: str
    evaluate: Callable[[Totals, float], Evaluation]
    per_class: bool = False


METRICS: dict[str, Metric] = {}


def metric(name: str) -> Metric:
    """The metric of that name; PctError says which exist."""
    if name not in METRICS:
        raise PctError(f"Unknown metric '{name}': choose one of {', '.join(sorted(METRICS))}.")
    return METRICS[name]


Count = Callable[[Totals], float]


def _share(name: str, summary: str, numerator: Count, denominator: Count, *, per_class: bool = False) -> None:
    """A share of examples; with bounds that are exact given its denominator."""

    def evaluate(totals: Totals, confidence: float) -> Evaluation:
        part, whole = numerator(totals), denominator(totals)
        if whole <= 0:
            return Evaluation(numerator=part, denominator=whole)
        return Evaluation(part / whole, *clopper_pearson(part, whole, confidence), part, whole)

    METRICS[name] = Metric(name, summary, "share", evaluate, per_class)


def _number(name: str, summary: str, unit: str, top: Count, bottom: Count) -> None:
    """A quotient that is no share of examples, and so has no interval here."""

    def evaluate(totals: Totals, confidence: float) -> Evaluation:
        below = bottom(totals)
        return Evaluation(top(totals) / below) if below > 0 and math.isfinite(below) else Evaluation()

    METRICS[name] = Metric(name, summary, unit, evaluate)


def _accuracy_change(totals: Totals, confidence: float) -> Evaluation:
    gained, lost, num = totals.positive_flips, totals.negative_flips, totals.num
    if num <= 0:
        return Evaluation(denominator=num)
    return Evaluation((gained - lost) / num, *tango(gained, lost, num, confidence), gained - lost, num)


def _num(totals: Totals) -> float:
    return totals.num


_share("accuracy_old", "what the old model gets right", lambda t: t.both_right + t.negative_flips, _num)
_share("accuracy_new", "what the new model gets right", lambda t: t.both_right + t.positive_flips, _num)
METRICS["accuracy_change"] = Metric(
    "accuracy_change", "new accuracy minus old accuracy", "signed share", _accuracy_change
)
_share("nfr", "negative flips: old right, new wrong", lambda t: t.negative_flips, _num)
_share("pfr", "positive flips: old wrong, new right", lambda t: t.positive_flips, _num)
_share("class_nfr", "negative flip rate within one target class", lambda t: t.negative_flips, _num, per_class=True)
_number(
    "relative_nfr",
    "NFR relative to independent errors",  # PCT, arXiv 2011.09161, eq. 11: nfr / (accuracy_old * error_new)
    "ratio",
    lambda t: t.negative_flips * t.num,
    lambda t: (t.both_right + t.negative_flips) * (t.negative_flips + t.both_wrong),
)
_share(
    "nfi",
    "new errors that are negative flips",  # negative flip impact, Cai et al., arXiv 2202.02976
    lambda t: t.negative_flips,
    lambda t: t.negative_flips + t.both_wrong,
)
_share(
    "pfi",
    "new right answers that are positive flips",  # positive flip impact, the same
    lambda t: t.positive_flips,
    lambda t: t.both_right + t.positive_flips,
)
_share(
    "btc",
    "old right answers that stay right",  # backward trust compatibility, Bansal et al. 2019
    lambda t: t.both_right,
    lambda t: t.both_right + t.negative_flips,
)
_share(
    "bec_new",
    "new errors that the old model made too",  # backward error compatibility, Bansal et al. 2019
    lambda t: t.both_wrong,
    lambda t: t.negative_flips + t.both_wrong,
)
_share(
    "bec_old",
    "old errors that the new model makes too",  # as the code of microsoft/BackwardCompatibilityML has it
    lambda t: t.both_wrong,
    lambda t: t.positive_flips + t.both_wrong,
)
_share(
    "churn",
    "predictions that changed",
    lambda t: t.negative_flips + t.positive_flips + t.both_wrong_changed,
    _num,
)
_share("nfr_mc", "new wrong, and not as the old was", lambda t: t.negative_flips + t.both_wrong_changed, _num)
_number(
    "fractional_nfr",
    "negative flips, weighted by confidence",  # each weighs confidence in the answer minus that in the target
    "mean confidence",
    lambda t: t.excess_confidence,
    _num,
)
_share("type_1_flips", "flips; target confidence fell <= 0.1", lambda t: t.type_1, _num)
_share("type_2_flips", "flips; target confidence fell >= 0.5", lambda t: t.type_2, _num)
