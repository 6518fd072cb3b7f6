"""Figures: pure functions of counts and estimates, and how numbers and names are written on them."""

from pct_mlops.charts.classes import ClassRates, class_bars
from pct_mlops.charts.counts import flip_areas
from pct_mlops.charts.matrix import busiest, flip_matrix
from pct_mlops.charts.text import UNDEFINED, count, escaped, interval, number, percent, points, printable, short
from pct_mlops.charts.tradeoff import MethodPoint, interpolation_curve, page, pareto, pareto_front

__all__ = [
    "UNDEFINED",
    "ClassRates",
    "MethodPoint",
    "busiest",
    "class_bars",
    "count",
    "escaped",
    "flip_areas",
    "flip_matrix",
    "interpolation_curve",
    "interval",
    "number",
    "page",
    "pareto",
    "pareto_front",
    "percent",
    "points",
    "printable",
    "short",
]
