"""Names every metric of two tables, with a summary and a unit for policies and reports.

`pct_mlops.comparison.metrics` computes them. It has one evaluation for each name here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["share", "signed share", "ratio", "mean confidence", "nats"]


@dataclass(frozen=True)
class MetricInfo:
    """A metric in words.

    Attributes:
        summary: A short definition.
        unit: The unit of the value, which sets the range of a limit (`LIMITS`).
        no_bounds: The reason why there is no confidence interval. Empty if there is one.
        is_flip_rate: True if flips that a policy counts apart are left out of it.
        of: What the denominator counts, for sentences about the number of examples.
    """

    summary: str
    unit: Unit
    no_bounds: str = ""
    is_flip_rate: bool = False
    of: str = "examples"


_RATIO = "it divides by two estimates"
_CONFIDENCE = "it is a mean of confidences, not a count"

METRIC_INFO: dict[str, MetricInfo] = {
    "accuracy_old": MetricInfo("what the old model gets right", "share"),
    "accuracy_new": MetricInfo("what the new model gets right", "share"),
    "accuracy_change": MetricInfo("new accuracy minus old accuracy", "signed share"),
    "nfr": MetricInfo("negative flips: old right, new wrong", "share", is_flip_rate=True),
    "pfr": MetricInfo("positive flips: old wrong, new right", "share"),
    "class_nfr": MetricInfo("negative flip rate within one target class", "share", is_flip_rate=True),
    "weighted_nfr": MetricInfo("negative flips, weighted by the cost of their class", "share", is_flip_rate=True),
    "relative_nfr": MetricInfo("NFR relative to independent errors", "ratio", _RATIO, is_flip_rate=True),
    "nfi": MetricInfo("new errors that are negative flips", "share", is_flip_rate=True, of="new errors"),
    "pfi": MetricInfo("right new predictions that are positive flips", "share", of="right new predictions"),
    "btc": MetricInfo("right old predictions that stay right", "share", of="right old predictions"),
    "bec_new": MetricInfo("new errors that the old model made too", "share", of="new errors"),
    "bec_old": MetricInfo("old errors that the new model makes too", "share", of="old errors"),
    "churn": MetricInfo("predictions that changed", "share"),
    "nfr_mc": MetricInfo("new wrong, and not as the old was", "share", is_flip_rate=True),
    "fractional_nfr": MetricInfo(
        "negative flips, weighted by confidence", "mean confidence", _CONFIDENCE, is_flip_rate=True
    ),
    "type_1_flips": MetricInfo("flips; target confidence fell <= 0.1", "share", is_flip_rate=True),
    "type_2_flips": MetricInfo("flips; target confidence fell >= 0.5", "share", is_flip_rate=True),
    "ece_old": MetricInfo("calibration error of the old model, 15 bins", "mean confidence", _CONFIDENCE),
    "ece_new": MetricInfo("calibration error of the new model, 15 bins", "mean confidence", _CONFIDENCE),
    "nll_old": MetricInfo("mean negative log-likelihood of the old model", "nats", "one example can weigh any amount"),
    "nll_new": MetricInfo("mean negative log-likelihood of the new model", "nats", "one example can weigh any amount"),
}

# Lowest and highest limit that a rule may set on a metric of this unit. None means no upper end.
LIMITS: dict[str, tuple[float, float | None]] = {
    "share": (0.0, 1.0),
    "signed share": (-1.0, 1.0),
    "ratio": (0.0, None),
    "mean confidence": (0.0, 1.0),
    "nats": (0.0, None),
}
