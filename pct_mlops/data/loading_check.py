"""Checks before the first step that shared memory has room for all that a training loads through worker processes."""

from __future__ import annotations

import os

from pct_mlops.config import DataConfig
from pct_mlops.data.sources import way_of
from pct_mlops.data.split import Split, Splits
from pct_mlops.data.ten_crop import NUM_CROPS
from pct_mlops.data.workers import Load, check_shared_memory


def check_loading(
    splits: Splits, config: DataConfig, *, train_batch: int, eval_batch: int, num_processes: int, stores: bool = False
) -> None:
    """Raise PctError where shared memory has no room for the batches of training, evaluation, or stored outputs.

    Loaders check their own needs. But the evaluation starts after an epoch, and the processes of a machine share the
    memory.

    Args:
        splits: what is loaded.
        config: worker processes, memory cap and augmentation.
        train_batch: global batch of the training.
        eval_batch: examples of an evaluation batch on each process.
        num_processes: number of processes, on all machines together.
        stores: the teacher's outputs are computed first, for the views of the training.
    """
    here = min(num_processes, int(os.environ.get("LOCAL_WORLD_SIZE") or 1))

    def check(split: Split, batch: int, augmented: bool) -> None:
        if way_of(split, config, augmented=augmented) == "streaming":
            share = -(-len(split) // num_processes)
            load = Load(min(batch, share), split.pixels.shape, -(-share // batch))
            check_shared_memory(load, config.num_workers, here)

    check(splits.train, max(1, train_batch // num_processes), True)
    if stores:
        check(splits.train, eval_batch, True)
    for split in (splits.val, splits.test):
        check(split, max(1, eval_batch // NUM_CROPS) if config.ten_crop else eval_batch, False)
