"""Old against new: the 2x2 of flips, metrics with exact bounds, and the flips themselves."""

from pct_mlops.comparison.compare import ClassCounts, Comparison, Estimate, FlipCell, FlipCounts, compare
from pct_mlops.comparison.flips import KINDS, SORTS, FlipRow
from pct_mlops.comparison.intervals import clopper_pearson, tango
from pct_mlops.comparison.metrics import METRICS, Metric

__all__ = [
    "KINDS",
    "METRICS",
    "SORTS",
    "ClassCounts",
    "Comparison",
    "Estimate",
    "FlipCell",
    "FlipCounts",
    "FlipRow",
    "Metric",
    "clopper_pearson",
    "compare",
    "tango",
]
