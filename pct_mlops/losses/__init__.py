"""Losses: distances to the old model, focuses that weigh samples, and the objective that joins them.

A new distance is one file with one class registered in DISTANCES, imported below, and its reference in the tests.
"""

from pct_mlops.losses.cna import CNA
from pct_mlops.losses.distance import DISTANCES, Distance
from pct_mlops.losses.distances import CE, KL, L2, LDI
from pct_mlops.losses.focuses import FOCUSES, Focus, align_weights
from pct_mlops.losses.gather import gather_rows
from pct_mlops.losses.objective import LossTerms, Objective, build_objective
from pct_mlops.losses.presets import PRESETS

__all__ = [
    "CE",
    "CNA",
    "DISTANCES",
    "FOCUSES",
    "KL",
    "L2",
    "LDI",
    "PRESETS",
    "Distance",
    "Focus",
    "LossTerms",
    "Objective",
    "align_weights",
    "build_objective",
    "gather_rows",
]
