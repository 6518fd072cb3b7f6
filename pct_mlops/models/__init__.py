"""Classifiers: every architecture out of one factory, each returning logits and penultimate features."""

from pct_mlops.models.architecture import Architecture
from pct_mlops.models.classifier import Body, Classifier, LogitsOnly, without_head
from pct_mlops.models.ensemble import Ensemble, common_classes
from pct_mlops.models.factory import build_model
from pct_mlops.models.families import model_names, summary
from pct_mlops.models.files import classifier_from_bytes, load_classifier, load_weights_into, save_classifier
from pct_mlops.models.growth import copy_fitting_layers, grow_classifier, grown_weights
from pct_mlops.models.legacy import read_checkpoint
from pct_mlops.models.logit_mean import LOGIT_MEAN, LogitMean, Part, flattened, mean_of_models
from pct_mlops.models.output import ModelOutput
from pct_mlops.models.own import ARCHITECTURES
from pct_mlops.models.published import load_pretrained
from pct_mlops.models.surgery import (
    batchnorm_layers,
    fold_old_head,
    freeze_backbone,
    interpolate_weights,
    reorder_classes,
    reset_batchnorm,
    reset_head,
    use_old_head,
)

__all__ = [
    "ARCHITECTURES",
    "LOGIT_MEAN",
    "Architecture",
    "Body",
    "Classifier",
    "Ensemble",
    "LogitMean",
    "LogitsOnly",
    "ModelOutput",
    "Part",
    "batchnorm_layers",
    "build_model",
    "classifier_from_bytes",
    "common_classes",
    "copy_fitting_layers",
    "flattened",
    "fold_old_head",
    "freeze_backbone",
    "grow_classifier",
    "grown_weights",
    "interpolate_weights",
    "load_classifier",
    "load_pretrained",
    "load_weights_into",
    "mean_of_models",
    "model_names",
    "read_checkpoint",
    "reorder_classes",
    "reset_batchnorm",
    "reset_head",
    "save_classifier",
    "summary",
    "use_old_head",
    "without_head",
]
