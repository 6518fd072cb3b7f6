"""Writes checkpoints that survive a kill: first in a folder aside, then renamed, so each is complete or not there.

They hold safetensors and JSON only, so that reading one runs no code.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch import nn

from pct_mlops.engine.checkpoint_files import read_generators, read_state, write_generators, write_state
from pct_mlops.errors import DataError, OutputError, PctError, reason_of

if TYPE_CHECKING:
    from pct_mlops.engine.step import Step

STATE = "state.json"  # written last: a folder without it is not a checkpoint
FORMAT = 2  # 1 held pickles
PARTIAL = ".epoch-*.partial"
KEEP = 2
# What damaged files raise, or a state that does not fit what it is loaded into.
DAMAGE = (OSError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, RuntimeError, SafetensorError)


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


@dataclass(frozen=True)
class Record:
    """The record of a checkpoint: its place, and what it says of itself.

    `made_from` holds what its fingerprint was made from. It is empty where the writer did not give it.
    """

    folder: Path
    fingerprint: str
    num_processes: int
    state: FitState
    made_from: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one training run under one folder.

    `fingerprint` ties them to the recipe that made them, and `made_from` is what it was made from. `fit` writes one
    after each epoch. With `every_steps` above 0, it also writes one every so many optimizer steps within an epoch. The
    newest two are kept.
    """

    def __init__(
        self, folder: Path, fingerprint: str, every_steps: int = 0, made_from: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.fingerprint = fingerprint
        self.every_steps = every_steps
        self.made_from = made_from or {}

    def save(self, run: Step, state: FitState) -> Path:
        """Save weights, optimiser, schedule and the generators of every process, and return the checkpoint's folder.

        Call it on all processes.

        Raises:
            OutputError: It cannot be written on one of the processes. The checkpoints from before stay.
        """
        accelerator = run.accelerator
        final = self.folder / f"epoch-{state.epoch:04d}-step-{state.step:06d}"
        aside = self.folder / f".{final.name}.partial"

        def begin() -> None:
            if accelerator.is_main_process:
                _remove(self.folder.glob(PARTIAL))  # a kill may have left some, under this name or another
                aside.mkdir(parents=True)

        def write() -> None:
            if accelerator.is_main_process:
                write_state(aside, {name: part.state_dict() for name, part in _parts(run).items()})
            write_generators(aside, accelerator.process_index, accelerator.device)

        def finish() -> None:
            if accelerator.is_main_process:
                self._write_record(aside, accelerator, state)
                shutil.rmtree(final, ignore_errors=True)
                aside.rename(final)
                _remove(self.complete()[:-KEEP])

        try:
            for work in (begin, write, finish):
                _on_all(accelerator, work, (OSError, SafetensorError), lambda error: _unwritable(final, error))
        except PctError:
            if accelerator.is_main_process:
                _remove([aside])
            raise
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
        except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
            return False  # `load_latest` names a damaged one

    def newest(self) -> Record | None:
        """Read what the newest complete checkpoint says of itself. Return None when there is none.

        Raises:
            DataError: It is damaged, or an older version wrote it.
        """
        found = self.complete()
        if not found:
            return None
        path = found[-1]
        try:
            content = json.loads((path / STATE).read_text(encoding="utf-8"))
            if content.pop("format", 1) != FORMAT:
                refuse_pickles(path)
            record = Record(
                path,
                content.pop("fingerprint"),
                content.pop("num_processes"),
                made_from=content.pop("made_from"),
                state=FitState(**content),
            )
            numbers = (record.num_processes, record.state.epoch, record.state.step)
            if not isinstance(record.made_from, Mapping) or not all(type(number) is int for number in numbers):
                raise ValueError("it holds values of another type than a training writes")
            return record
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(_damaged(path, f"{STATE}: {error}")) from error

    def load_latest(self, run: Step) -> FitState | None:
        """Restore the newest complete checkpoint into the parts of `run`, or return None when there is none.

        Raises:
            PctError: it is damaged, belongs to another recipe, or was written by another number of processes or by an
                older version.
        """
        found = self.newest()
        if found is None:
            return None
        accelerator, path = run.accelerator, found.folder
        if found.fingerprint != self.fingerprint:
            raise DataError(
                f"The checkpoint {path} belongs to another recipe: resume with the recipe that made it, "
                "or choose another engine.checkpoint_dir."
            )
        if found.num_processes != accelerator.num_processes:
            raise DataError(
                f"The checkpoint {path} was written by {found.num_processes} processes and "
                f"{accelerator.num_processes} are running: resume with {found.num_processes}, so that the result stays "
                "the same."
            )
        _on_all(
            accelerator, lambda: _restore(run, path), DAMAGE, lambda error: DataError(_damaged(path, reason_of(error)))
        )
        return found.state

    def clear(self) -> None:
        """Remove all checkpoints of this folder, complete or not. Other files stay."""
        _remove([*self.folder.glob("epoch-*"), *self.folder.glob(PARTIAL)])

    def _write_record(self, folder: Path, accelerator: Accelerator, state: FitState) -> None:
        record = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "num_processes": accelerator.num_processes,
            "made_from": self.made_from,
            **asdict(state),
        }
        _write_synced(folder / STATE, json.dumps(record))


def _parts(run: Step) -> dict[str, Any]:
    """Return by name all whose state a resume must bring back."""
    parts: dict[str, Any] = {
        "model": run.accelerator.unwrap_model(run.model),
        "optimizer": run.optimizer,
        "schedule": run.schedule,
    }
    if run.module is not None:
        parts["objective"] = run.module
    if run.teacher is not None and run.teacher.state_dict():
        parts["teacher"] = run.teacher
    if run.accelerator.scaler is not None:
        parts["scaler"] = run.accelerator.scaler
    return parts


def _restore(run: Step, folder: Path) -> None:
    state = read_state(folder)
    for name, part in _parts(run).items():
        found = state[name]
        if isinstance(part, nn.Module):
            found = OrderedDict(found)
            # Some of torchvision's networks convert weights of their older versions. These are of today's.
            found._metadata = part.state_dict()._metadata  # type: ignore[attr-defined]
        part.load_state_dict(found)
    _lay_out(run.optimizer)
    read_generators(folder, run.accelerator.process_index, run.accelerator.device)


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Copy the optimiser's tensors out of the file, into the layout of their parameters, which it does not keep."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for key, value in state.items():
                if isinstance(value, torch.Tensor):
                    like = parameter.detach() if value.ndim and value.shape == parameter.shape else value
                    state[key] = torch.empty_like(like, dtype=value.dtype, device=value.device).copy_(value)


def _on_all(
    accelerator: Accelerator,
    work: Callable[[], None],
    expected: tuple[type[Exception], ...],
    worded: Callable[[Exception], PctError],
) -> None:
    """Do `work` on every process and wait for the others. An expected error of any is raised on all, in our words."""
    problem, cause = None, None
    try:
        work()
    except PctError as error:
        problem, cause = error, error.__cause__
    except expected as error:
        problem, cause = worded(error), error
    found = [problem] if accelerator.num_processes == 1 else gather_object([problem])
    first = next((error for error in found if error is not None), None)
    if first is not None:
        raise first from cause


def refuse_pickles(path: Path) -> None:
    """Raise DataError where an older version wrote the checkpoint, and ValueError where nothing tells who wrote it."""
    if any(path.glob("*.pkl")):
        raise DataError(
            f"The checkpoint {path} was written by an older version, as pickles, which could run code and are not "
            "read: finish that training with the older version, or start again without --resume."
        )
    raise ValueError("no format that this version knows")


def _damaged(path: Path, reason: str) -> str:
    return f"The checkpoint {path} is damaged ({reason}): remove that folder and resume again."


def _unwritable(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"The checkpoint {path} cannot be written ({getattr(error, 'strerror', None) or reason_of(error)}): make room "
        "there, or move its folder to another disk, set engine.checkpoint_dir and go on with --resume."
    )


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _write_synced(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
