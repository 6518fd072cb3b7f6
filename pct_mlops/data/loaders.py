"""Makes batches from memory on the training device, or streams them through worker processes. Both give the same views.

Order and views are functions of (seed, epoch, step). They are drawn for the whole global batch, of which every process
takes its own part. So one process and many see the same examples, and a resume needs no stored generator. With
data.views, a view is a function of (seed, example, number of the view).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pct_mlops.config import DataConfig
from pct_mlops.data.fixed_views import fixed_views, view_numbers
from pct_mlops.data.mixing import Mixing
from pct_mlops.data.sources import FRESH, Batch, Job, MemorySource, StreamSource, Way, way_of
from pct_mlops.data.split import Split
from pct_mlops.data.ten_crop import NUM_CROPS, ten_crops
from pct_mlops.data.views import draw_views, generator
from pct_mlops.data.workers import Load
from pct_mlops.errors import ConfigError


def _import_transforms() -> None:
    import torchvision.transforms.v2  # noqa: F401  # once, before the workers fork, because it takes seconds


class TrainLoader:
    """Loader of this process's part of shuffled, augmented global batches.

    The last, incomplete batch of an epoch is left out. `len()` is the number of steps per epoch. `path` says which way
    the images come: "memory" or "streaming".
    """

    def __init__(
        self,
        split: Split,
        config: DataConfig,
        *,
        global_batch_size: int,
        seed_sampler: int,
        seed_data: int,
        num_classes: int | None,
        rank: int,
        world_size: int,
        device: torch.device,
    ) -> None:
        self._num_examples, self._global = len(split), global_batch_size
        self._start = rank * (global_batch_size // world_size)
        self._stop = self._start + global_batch_size // world_size
        self._seed_sampler, self._seed_data = seed_sampler, seed_data
        self._augment, (_, self._height, self._width) = config.augment, split.pixels.shape
        self._num_views = config.views
        self._mixing, self._shared = None, world_size > 1
        if config.augment.mixup or config.augment.cutmix:
            if num_classes is None:
                raise ValueError("mixup and cutmix need num_classes")
            self._mixing = Mixing(config.augment, num_classes, seed_data, self._shared)
        self.path: Way = way_of(split, config, augmented=True)
        self._source: MemorySource | StreamSource
        if self.path == "memory":
            padding = config.augment.padding if config.augment.crop == "pad" else 0
            self._source = MemorySource(split, padding, device)
        else:
            _import_transforms()
            load = Load(global_batch_size // world_size, split.pixels.shape, len(self))
            self._source = StreamSource(split, config.num_workers, device, keep_workers=True, load=load)

    def __len__(self) -> int:
        return self._num_examples // self._global

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Return the batches start_step .. len - 1 of an epoch, the same ones that an uninterrupted epoch has there."""
        if not 0 <= start_step <= len(self):
            raise ValueError(f"start_step {start_step} is outside 0 to {len(self)}")
        batches = self._source.batches(self._jobs(epoch, start_step))
        mixing = self._mixing
        if mixing is None:
            return batches
        return (mixing(batch, epoch, step) for step, batch in enumerate(batches, start_step))

    def _jobs(self, epoch: int, start_step: int) -> Iterator[Job]:
        order = torch.randperm(self._num_examples, generator=generator("order", self._seed_sampler, epoch))
        own = torch.arange(self._start, self._stop)
        if self._mixing is not None and self._shared:
            own = torch.cat([(own[:1] - 1) % self._global, own])  # the example that its first one is mixed with
        for step in range(start_step, len(self)):
            index = order[step * self._global : (step + 1) * self._global]
            yield self._fixed_job(epoch, index[own]) if self._num_views else self._fresh_job(epoch, step, index, own)

    def _fixed_job(self, epoch: int, index: Tensor) -> Job:
        numbers = view_numbers(self._seed_data, epoch, index, self._num_views or 1)
        views = fixed_views(self._augment, self._seed_data, index, numbers, (self._height, self._width))
        return Job(index, views, numbers)

    def _fresh_job(self, epoch: int, step: int, index: Tensor, own: Tensor) -> Job:
        random = generator("views", self._seed_data, epoch, step)
        views = draw_views(self._augment, self._global, random, self._height, self._width)
        return Job(index[own], views.rows(own), torch.full_like(own, FRESH))


class EvalLoader:
    """Loader of this process's contiguous share of a split, in order, each example once. It may be iterated again.

    Images come as they are, or as one fixed view of each, or as ten crops [n, 10, C, H, W]. `len()` is the number of
    batches, `path` is "memory" or "streaming".
    """

    def __init__(
        self,
        split: Split,
        config: DataConfig,
        job: Callable[[Tensor], Job],
        *,
        batch_size: int,
        ten_crop: bool,
        rank: int,
        world_size: int,
        device: torch.device,
    ) -> None:
        share = -(-len(split) // world_size)
        self._rows = torch.arange(min(rank * share, len(split)), min((rank + 1) * share, len(split)))
        self._batch_size, self._job, self._ten_crop = batch_size, job, ten_crop
        augmented = job is not _plain_job
        self.path: Way = way_of(split, config, augmented=augmented)
        self._source: MemorySource | StreamSource
        if self.path == "memory":
            self._source = MemorySource(split, 0, device)
        else:
            if augmented:
                _import_transforms()
            load = Load(min(batch_size, len(self._rows)), split.pixels.shape, len(self))
            self._source = StreamSource(split, config.num_workers, device, keep_workers=False, load=load)

    def __len__(self) -> int:
        return (len(self._rows) + self._batch_size - 1) // self._batch_size

    def __iter__(self) -> Iterator[Batch]:
        jobs = (self._job(rows.clone()) for rows in self._rows.split(self._batch_size) if len(rows))
        for batch in self._source.batches(jobs):
            yield batch._replace(images=ten_crops(batch.images)) if self._ten_crop else batch


def _plain_job(rows: Tensor) -> Job:
    return Job(rows, None, torch.full_like(rows, FRESH))


def train_loader(
    split: Split,
    config: DataConfig,
    *,
    global_batch_size: int,
    seed_sampler: int,
    seed_data: int,
    num_classes: int | None = None,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | str = "cpu",
) -> TrainLoader:
    """Return a loader of shuffled, augmented batches of global_batch_size / world_size examples.

    Args:
        split: the examples.
        config: augmentation, views, worker processes and the memory cap.
        global_batch_size: number of examples of one step over all processes.
        seed_sampler: seed of the order of the examples.
        seed_data: seed of the views, and of mixup and cutmix.
        num_classes: width of `Batch.soft`; needed for mixup and cutmix.
        rank: number of this process, from 0.
        world_size: number of processes.
        device: where the batches are put.

    Raises:
        PctError: the global batch does not divide by the number of processes, or is larger than the split.
    """
    _check_place(rank, world_size)
    if global_batch_size % world_size:
        below = global_batch_size // world_size * world_size
        near = f"{below} or {below + world_size}" if below else f"{world_size}"
        raise ConfigError(
            f"The global batch of {global_batch_size} does not divide by {world_size} processes: "
            f"set optim.global_batch_size to {near}."
        )
    if len(split) < global_batch_size:
        raise ConfigError(
            f"The {split.name} split has {len(split)} examples, fewer than one global batch of {global_batch_size}: "
            f"lower optim.global_batch_size to at most {len(split)}."
        )
    return TrainLoader(
        split,
        config,
        global_batch_size=global_batch_size,
        seed_sampler=seed_sampler,
        seed_data=seed_data,
        num_classes=num_classes,
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
    """Return a loader of this process's share in batches of up to `batch_size` images, without augmentation.

    With data.ten_crop each example is ten images [n, 10, C, H, W], and a batch holds a tenth of the examples. `rank`,
    `world_size` and `device` are those of `train_loader`. Raises PctError for a `batch_size` below 1.
    """
    _check_place(rank, world_size)
    _check_batch(batch_size)
    return EvalLoader(
        split,
        config,
        _plain_job,
        batch_size=max(1, batch_size // NUM_CROPS) if config.ten_crop else batch_size,
        ten_crop=config.ten_crop,
        rank=rank,
        world_size=world_size,
        device=torch.device(device),
    )


def view_loader(
    split: Split,
    config: DataConfig,
    view: int,
    *,
    batch_size: int,
    seed_data: int,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | str = "cpu",
) -> EvalLoader:
    """Return a loader like that of `eval_loader`, but of view number `view` of each example and without ten crops.

    The views are those that training with data.views and the same `seed_data` shows. On a GPU each loader holds its own
    copy of the split, so make one after the other.
    """
    _check_place(rank, world_size)
    _check_batch(batch_size)
    _, height, width = split.pixels.shape

    def job(rows: Tensor) -> Job:
        numbers = torch.full_like(rows, view)
        return Job(rows, fixed_views(config.augment, seed_data, rows, numbers, (height, width)), numbers)

    return EvalLoader(
        split,
        config,
        job,
        batch_size=batch_size,
        ten_crop=False,
        rank=rank,
        world_size=world_size,
        device=torch.device(device),
    )


def _check_batch(batch_size: int) -> None:
    if batch_size < 1:
        raise ConfigError(f"The evaluation batch is {batch_size}: set engine.eval_batch_size to 1 or more.")


def _check_place(rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is outside 0 to {world_size - 1}")
