"""Figures: pure functions of counts and estimates, and how numbers and names are written on them."""

from pct_mlops.charts.classes import ClassRates, class_bars
from pct_mlops.charts.counts import flip_areas
from pct_mlops.charts.matrix import busiest, flip_matrix
from pct_mlops.charts.text import UNDEFINED, count, escaped, interval, number, percent, points, printable, short

__all__ = [
    "UNDEFINED",
    "ClassRates",
    "busiest",
    "class_bars",
    "count",
    "escaped",
    "flip_areas",
    "flip_matrix",
    "interval",
    "number",
    "percent",
    "points",
    "printable",
    "short",
]
