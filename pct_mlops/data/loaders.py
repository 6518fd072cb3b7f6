"""Batches: from memory on the training device, or streamed through worker processes. Both give the same views.

Order and views are functions of (seed, epoch, step), drawn for the whole global batch, of which every process takes
its own part: one process and many see the same examples, and a resume needs no stored generator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from pct_mlops.config import DataConfig, PctError
from pct_mlops.data.pixels import Pixels
from pct_mlops.data.split import Split
from pct_mlops.data.views import ViewParams, apply_one, cut, draw, generator, pad


class Batch(NamedTuple):
    """Images float32 [n, C, H, W] in [0, 1], labels int64 [n], index int64 [n]: rows of the split. On one device."""

    images: Tensor
    labels: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody asks of a batch


class Job(NamedTuple):
    """What a batch is made of: rows of the split, and their views (None: the images as they are)."""

    rows: Tensor
    views: ViewParams | None


def _to_unit(images: Tensor) -> Tensor:
    return images.to(torch.float32).div_(255)


class MemorySource:
    """The whole split as uint8 on the device, padded once; a batch is cut out by index arithmetic."""

    def __init__(self, split: Split, padding: int, device: torch.device) -> None:
        self._images = pad(split.all_images().to(device), padding)
        self._labels = split.labels.to(device)
        self._device = device

    def batches(self, jobs: Iterable[Job]) -> Iterator[Batch]:
        """One batch a job."""
        for job in jobs:
            index = job.rows.to(self._device, non_blocking=True)
            views = job.views
            images = self._images[index] if views is None else cut(self._images, index, views.to(self._device))
            yield Batch(_to_unit(images), self._labels[index], index)


class _JobSampler(Sampler[Job]):
    """Hands the loader the jobs of the epoch that is due."""

    def __init__(self) -> None:
        self.jobs: Iterable[Job] = []

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)


class _JobDataset(Dataset[Any]):
    """Does a job: reads a batch's images and cuts their views. Runs inside the workers."""

    def __init__(self, pixels: Pixels, labels: Tensor) -> None:
        self._pixels, self._labels = pixels, labels

    def __getitem__(self, job: Job) -> tuple[Tensor, Tensor, Tensor] | str:
        try:
            images = self._pixels.read(job.rows)
        except PctError as error:
            # As a value: an exception would come out of the worker wrapped in a traceback.
            return str(error)
        views = job.views
        if views is not None:
            for row, image in enumerate(images):
                images[row] = apply_one(image, views.row(row), views.padding, views.resized)
        return images, self._labels[job.rows], job.rows


class StreamSource:
    """Reads and transforms in `num_workers` processes (0: in this one), some batches ahead."""

    def __init__(self, split: Split, num_workers: int, device: torch.device, keep_workers: bool) -> None:
        self._sampler, self._device = _JobSampler(), device
        self._loader: DataLoader[Any] = DataLoader(
            _JobDataset(split.pixels, split.labels),
            batch_size=None,  # a job is a batch already
            sampler=self._sampler,
            num_workers=num_workers,
            persistent_workers=keep_workers and num_workers > 0,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # or the loader would draw from, and so change, the global one
        )

    def batches(self, jobs: Iterable[Job]) -> Iterator[Batch]:
        """One batch a job; PctError names a file that cannot be read."""
        self._sampler.jobs = jobs
        for result in self._loader:
            if isinstance(result, str):
                raise PctError(result)
            images, labels, index = (part.to(self._device, non_blocking=True) for part in result)
            yield Batch(_to_unit(images), labels, index)


def _fits_in_memory(split: Split, config: DataConfig) -> bool:
    return config.memory_cap_gb > 0 and split.num_bytes <= config.memory_cap_gb * 1e9


class TrainLoader:
    """This process's part of shuffled, augmented global batches; the last ragged batch of an epoch is left out.

    `len()` is steps per epoch. `path` says which way the images come: "memory" or "streaming".
    """

    def __init__(
        self,
        split: Split,
        config: DataConfig,
        *,
        global_batch_size: int,
        seed_sampler: int,
        seed_data: int,
        rank: int,
        world_size: int,
        device: torch.device,
    ) -> None:
        self._num_examples, self._global = len(split), global_batch_size
        self._start = rank * (global_batch_size // world_size)
        self._stop = self._start + global_batch_size // world_size
        self._seed_sampler, self._seed_data = seed_sampler, seed_data
        self._augment, (_, self._height, self._width) = config.augment, split.pixels.shape
        self.path: Literal["memory", "streaming"] = "streaming"
        self._source: MemorySource | StreamSource
        # Boxes of different sizes cannot be cut from a batch at once, so random_resized is always streamed.
        if _fits_in_memory(split, config) and config.augment.crop != "random_resized":
            self.path = "memory"
            padding = config.augment.padding if config.augment.crop == "pad" else 0
            self._source = MemorySource(split, padding, device)
        else:
            import torchvision.transforms.v2  # noqa: F401  # once, before the workers fork: it takes seconds

            self._source = StreamSource(split, config.num_workers, device, keep_workers=True)

    def __len__(self) -> int:
        return self._num_examples // self._global

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Batches start_step .. len - 1 of an epoch: the same ones that an uninterrupted epoch has there."""
        if not 0 <= start_step <= len(self):
            raise ValueError(f"start_step {start_step} is outside 0 to {len(self)}")
        return self._source.batches(self._jobs(epoch, start_step))

    def _jobs(self, epoch: int, start_step: int) -> Iterator[Job]:
        order = torch.randperm(self._num_examples, generator=generator("order", self._seed_sampler, epoch))
        for step in range(start_step, len(self)):
            index = order[step * self._global : (step + 1) * self._global]
            random = generator("views", self._seed_data, epoch, step)
            views = draw(self._augment, self._global, random, self._height, self._width)
            yield Job(index[self._start : self._stop].clone(), views.part(self._start, self._stop))


class EvalLoader:
    """This process's contiguous share of a split, as it is, in order, each example once; may be iterated again.

    `len()` is the number of batches, `path` is "memory" or "streaming".
    """

    def __init__(
        self, split: Split, config: DataConfig, *, batch_size: int, rank: int, world_size: int, device: torch.device
    ) -> None:
        share = -(-len(split) // world_size)
        rows = torch.arange(min(rank * share, len(split)), min((rank + 1) * share, len(split)))
        self._jobs = [Job(part.clone(), None) for part in rows.split(batch_size) if len(part)]
        self.path: Literal["memory", "streaming"] = "memory" if _fits_in_memory(split, config) else "streaming"
        self._source: MemorySource | StreamSource
        if self.path == "memory":
            self._source = MemorySource(split, 0, device)
        else:
            self._source = StreamSource(split, config.num_workers, device, keep_workers=False)

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Batch]:
        return self._source.batches(self._jobs)


def train_loader(
    split: Split,
    config: DataConfig,
    *,
    global_batch_size: int,
    seed_sampler: int,
    seed_data: int,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | str = "cpu",
) -> TrainLoader:
    """Shuffled, augmented batches of global_batch_size / world_size examples on `device`.

    PctError when the global batch does not divide by the number of processes, or is larger than the split.
    """
    _check_place(rank, world_size)
    if global_batch_size % world_size:
        below = global_batch_size // world_size * world_size
        near = f"{below} or {below + world_size}" if below else f"{world_size}"
        raise PctError(
            f"The global batch of {global_batch_size} does not divide by {world_size} processes: "
            f"set optim.global_batch_size to {near}."
        )
    if len(split) < global_batch_size:
        raise PctError(
            f"The {split.name} split has {len(split)} examples, fewer than one global batch of {global_batch_size}: "
            f"lower optim.global_batch_size to at most {len(split)}."
        )
    return TrainLoader(
        split,
        config,
        global_batch_size=global_batch_size,
        seed_sampler=seed_sampler,
        seed_data=seed_data,
        rank=rank,
        world_size=world_size,
        device=torch.device(device),
    )


def eval_loader(
    split: Split,
    config: DataConfig,
    *,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | str = "cpu",
) -> EvalLoader:
    """Batches of up to `batch_size` examples of this process's share on `device`, without augmentation."""
    _check_place(rank, world_size)
    if batch_size < 1:
        raise PctError(f"The evaluation batch is {batch_size}: set engine.eval_batch_size to 1 or more.")
    return EvalLoader(
        split, config, batch_size=batch_size, rank=rank, world_size=world_size, device=torch.device(device)
    )


def _check_place(rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is outside 0 to {world_size - 1}")
