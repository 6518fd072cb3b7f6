"""Classifiers: every architecture out of one factory, each returning logits and penultimate features."""

from pct_mlops.models.factory import (
    Architecture,
    Classifier,
    LogitsOnly,
    build_model,
    classifier_from_bytes,
    load_classifier,
    model_names,
    save_classifier,
)
from pct_mlops.models.output import ModelOutput

__all__ = [
    "Architecture",
    "Classifier",
    "LogitsOnly",
    "ModelOutput",
    "build_model",
    "classifier_from_bytes",
    "load_classifier",
    "model_names",
    "save_classifier",
]
