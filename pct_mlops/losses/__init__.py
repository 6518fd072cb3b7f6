"""Losses: distances to the old model, focuses that weigh examples, and the objective that joins them.

To add a distance, write one file with one class registered in DISTANCES, import it below, and add its reference to the
tests.
"""

from pct_mlops.losses.build import build_distance, build_focus, build_objective
from pct_mlops.losses.cna import CNA
from pct_mlops.losses.combined import Sum, Term
from pct_mlops.losses.distance import DISTANCES, Binding, Distance
from pct_mlops.losses.distances import CE, KL, L2, LDI, RCE, Renyi
from pct_mlops.losses.features import FA, RP
from pct_mlops.losses.focuses import (
    FOCUSES,
    AllExamples,
    Focus,
    Likelihood,
    NegativeFlip,
    NewIncorrect,
    OldCorrect,
    Shuffled,
)
from pct_mlops.losses.gather import gather_rows
from pct_mlops.losses.heads import BCT
from pct_mlops.losses.objective import LossTerms, Objective
from pct_mlops.losses.presets import PRESETS, loss_names, preset_of
from pct_mlops.losses.weights import align_weights, balanced_weights

__all__ = [
    "BCT",
    "CE",
    "CNA",
    "DISTANCES",
    "FA",
    "FOCUSES",
    "KL",
    "L2",
    "LDI",
    "PRESETS",
    "RCE",
    "RP",
    "AllExamples",
    "Binding",
    "Distance",
    "Focus",
    "Likelihood",
    "LossTerms",
    "NegativeFlip",
    "NewIncorrect",
    "Objective",
    "OldCorrect",
    "Renyi",
    "Shuffled",
    "Sum",
    "Term",
    "align_weights",
    "balanced_weights",
    "build_distance",
    "build_focus",
    "build_objective",
    "gather_rows",
    "loss_names",
    "preset_of",
]
