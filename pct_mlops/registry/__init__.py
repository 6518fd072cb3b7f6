"""The only place that imports mlflow: reading a model registry, writing runs and versions, moving aliases."""

from pct_mlops.registry.floor import Floor, read_floor, store_floor
from pct_mlops.registry.moves import Move, history, promote, record_decision, rollback, verify
from pct_mlops.registry.nested import ChildRun, ParentRun, close_child, find_child, open_child, parent_run, run_file
from pct_mlops.registry.registry import CANDIDATE, PREVIOUS, PRODUCTION, Registry, Version, is_reference
from pct_mlops.registry.training_run import TrainingRun, add_predictions, make_experiment, training_run

__all__ = [
    "CANDIDATE",
    "PREVIOUS",
    "PRODUCTION",
    "ChildRun",
    "Floor",
    "Move",
    "ParentRun",
    "Registry",
    "TrainingRun",
    "Version",
    "add_predictions",
    "close_child",
    "find_child",
    "history",
    "is_reference",
    "make_experiment",
    "open_child",
    "parent_run",
    "promote",
    "read_floor",
    "record_decision",
    "rollback",
    "run_file",
    "store_floor",
    "training_run",
    "verify",
]
