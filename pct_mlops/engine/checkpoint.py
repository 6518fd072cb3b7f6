"""Writes checkpoints that survive a kill: first in a folder aside, then renamed, so each is complete or not there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError

from accelerate import Accelerator
from accelerate.utils import RNG_STATE_NAME, load
from safetensors import SafetensorError

from pct_mlops.errors import DataError, reason_of

STATE = "state.json"  # written last: a folder without it is not a checkpoint
PARTIAL = ".epoch-*.partial"
KEEP = 2


@dataclass
class FitState:
    """Position of a training.

    `epoch` is the one to train next, or the one that is under way. `step` counts optimizer steps within it, and
    `losses` are those of its steps so far.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = -1
    best_score: float = -1.0
    losses: list[float] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one training run under one folder.

    `fingerprint` ties them to the recipe that made them. `fit` writes one after each epoch. With `every_steps` above 0,
    it also writes one every so many optimizer steps within an epoch. The newest two are kept.
    """

    def __init__(self, folder: Path, fingerprint: str, every_steps: int = 0) -> None:
        self.folder = Path(folder)
        self.fingerprint = fingerprint
        self.every_steps = every_steps

    def save(self, accelerator: Accelerator, state: FitState) -> Path:
        """Save weights, optimiser, schedule and the generators of every process, and return the checkpoint's folder.

        Call it on all processes.
        """
        final = self.folder / f"epoch-{state.epoch:04d}-step-{state.step:06d}"
        aside = self.folder / f".{final.name}.partial"
        if accelerator.is_main_process:
            _remove(self.folder.glob(PARTIAL))  # a kill may have left some, under this name or another
            aside.mkdir(parents=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(aside), safe_serialization=True)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            record = {"fingerprint": self.fingerprint, "num_processes": accelerator.num_processes, **asdict(state)}
            _write_synced(aside / STATE, json.dumps(record))
            shutil.rmtree(final, ignore_errors=True)
            aside.rename(final)
            _remove(self.complete()[:-KEEP])
        accelerator.wait_for_everyone()
        return final

    def complete(self) -> list[Path]:
        """Return the folders of the complete checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path.parent for path in self.folder.glob(f"epoch-*/{STATE}"))

    def finished(self, num_epochs: int) -> bool:
        """Tell whether the newest complete checkpoint is of this training and stands after its last epoch.

        Then there is nothing to load, and it does not matter how many processes wrote it.
        """
        try:
            record = json.loads((self.complete()[-1] / STATE).read_text(encoding="utf-8"))
            return record["fingerprint"] == self.fingerprint and record["epoch"] >= num_epochs
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return False  # `load_latest` names a damaged one

    def load_latest(self, accelerator: Accelerator) -> FitState | None:
        """Restore the newest complete checkpoint into the prepared objects, or return None when there is none.

        Raises:
            PctError: it is damaged, belongs to another recipe, or was written by another number of processes.
        """
        found = self.complete()
        if not found:
            return None
        path = found[-1]
        damaged = f"The checkpoint {path} is damaged (%s): remove that folder and resume again."
        try:
            record = json.loads((path / STATE).read_text(encoding="utf-8"))
            fingerprint, wanted = record.pop("fingerprint"), record.pop("num_processes")
            state = FitState(**record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(damaged % f"{STATE}: {error}") from error
        if fingerprint != self.fingerprint:
            raise DataError(
                f"The checkpoint {path} belongs to another recipe: resume with the recipe that made it, "
                "or choose another engine.checkpoint_dir."
            )
        if wanted != accelerator.num_processes:
            raise DataError(
                f"The checkpoint {path} was written by {wanted} processes and {accelerator.num_processes} are running: "
                f"resume with {wanted}, so that the result stays the same."
            )
        try:
            accelerator.load_state(str(path))
            # load_state says nothing about generators that it cannot read: training would go on with other noise.
            load(path / f"{RNG_STATE_NAME}_{accelerator.process_index}.pkl")
        except (OSError, ValueError, KeyError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
            raise DataError(damaged % reason_of(error)) from error
        return state

    def clear(self) -> None:
        """Remove all checkpoints of this folder, complete or not. Other files stay."""
        _remove([*self.folder.glob("epoch-*"), *self.folder.glob(PARTIAL)])


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _write_synced(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
