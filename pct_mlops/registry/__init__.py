"""The only place that imports mlflow: reading a model registry, writing runs and versions, moving aliases."""

from pct_mlops.registry.moves import Move, history, promote, record_decision, rollback, verify
from pct_mlops.registry.registry import CANDIDATE, PREVIOUS, PRODUCTION, Registry, Version, is_reference
from pct_mlops.registry.training_run import TrainingRun, add_predictions, make_experiment, training_run

__all__ = [
    "CANDIDATE",
    "PREVIOUS",
    "PRODUCTION",
    "Move",
    "Registry",
    "TrainingRun",
    "Version",
    "add_predictions",
    "history",
    "is_reference",
    "make_experiment",
    "promote",
    "record_decision",
    "rollback",
    "training_run",
    "verify",
]
