"""Reads a model registry, writes runs and versions, and moves aliases. It is the only part that imports mlflow."""

from pct_mlops.registry.artifacts import ModelFiles
from pct_mlops.registry.evaluation import input_shape, log_evaluation
from pct_mlops.registry.evidence_record import (
    EVIDENCE_TAG,
    EvidenceDigests,
    check_evidence,
    find_record,
    other_model,
    recorded_evidence,
    stored_evidence,
    was_changed,
)
from pct_mlops.registry.evidence_writing import (
    check_logged_model,
    check_model,
    not_recorded,
    record_evidence,
    record_with_model,
    write_evidence,
    write_first_evidence,
)
from pct_mlops.registry.logged_models import logged_model, logged_models
from pct_mlops.registry.moves import Move, MoveEvidence, history, user
from pct_mlops.registry.nested import (
    ChildRun,
    ParentRun,
    close_child,
    find_child,
    open_child,
    parent_run,
    run_file,
    run_metric,
)
from pct_mlops.registry.production import promote, rollback
from pct_mlops.registry.record_decision import record_decision
from pct_mlops.registry.registry import CANDIDATE, PREVIOUS, PRODUCTION, Registry, Version, is_reference, no_predictions
from pct_mlops.registry.release import CANDIDATES, release
from pct_mlops.registry.review_records import add_review, reviews
from pct_mlops.registry.served_model import fetch_model
from pct_mlops.registry.stored_floor import FLOOR_FOLDER, MEMBERS_FILE, Floor, floor_members, read_floor, store_floor
from pct_mlops.registry.training_run import TrainingRun, add_predictions, make_experiment, training_run
from pct_mlops.registry.verification import ProductionState, Verification, adopt, check_first, repair, verify
from pct_mlops.registry.verified_evidence import EvidenceCheck, verify_evidence
from pct_mlops.registry.version_facts import (
    TEXTS,
    THUMBNAILS,
    WEIGHTS_TAG,
    add_example_file,
    record_weights,
)

__all__ = [
    "CANDIDATE",
    "CANDIDATES",
    "EVIDENCE_TAG",
    "FLOOR_FOLDER",
    "MEMBERS_FILE",
    "PREVIOUS",
    "PRODUCTION",
    "TEXTS",
    "THUMBNAILS",
    "WEIGHTS_TAG",
    "ChildRun",
    "EvidenceCheck",
    "EvidenceDigests",
    "Floor",
    "ModelFiles",
    "Move",
    "MoveEvidence",
    "ParentRun",
    "ProductionState",
    "Registry",
    "TrainingRun",
    "Verification",
    "Version",
    "add_example_file",
    "add_predictions",
    "add_review",
    "adopt",
    "check_evidence",
    "check_first",
    "check_logged_model",
    "check_model",
    "close_child",
    "fetch_model",
    "find_child",
    "find_record",
    "floor_members",
    "history",
    "input_shape",
    "is_reference",
    "log_evaluation",
    "logged_model",
    "logged_models",
    "make_experiment",
    "no_predictions",
    "not_recorded",
    "open_child",
    "other_model",
    "parent_run",
    "promote",
    "read_floor",
    "record_decision",
    "record_evidence",
    "record_weights",
    "record_with_model",
    "recorded_evidence",
    "release",
    "repair",
    "reviews",
    "rollback",
    "run_file",
    "run_metric",
    "store_floor",
    "stored_evidence",
    "training_run",
    "user",
    "verify",
    "verify_evidence",
    "was_changed",
    "write_evidence",
    "write_first_evidence",
]
