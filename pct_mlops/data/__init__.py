"""Data sets as three splits with three jobs, and loaders whose batches are the same on any number of processes."""

from pct_mlops.data.datasets import DATASETS, load_data
from pct_mlops.data.loaders import Batch, EvalLoader, TrainLoader, eval_loader, train_loader
from pct_mlops.data.split import Split, Splits

__all__ = [
    "DATASETS",
    "Batch",
    "EvalLoader",
    "Split",
    "Splits",
    "TrainLoader",
    "eval_loader",
    "load_data",
    "train_loader",
]
