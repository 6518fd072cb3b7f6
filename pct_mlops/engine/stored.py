"""Looks up a teacher's outputs that were computed once for every fixed view of every example and stored on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from pct_mlops.engine.store_writer import FEATURES, HEADER, KIND, LOGITS, VERSION, checksum, write_store
from pct_mlops.engine.teachers import Frozen, ModuleTeacher, refuse_mixtures
from pct_mlops.errors import ConfigError, DataError, reason_of
from pct_mlops.models import ModelOutput

if TYPE_CHECKING:
    from pct_mlops.data import Batch

DEVICE_BYTES = 2_000_000_000  # tables up to this size are moved to a GPU whole, so that no step waits for its index


class StoredOutputs(Frozen):
    """Teacher whose outputs are stored: logits [V, N, C] and maybe features [V, N, D], memory-mapped float16.

    They lie in `folder`/`key`. The key identifies the teacher, the data and the views together, and the header repeats
    it. float16 keeps 11 bits, which is a relative error of at most 5e-4.
    """

    needs_images = False

    def __init__(self, logits: NDArray[np.float16], features: NDArray[np.float16] | None = None) -> None:
        self._tables = [logits] if features is None else [logits, features]
        self._on_device: list[Tensor] = []
        self._checked = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(V, N, C) of the logits."""
        views, examples, classes = self._tables[0].shape
        return views, examples, classes

    @staticmethod
    def exists(folder: Path, key: str) -> bool:
        """Tell whether something is stored under this key. `open` checks whether it is undamaged."""
        return (Path(folder) / key).exists()

    @classmethod
    def open(cls, folder: Path, key: str, *, with_features: bool = False) -> StoredOutputs:
        """Open what `build` stored, after a check of its checksums.

        Raises:
            PctError: it is missing, damaged or of another key, or features are asked for and it has none.
        """
        path = Path(folder) / key
        if not path.exists():
            raise DataError(
                f"There are no stored teacher outputs at {path}: train with teacher.store=true to make them."
            )
        try:
            files = _checked_header(path, key)["files"]
            if with_features and FEATURES not in files:
                raise ValueError("it holds no features")
            arrays = {name: _checked_array(path / name, record) for name, record in files.items()}
            return cls(arrays[LOGITS], arrays.get(FEATURES) if with_features else None)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
            raise DataError(
                f"The stored teacher outputs {path} cannot be used ({reason_of(error)}): remove that folder, and they "
                "are computed again."
            ) from error

    @classmethod
    def build(
        cls,
        folder: Path,
        key: str,
        teacher: nn.Module | ModuleTeacher,
        view_loader: Callable[[int], Iterable[Batch]],
        *,
        num_views: int,
        num_examples: int,
        accelerator: Accelerator,
        with_features: bool = False,
    ) -> StoredOutputs:
        """Open what is stored under `key`, or compute and store it first. Call it on all processes.

        A kill leaves nothing under `key`. Another program that wants the same outputs waits for these.

        Args:
            folder: the same for all processes.
            key: identifies the teacher, the data and the views.
            teacher: returns ModelOutput.
            view_loader: returns the loader of this process's share of all examples in one view. It is called for one
                view after the other, and not at all when the outputs are there.
            num_views: number of fixed views of an example.
            num_examples: number of examples of the split.
            accelerator: of this process.
            with_features: store features, too.

        Raises:
            PctError: the outputs cannot be stored, or those that are stored do not fit.
        """
        write_store(
            Path(folder),
            key,
            teacher.module if isinstance(teacher, ModuleTeacher) else teacher,
            view_loader,
            size=(num_views, num_examples),
            accelerator=accelerator,
            with_features=with_features,
        )
        stored = cls.open(folder, key, with_features=with_features)
        if stored.shape[:2] != (num_views, num_examples):
            raise DataError(
                f"The stored teacher outputs {Path(folder) / key} are of {stored.shape[0]} views of {stored.shape[1]} "
                f"examples, not of {num_views} of {num_examples}: remove that folder, and they are computed again."
            )
        return stored

    def outputs(self, batch: Batch, new: ModelOutput | None = None) -> ModelOutput:
        """Look up logits (and features) by (`batch.view`, `batch.index`): float32 [n, ...] on the batch's device.

        Raises PctError for mixed examples, and for views that are drawn afresh.
        """
        refuse_mixtures(batch, "stored outputs are")
        if not self._checked:
            self._check(batch)
        if self._on_device:
            found = [table[batch.view, batch.index].float() for table in self._on_device]
        else:
            assert batch.view is not None
            place = batch.view.cpu().numpy(), batch.index.cpu().numpy()
            device = batch.index.device
            found = [torch.from_numpy(table[place]).to(device).float() for table in self._tables]
        return ModelOutput(found[0], found[1] if len(found) > 1 else None)

    def _check(self, batch: Batch) -> None:
        """Check views and indices of the first batch, and move the tables to its GPU if they are small enough.

        Later batches are not checked, because reading their indices would stall the GPU at every step.
        """
        views, examples, _ = self.shape
        if batch.view is None or not 0 <= int(batch.view.min()) <= int(batch.view.max()) < views:
            raise ConfigError(
                f"The stored teacher outputs are of {views} fixed views an example, and training shows others: "
                f"set data.views={views}."
            )
        if int(batch.index.max()) >= examples:
            raise ValueError(f"index {int(batch.index.max())} is outside the {examples} examples of the table")
        if batch.index.device.type != "cpu" and sum(table.nbytes for table in self._tables) <= DEVICE_BYTES:
            self._on_device = [torch.from_numpy(np.array(table)).to(batch.index.device) for table in self._tables]
        self._checked = True


def _checked_header(path: Path, key: str) -> dict[str, Any]:
    header = json.loads((path / HEADER).read_text(encoding="utf-8"))
    if header.get("kind") != KIND or header.get("version") != VERSION:
        raise ValueError(f"{HEADER} is not of this program and version")
    if header["key"] != key:
        raise ValueError("it belongs to another teacher, other data or other views")
    return header


def _checked_array(path: Path, record: dict[str, Any]) -> NDArray[np.float16]:
    if path.stat().st_size != record["bytes"] or checksum(path) != record["crc32"]:
        raise ValueError(f"{path.name} is damaged")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if list(array.shape) != record["shape"] or array.dtype != np.float16:
        raise ValueError(f"{path.name} has another shape than {HEADER} says")
    return array
