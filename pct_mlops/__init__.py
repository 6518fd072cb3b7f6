"""Trains classifiers that flip less, and gates those that flip too much: positive-congruent training for MLflow.

The names listed here are public, and change only with a major version. Everything else is private. A name is imported
when it is first used, so that `import pct_mlops` needs neither torch nor mlflow.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison, Estimate, FlipCounts, FlipRow, compare
    from pct_mlops.config import Policy, Recipe, Rule
    from pct_mlops.errors import PctError
    from pct_mlops.gate import Check, Decision, Verdict, decide, try_policy
    from pct_mlops.losses import (
        BCT,
        CE,
        CNA,
        DISTANCES,
        FA,
        FOCUSES,
        KL,
        L2,
        LDI,
        PRESETS,
        RCE,
        RP,
        AllExamples,
        Binding,
        Distance,
        Focus,
        LossTerms,
        NegativeFlip,
        NewIncorrect,
        Objective,
        OldCorrect,
        Renyi,
        build_distance,
        build_focus,
        build_objective,
    )
    from pct_mlops.metrics import churn, negative_flip_rate, positive_flip_rate
    from pct_mlops.models.output import ModelOutput
    from pct_mlops.predictions import Predictions, TableInfo
    from pct_mlops.registry import Registry, Version
    from pct_mlops.workflows.advice.evidence_table import UpdateEvidence, read_evidence
    from pct_mlops.workflows.advice.recommendation import recommend_update
    from pct_mlops.workflows.gating.evaluate import evaluate_candidate
    from pct_mlops.workflows.tables.attach import attach
    from pct_mlops.workflows.tables.log_predictions import log_predictions
    from pct_mlops.workflows.tables.register_ensemble import register_ensemble

    __version__: str

# Log nothing until a program adds a handler, as the command line does.
logging.getLogger(__name__).addHandler(logging.NullHandler())

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
    "Check",
    "Comparison",
    "Decision",
    "Distance",
    "Estimate",
    "FlipCounts",
    "FlipRow",
    "Focus",
    "LossTerms",
    "ModelOutput",
    "NegativeFlip",
    "NewIncorrect",
    "Objective",
    "OldCorrect",
    "PctError",
    "Policy",
    "Predictions",
    "Recipe",
    "Registry",
    "Renyi",
    "Rule",
    "TableInfo",
    "UpdateEvidence",
    "Verdict",
    "Version",
    "__version__",
    "attach",
    "build_distance",
    "build_focus",
    "build_objective",
    "churn",
    "compare",
    "decide",
    "evaluate_candidate",
    "log_predictions",
    "negative_flip_rate",
    "positive_flip_rate",
    "read_evidence",
    "recommend_update",
    "register_ensemble",
    "try_policy",
]

_LOSSES = (
    "BCT CE CNA DISTANCES FA FOCUSES KL L2 LDI PRESETS RCE RP AllExamples Binding Distance Focus LossTerms "
    "NegativeFlip NewIncorrect Objective OldCorrect Renyi build_distance build_focus build_objective"
)
# Module -> names that it provides, each under its own name or as "name here:name there".
_MODULES = {
    "pct_mlops.comparison": "Comparison Estimate FlipCounts FlipRow compare",
    "pct_mlops.config": "Policy Recipe Rule",
    "pct_mlops.errors": "PctError",
    "pct_mlops.gate": "Check Decision Verdict decide try_policy",
    "pct_mlops.losses": _LOSSES,
    "pct_mlops.metrics": "churn negative_flip_rate positive_flip_rate",
    "pct_mlops.models.output": "ModelOutput",
    "pct_mlops.predictions": "Predictions TableInfo",
    "pct_mlops.registry": "Registry Version",
    "pct_mlops.version": "__version__:version",
    "pct_mlops.workflows.advice.evidence_table": "UpdateEvidence read_evidence",
    "pct_mlops.workflows.advice.recommendation": "recommend_update",
    "pct_mlops.workflows.gating.evaluate": "evaluate_candidate",
    "pct_mlops.workflows.tables.attach": "attach",
    "pct_mlops.workflows.tables.log_predictions": "log_predictions",
    "pct_mlops.workflows.tables.register_ensemble": "register_ensemble",
}
_HOME = {entry.partition(":")[0]: (module, entry) for module, names in _MODULES.items() for entry in names.split()}


if not TYPE_CHECKING:
    # Hide this from type checkers, to which it would mean that every name exists.

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, entry = _HOME[name]
        found = getattr(importlib.import_module(module), entry.rpartition(":")[2])
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
