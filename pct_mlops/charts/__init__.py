"""Draws figures with pure functions of counts and estimates, and formats the numbers and names on them."""

from pct_mlops.charts.classes import ClassRates, class_bars
from pct_mlops.charts.counts import flip_areas
from pct_mlops.charts.history import MovePoint, move_history, running
from pct_mlops.charts.matrix import busiest, flip_matrix
from pct_mlops.charts.page import page
from pct_mlops.charts.slices import EMPTY, SURE, excess_bars, slice_title
from pct_mlops.charts.text import (
    UNDEFINED,
    count,
    escaped,
    interval,
    number,
    percent,
    points,
    printable,
    probability,
    short,
)
from pct_mlops.charts.tradeoff import MethodPoint, interpolation_curve, pareto, pareto_front

__all__ = [
    "EMPTY",
    "SURE",
    "UNDEFINED",
    "ClassRates",
    "MethodPoint",
    "MovePoint",
    "busiest",
    "class_bars",
    "count",
    "escaped",
    "excess_bars",
    "flip_areas",
    "flip_matrix",
    "interpolation_curve",
    "interval",
    "move_history",
    "number",
    "page",
    "pareto",
    "pareto_front",
    "percent",
    "points",
    "printable",
    "probability",
    "running",
    "short",
    "slice_title",
]
