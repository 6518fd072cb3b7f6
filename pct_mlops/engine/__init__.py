"""Trains models and computes their logits with accelerate, on any number of processes and without a tracking server."""

from pct_mlops.engine.checkpoint import Checkpoints
from pct_mlops.engine.fit import EpochResult, EpochScore, fit
from pct_mlops.engine.predict import predict
from pct_mlops.engine.setup import NUM_PROCESSES, make_accelerator, seed_everything, sync_batchnorm
from pct_mlops.engine.stored import StoredOutputs
from pct_mlops.engine.teachers import ModuleTeacher, SelfEMA, TableTeacher, TeacherSource

__all__ = [
    "NUM_PROCESSES",
    "Checkpoints",
    "EpochResult",
    "EpochScore",
    "ModuleTeacher",
    "SelfEMA",
    "StoredOutputs",
    "TableTeacher",
    "TeacherSource",
    "fit",
    "make_accelerator",
    "predict",
    "seed_everything",
    "sync_batchnorm",
]
