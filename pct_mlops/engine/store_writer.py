"""Writes a teacher's outputs to disk, for `stored`.

All processes write, into a folder aside that is renamed in the end. So the outputs are complete or not there at all.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from torch import Tensor, nn

from pct_mlops.data.locking import one_process_at_a_time
from pct_mlops.engine.progress import Progress
from pct_mlops.engine.setup import to_device
from pct_mlops.errors import ConfigError, DataError, OutputError

if TYPE_CHECKING:
    from pct_mlops.data import Batch

HEADER, LOGITS, FEATURES = "header.json", "logits.npy", "features.npy"
KIND, VERSION = "pct_mlops teacher outputs", 1
T = TypeVar("T")


class Rows(NamedTuple):
    """Outputs of n examples in one view: their rows int64 [n], and values float16 [n, width] for each file."""

    view: int
    rows: NDArray[np.int64]
    values: dict[str, NDArray[np.float16]]


def write_store(
    folder: Path,
    key: str,
    teacher: nn.Module,
    view_loader: Callable[[int], Iterable[Batch]],
    *,
    size: tuple[int, int],
    accelerator: Accelerator,
    with_features: bool,
) -> None:
    """Store the outputs of `size` (views, examples) under folder/key, unless something is there already.

    Call it on all processes.

    Raises:
        PctError: the folder cannot be written, or the outputs are not finite in float16 or lack features.
        RuntimeError: the processes' shares together are not each example exactly once in every view.
    """
    final, aside = folder / key, folder / f".{key}.partial"
    with ExitStack() as held:

        def begin() -> bool:
            held.enter_context(one_process_at_a_time(folder))
            if final.exists():
                return False
            shutil.rmtree(aside, ignore_errors=True)  # a kill may have left it
            aside.mkdir()
            return True

        if not _on_main(accelerator, begin, folder):
            return
        rows = _computed(teacher, view_loader, size, accelerator, with_features)
        first = next(rows, None)
        # The main process has the first share, so it always has rows.
        _on_main(accelerator, lambda: _create(aside, first, size), folder)  # type: ignore[arg-type]
        if first is not None:
            try:
                _write(aside, chain([first], rows), size[1])
            except OSError as error:
                raise OutputError(_unwritable(folder, error)) from error
        accelerator.wait_for_everyone()
        _on_main(accelerator, lambda: _finish(aside, final, key), folder)


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file."""
    value = 0
    with open(path, "rb") as file:
        while part := file.read(1 << 22):
            value = zlib.crc32(part, value)
    return value


def _computed(
    teacher: nn.Module,
    view_loader: Callable[[int], Iterable[Batch]],
    size: tuple[int, int],
    accelerator: Accelerator,
    with_features: bool,
) -> Iterator[Rows]:
    """Yield this process's rows, view after view, and check after each view that all processes had all examples."""
    teacher = to_device(teacher, accelerator).eval()
    num_views, num_examples = size
    with Progress("teacher outputs", num_views * num_examples, accelerator.is_main_process) as bar:
        for view in range(num_views):
            times = torch.zeros(num_examples + 1, dtype=torch.int32, device=accelerator.device)
            for batch in view_loader(view):
                values = _outputs(teacher, batch, accelerator, with_features)
                times[batch.index] += 1
                times[-1] += sum(int(not np.isfinite(array).all()) for array in values.values())
                yield Rows(view, batch.index.cpu().numpy(), values)
                bar.advance(len(batch.index) * accelerator.num_processes)
            _check_view(accelerator.reduce(times, reduction="sum"), view)


def _outputs(
    teacher: nn.Module, batch: Batch, accelerator: Accelerator, with_features: bool
) -> dict[str, NDArray[np.float16]]:
    # As in training: with its autocast, and channels last.
    with torch.no_grad(), accelerator.autocast():
        output = teacher(batch.images.contiguous(memory_format=torch.channels_last))
    values = {LOGITS: _half(output.logits)}
    if with_features:
        if output.features is None:
            raise ConfigError("The teacher returns no features to store: choose a distance on logits.")
        values[FEATURES] = _half(output.features)
    return values


def _half(values: Tensor) -> NDArray[np.float16]:
    return values.to(torch.float16).cpu().numpy()


def _check_view(times: Tensor, view: int) -> None:
    """Raise an error unless each example came once and all outputs are finite.

    `times` counts how often each example came, and last how many arrays were not finite. It is summed over all
    processes, so that all of them raise the same error.
    """
    if int(times[-1]):
        raise DataError(
            "The teacher's outputs are not finite in float16, so they cannot be stored: set teacher.store=false, "
            "or check the teacher."
        )
    if not bool((times[:-1] == 1).all()):
        raise RuntimeError(f"view {view}: some examples are missing or come twice")


def _create(aside: Path, rows: Rows, size: tuple[int, int]) -> None:
    for name, values in rows.values.items():
        np.lib.format.open_memmap(aside / name, mode="w+", dtype=np.float16, shape=(*size, values.shape[1]))


def _write(aside: Path, parts: Iterable[Rows], num_examples: int) -> None:
    """Write this process's own rows, as plain writes: memory maps of one file on several machines disagree."""
    files: dict[str, tuple[int, int]] = {}
    with ExitStack() as opened:
        for view, rows, values in parts:
            # A share is a contiguous part of the split, so this is one write a batch.
            runs = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1)
            for name, array in values.items():
                if name not in files:
                    file = opened.enter_context(open(aside / name, "r+b"))
                    offset = np.load(aside / name, mmap_mode="r").offset
                    files[name] = file.fileno(), offset
                descriptor, offset = files[name]
                for run in runs:
                    first = view * num_examples + int(rows[run[0]])
                    os.pwrite(descriptor, array[run].tobytes(), offset + first * array[0].nbytes)
        for descriptor, _ in files.values():
            os.fsync(descriptor)


def _finish(aside: Path, final: Path, key: str) -> None:
    records = {}
    for path in sorted(aside.iterdir()):
        shape = np.load(path, mmap_mode="r").shape
        records[path.name] = {"shape": list(shape), "bytes": path.stat().st_size, "crc32": checksum(path)}
    header = {"kind": KIND, "version": VERSION, "key": key, "dtype": "float16", "files": records}
    (aside / HEADER).write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
    aside.rename(final)


def _unwritable(folder: Path, error: OSError) -> str:
    return (
        f"Teacher outputs cannot be stored in {folder} ({error.strerror or error}): "
        "make room there, or set engine.checkpoint_dir to another place."
    )


def _on_main(accelerator: Accelerator, action: Callable[[], T], folder: Path) -> T:
    """Run `action` on the main process and return its result on all. Its OSError becomes a PctError on all."""
    result: list[T | None] = [None]
    problem: list[str | None] = [None]
    if accelerator.is_main_process:
        try:
            result = [action()]
        except OSError as error:
            problem = [_unwritable(folder, error)]
    broadcast_object_list(problem)
    if problem[0] is not None:
        raise OutputError(problem[0])
    broadcast_object_list(result)
    return result[0]  # type: ignore[return-value]
