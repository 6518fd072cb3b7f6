"""Defines the metrics of two joined tables, each as a function from sums to value and bounds.

Undefined is None, never 0. Flips that were set apart are left out of the numerators of flip rates, never out of a
denominator or an accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pct_mlops.comparison.intervals import clopper_pearson, fay_feuer, tango
from pct_mlops.comparison.totals import Totals
from pct_mlops.config import unknown
from pct_mlops.config.metric_names import METRIC_INFO


class MetricValue(NamedTuple):
    """Value of a metric with its one-sided bounds (None: undefined, or no interval) and the counts behind a share."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    numerator: float | None = None
    denominator: float | None = None


@dataclass(frozen=True)
class Metric:
    """Definition of a metric.

    Attributes:
        name: key in METRICS, in policies and in reports.
        summary: its meaning in one line.
        unit: "share", "signed share", "ratio", "mean confidence" or "nats".
        evaluate: computes it from totals, with bounds at a confidence.
        per_class: it needs a target class.
        costly: it takes another pass over the pairs.
        needs_costs: it is undefined without costs.
        needs: columns of the joined tables that not every table has.
    """

    name: str
    summary: str
    unit: str
    evaluate: Callable[[Totals, float], MetricValue]
    per_class: bool = False
    costly: bool = False
    needs_costs: bool = False
    needs: tuple[str, ...] = ()

    def lacking(self, columns: Mapping[str, Collection[str]]) -> str:
        """Say which side lacks a column that is needed. Return "" where nothing is lacking."""
        missing: dict[str, list[str]] = {}
        for side, _, column in (name.partition("_") for name in self.needs):
            if column not in columns[side]:
                missing.setdefault(column, []).append(side)
        by_table: dict[str, list[str]] = {}
        for column, sides in missing.items():
            who = "neither table has" if len(sides) > 1 else f"the {sides[0]} table has no"
            by_table.setdefault(who, []).append(column)
        return " and ".join(f"{who} {' or '.join(names)}" for who, names in by_table.items())


METRICS: dict[str, Metric] = {}


def metric(name: str) -> Metric:
    """Return the metric of that name, or raise PctError that lists the metrics, the closest first."""
    if name not in METRICS:
        raise unknown("metric", name, list(METRICS))
    return METRICS[name]


Count = Callable[[Totals], float]


def _add(name: str, evaluate: Callable[[Totals, float], MetricValue], **traits: Any) -> None:
    info = METRIC_INFO[name]
    METRICS[name] = Metric(name, info.summary, info.unit, evaluate, **traits)


def _share(name: str, numerator: Count, denominator: Count, **traits: Any) -> None:
    """Add a share of examples. Its bounds are exact given its denominator."""

    def evaluate(totals: Totals, confidence: float) -> MetricValue:
        part, whole = numerator(totals), denominator(totals)
        if whole <= 0:
            return MetricValue(numerator=part, denominator=whole)
        return MetricValue(part / whole, *clopper_pearson(part, whole, confidence), part, whole)

    _add(name, evaluate, **traits)


def _number(name: str, top: Count, bottom: Count, **traits: Any) -> None:
    """Add a quotient that is no share of examples, and so has no interval here."""

    def evaluate(totals: Totals, confidence: float) -> MetricValue:
        below = bottom(totals)
        return MetricValue(top(totals) / below) if below > 0 and math.isfinite(below) else MetricValue()

    _add(name, evaluate, **traits)


def _calibration(name: str, value: Callable[[Totals], float | None], needs: str) -> None:
    """Add a number that `Pairs.calibration` computes from the confidences."""
    _add(name, lambda totals, confidence: MetricValue(value(totals)), costly=True, needs=(needs,))


def _accuracy_change(totals: Totals, confidence: float) -> MetricValue:
    gained, lost, num = totals.positive_flips, totals.negative_flips, totals.num
    if num <= 0:
        return MetricValue(denominator=num)
    return MetricValue((gained - lost) / num, *tango(gained, lost, num, confidence), gained - lost, num)


def _weighted_nfr(totals: Totals, confidence: float) -> MetricValue:
    if totals.max_cost is None or totals.cost_of_all <= 0:
        return MetricValue()
    sums = (totals.cost_of_flips, totals.squared_cost_of_flips, totals.cost_of_all)
    return MetricValue(sums[0] / sums[2], *fay_feuer(*sums, greatest=totals.max_cost, confidence=confidence))


def _num(totals: Totals) -> float:
    return totals.num


_share("accuracy_old", lambda t: t.both_right + t.negative_flips, _num)
_share("accuracy_new", lambda t: t.both_right + t.positive_flips, _num)
_add("accuracy_change", _accuracy_change)
_share("nfr", lambda t: t.counted_flips, _num)
_share("pfr", lambda t: t.positive_flips, _num)
_share("class_nfr", lambda t: t.counted_flips, _num, per_class=True)
_add("weighted_nfr", _weighted_nfr, needs_costs=True)
# PCT, arXiv 2011.09161, eq. 11: nfr / (accuracy_old * error_new)
_number(
    "relative_nfr",
    lambda t: t.counted_flips * t.num,
    lambda t: (t.both_right + t.negative_flips) * (t.negative_flips + t.both_wrong),
)
# Negative and positive flip impact: Cai et al., arXiv 2202.02976.
_share("nfi", lambda t: t.counted_flips, lambda t: t.negative_flips + t.both_wrong)
_share("pfi", lambda t: t.positive_flips, lambda t: t.both_right + t.positive_flips)
# Backward trust and error compatibility: Bansal et al. 2019; bec_old as microsoft/BackwardCompatibilityML has it.
_share("btc", lambda t: t.both_right, lambda t: t.both_right + t.negative_flips)
_share("bec_new", lambda t: t.both_wrong, lambda t: t.negative_flips + t.both_wrong)
_share("bec_old", lambda t: t.both_wrong, lambda t: t.positive_flips + t.both_wrong)
_share("churn", lambda t: t.negative_flips + t.positive_flips + t.both_wrong_changed, _num)
_share("nfr_mc", lambda t: t.counted_flips + t.both_wrong_changed, _num)
# Each flip weighs the new model's confidence in its prediction minus that in the target.
_number("fractional_nfr", lambda t: t.excess_confidence, _num, needs=("new_confidence", "new_label_confidence"))
_BOTH_TARGETS = ("old_label_confidence", "new_label_confidence")
_share("type_1_flips", lambda t: t.type_1, _num, needs=_BOTH_TARGETS)
_share("type_2_flips", lambda t: t.type_2, _num, needs=_BOTH_TARGETS)
_calibration("ece_old", lambda t: t.old_calibration.ece, "old_confidence")
_calibration("ece_new", lambda t: t.new_calibration.ece, "new_confidence")
_calibration("nll_old", lambda t: t.old_calibration.nll, "old_label_confidence")
_calibration("nll_new", lambda t: t.new_calibration.nll, "new_label_confidence")
