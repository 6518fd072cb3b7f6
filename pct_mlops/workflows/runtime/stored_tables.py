"""Stores prediction tables with a model, and keeps the table that was there before under another name."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.errors import PctError
from pct_mlops.predictions import Predictions
from pct_mlops.workflows.runtime.distributed import main_process_logger

if TYPE_CHECKING:
    from pct_mlops.registry import ModelFiles

logger = main_process_logger(__name__)
FOLDER = "predictions"


def stored_table(files: ModelFiles, split: str) -> Path | None:
    """Return the table that a model carries on a split as a local file, None when there is none."""
    return files.find(f"{FOLDER}/{split}.parquet")


def keep_former(files: ModelFiles, split: str, *, log: bool = True) -> str:
    """Store the table that is about to be replaced under another name.

    Args:
        files: Of the model.
        split: Of the table.
        log: Log where it is kept. A caller that tells so itself sets it to False.

    Returns:
        Where it is kept, for example `predictions/test-1a2b3c4d.parquet`; empty when there was no table.
    """
    former = stored_table(files, split)
    if former is None:
        return ""
    try:
        digest = Predictions.load(former).info.digest[:8]
    except PctError:
        digest = "unreadable"  # kept all the same: it may say why
    name, number = f"{split}-{digest}.parquet", 1
    while (there := files.find(f"{FOLDER}/{name}")) is not None:
        if filecmp.cmp(there, former, shallow=False):
            return f"{FOLDER}/{name}"
        number += 1
        name = f"{split}-{digest}-{number}.parquet"
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        shutil.copyfile(former, Path(folder) / name)
        files.add(Path(folder) / name, FOLDER)
    if log:
        logger.info(f"{files.title}: its former table is kept as {FOLDER}/{name}.")
    return f"{FOLDER}/{name}"
