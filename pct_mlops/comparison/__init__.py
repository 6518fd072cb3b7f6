"""Compares two prediction tables: the 2x2 of flips, metrics with bounds, slices, and the flips themselves."""

from pct_mlops.comparison.class_changes import PARTS, Aliases, ClassChange, shared_loss, unknown_labels_sentence
from pct_mlops.comparison.compare import compare
from pct_mlops.comparison.comparison import Comparison
from pct_mlops.comparison.example_inputs import CAUSES, example_rows
from pct_mlops.comparison.flip_noise import FlipNoise, flip_noise
from pct_mlops.comparison.flips import KINDS, SORTS, CauseSearch, FlipFilter, FlipRow, TextSearch
from pct_mlops.comparison.intervals import clopper_pearson, fay_feuer, mcnemar_exact, tango
from pct_mlops.comparison.metrics import METRICS, Metric
from pct_mlops.comparison.results import ClassCounts, Estimate, FlipCell, FlipCounts, SliceCounts
from pct_mlops.comparison.slices import SliceExcess
from pct_mlops.config.numbers import NO_VALUE

__all__ = [
    "CAUSES",
    "KINDS",
    "METRICS",
    "NO_VALUE",
    "PARTS",
    "SORTS",
    "Aliases",
    "CauseSearch",
    "ClassChange",
    "ClassCounts",
    "Comparison",
    "Estimate",
    "FlipCell",
    "FlipCounts",
    "FlipFilter",
    "FlipNoise",
    "FlipRow",
    "Metric",
    "SliceCounts",
    "SliceExcess",
    "TextSearch",
    "clopper_pearson",
    "compare",
    "example_rows",
    "fay_feuer",
    "flip_noise",
    "mcnemar_exact",
    "shared_loss",
    "tango",
    "unknown_labels_sentence",
]
