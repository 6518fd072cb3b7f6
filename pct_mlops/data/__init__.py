"""Loads data sets as three splits (train, val, test) and feeds them in batches.

The global batches are the same on any number of processes.
"""

from pct_mlops.data.arrays import ArrayData
from pct_mlops.data.datasets import DATASETS, load_data, load_for_scoring
from pct_mlops.data.loaders import EvalLoader, TrainLoader, eval_loader, train_loader, view_loader
from pct_mlops.data.loading_check import check_loading
from pct_mlops.data.one_split import class_order
from pct_mlops.data.sources import FRESH, Batch
from pct_mlops.data.split import Split, Splits

__all__ = [
    "DATASETS",
    "FRESH",
    "ArrayData",
    "Batch",
    "EvalLoader",
    "Split",
    "Splits",
    "TrainLoader",
    "check_loading",
    "class_order",
    "eval_loader",
    "load_data",
    "load_for_scoring",
    "train_loader",
    "view_loader",
]
