"""Makes batches from memory on the training device, or in worker processes that read and cut images ahead of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from pct_mlops.config import DataConfig
from pct_mlops.data.pixels import Pixels
from pct_mlops.data.split import Split
from pct_mlops.data.views import ViewParams, apply_batch, apply_one, cut, pad
from pct_mlops.data.workers import (
    PREFETCH,
    Load,
    check_shared_memory,
    failed_in_worker,
    plain_worker_errors,
    worker_context,
    workers_started,
)
from pct_mlops.errors import PctError

Way = Literal["memory", "streaming"]
FRESH = -1  # the view number of images that are drawn afresh every epoch, or not augmented at all


class Batch(NamedTuple):
    """Examples on one device.

    Attributes:
        images: float32 [n, C, H, W] in [0, 1], or [n, 10, C, H, W] from an evaluation by ten crops.
        labels: int64 [n]; after mixup and cutmix, the label with the larger share.
        index: int64 [n], rows of the split.
        view: int64 [n], numbers of the fixed views of data.views, FRESH where there are none; loaders always give it.
        soft: float32 [n, num_classes], the mixed one-hot targets of mixup and cutmix; None without them.
    """

    images: Tensor
    labels: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody asks of a batch
    view: Tensor | None = None
    soft: Tensor | None = None

    def chunk(self, parts: int) -> list[Batch]:
        """Return equal parts, in order. `parts` must divide n, or the last examples are lost."""
        if parts == 1:
            return [self]
        size = len(self.labels) // parts
        return [self.rows(start, start + size) for start in range(0, size * parts, size)]

    def rows(self, start: int, stop: int | None = None) -> Batch:
        """Return the rows from start up to, not including, stop. A field that is None stays None."""
        return Batch(*(None if part is None else part[start:stop] for part in self))  # type: ignore[arg-type]


class Job(NamedTuple):
    """Order for one batch: rows of the split, their views (None: the images as they are), and their view numbers."""

    rows: Tensor
    views: ViewParams | None
    numbers: Tensor


def way_of(split: Split, config: DataConfig, *, augmented: bool) -> Way:
    """Tell whether the images of a split are held in memory or streamed."""
    fits = config.memory_cap_gb > 0 and split.num_bytes <= config.memory_cap_gb * 1e9
    # Boxes of different sizes cannot be cut from a batch at once, so random_resized is always streamed.
    return "memory" if fits and not (augmented and config.augment.crop == "random_resized") else "streaming"


def _to_unit(images: Tensor) -> Tensor:
    return images.to(torch.float32).div_(255)


class MemorySource:
    """Source that holds the whole split as uint8 on the device and cuts batches out by index arithmetic.

    Images are padded once, by `padding`. Views of that padding are cut fastest, and any other are padded as they come.
    """

    def __init__(self, split: Split, padding: int, device: torch.device) -> None:
        self._images = pad(split.all_images().to(device), padding)
        self._labels = split.labels.to(device)
        self._padding, self._device = padding, device

    def batches(self, jobs: Iterable[Job]) -> Iterator[Batch]:
        """Yield one batch for each job."""
        for job in jobs:
            index = job.rows.to(self._device, non_blocking=True)
            numbers = job.numbers.to(self._device, non_blocking=True)
            yield Batch(_to_unit(self._cut(index, job.views)), self._labels[index], index, numbers)

    def _cut(self, index: Tensor, views: ViewParams | None) -> Tensor:
        if views is None:
            return self._images[index]
        views = views.to(self._device)
        return (
            cut(self._images, index, views)
            if views.padding == self._padding
            else apply_batch(self._images[index], views)
        )


class _JobSampler(Sampler[Job]):
    """Sampler that hands the loader the jobs of the present epoch."""

    def __init__(self) -> None:
        self.jobs: Iterable[Job] = []

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)


class _JobDataset(Dataset[Any]):
    """Data set whose items are done jobs: it reads a batch's images and cuts their views, inside the workers."""

    def __init__(self, pixels: Pixels, labels: Tensor) -> None:
        self._pixels, self._labels = pixels, labels

    def __getitem__(self, job: Job | PctError) -> tuple[Tensor, Tensor, Tensor, Tensor] | PctError:
        if isinstance(job, PctError):  # the job itself could not be sent
            return job
        try:
            return self._done(job)
        except PctError as error:
            # Returned as a value, because an exception would come out of the worker wrapped in a traceback.
            return error
        except Exception as error:
            if get_worker_info() is None:
                raise
            return failed_in_worker(error)

    def _done(self, job: Job) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        images = self._pixels.read(job.rows)
        views = job.views
        if views is not None:
            for row, image in enumerate(images):
                images[row] = apply_one(image, views.row(row), views.padding, views.resized)
        return images, self._labels[job.rows], job.rows, job.numbers


class StreamSource:
    """Source that reads and transforms images in `num_workers` processes (0: in this one), some batches ahead.

    `load` is what these processes are to hand over. Raises PctError where shared memory has no room for it.
    """

    def __init__(self, split: Split, num_workers: int, device: torch.device, keep_workers: bool, load: Load) -> None:
        check_shared_memory(load, num_workers)
        self._sampler, self._device = _JobSampler(), device
        self._loader: DataLoader[Any] = DataLoader(
            _JobDataset(split.pixels, split.labels),
            batch_size=None,  # a job is a batch already
            sampler=self._sampler,
            num_workers=num_workers,
            prefetch_factor=PREFETCH if num_workers else None,
            multiprocessing_context=worker_context(num_workers),
            persistent_workers=keep_workers and num_workers > 0,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # without it, the loader would draw from the global one and so change it
        )

    def batches(self, jobs: Iterable[Job]) -> Iterator[Batch]:
        """Yield one batch for each job.

        Raises PctError for a file that cannot be read, and when a worker process fails.
        """
        self._sampler.jobs = jobs
        with workers_started():
            results = iter(self._loader)
        while True:
            with plain_worker_errors(results):
                result = next(results, None)
            if result is None:
                return
            if isinstance(result, PctError):
                raise result
            images, *others = (part.to(self._device, non_blocking=True) for part in result)
            yield Batch(_to_unit(images), *others)
