"""Turns arrays of images and labels into splits, for data sets that fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pct_mlops.config import DataConfig
from pct_mlops.data.pixels import ArrayPixels
from pct_mlops.data.split import Split, Splits, check_labels, make_splits
from pct_mlops.errors import DataError

Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of each channel of the training images


@dataclass(frozen=True, eq=False)
class ArrayData:
    """Arrays that a data set of your own may return in place of Splits.

    Images are uint8 [N, C, H, W], or [N, H, W] for grey ones. Labels are integers [N], indices into `class_names`. Both
    may be NumPy arrays or tensors. The id of an example is its split and row, so rows must keep their order.

    Attributes:
        train: (images, labels) of the training split.
        test: (images, labels) of the evaluation set.
        class_names: names of the classes, in the order of their indices.
        val: (images, labels) of the split that selects the epoch; without it, `data.val_fraction` of train.
        mean: mean of each channel, of pixels in [0, 1]; computed from train unless both it and `std` are given.
        std: standard deviation of each channel, likewise.
    """

    train: tuple[Any, Any]
    test: tuple[Any, Any]
    class_names: Sequence[str]
    val: tuple[Any, Any] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    def splits(self, config: DataConfig, seed: int) -> Splits:
        """Return the splits that a recipe asks for, or raise PctError for arrays of another kind or shape."""
        parts = {
            name: _checked(name, pair, config)
            for name, pair in (("train", self.train), ("val", self.val), ("test", self.test))
            if pair is not None
        }
        shapes = {images.shape[1:] for images, _ in parts.values()}
        if len(shapes) > 1:
            raise DataError(f"{config.name} gave images of the shapes {sorted(shapes)}: give every split the same.")
        mean, std = statistics(parts["train"][0]) if self.mean is None or self.std is None else (self.mean, self.std)
        made = {
            name: array_split(name, images, labels, range(len(images)), config.image_size)
            for name, (images, labels) in parts.items()
        }
        return array_splits(
            config,
            seed,
            class_names=self.class_names,
            statistics=(tuple(mean), tuple(std)),
            train=made["train"],
            val=made.get("val"),
            test=made["test"],
        )


def statistics(images: np.ndarray) -> Statistics:
    """Return mean and std of each channel of uint8 [N, C, H, W], scaled to [0, 1]. A std of 0 becomes 1."""
    counts = np.stack([np.bincount(images[:, channel].ravel(), minlength=256) for channel in range(images.shape[1])])
    values, shares = np.arange(256) / 255, counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt(np.maximum(shares @ values**2 - mean**2, 0.0))
    return tuple(mean.round(4).tolist()), tuple(np.where(std > 1e-4, std, 1.0).round(4).tolist())


def array_split(name: str, images: np.ndarray, labels: np.ndarray, rows: Sequence[int], size: int | None) -> Split:
    """Return a split of uint8 images [N, C, H, W].

    `rows` are their places in the data set's own order, from which the ids are made. With `size`, images are resized
    to size x size.
    """
    ids = [f"{name}/{row:06d}" for row in rows]
    return Split(name, ids, torch.from_numpy(labels.astype(np.int64)), ArrayPixels(torch.from_numpy(images), size))


def array_splits(
    config: DataConfig,
    seed: int,
    *,
    class_names: Sequence[str],
    statistics: Statistics,
    train: Split,
    test: Split,
    val: Split | None = None,
) -> Splits:
    """Check these splits and return the data set made of them. Without `val`, it is carved from train."""
    for split in (train, test, *(() if val is None else (val,))):
        check_labels(split, len(class_names))
    shape = train.pixels.shape
    parts = make_splits(train, val, test, config, seed)
    resized = "/bilinear" if isinstance(train.pixels, ArrayPixels) and train.pixels.resizes else ""
    preprocessing = f"{config.name}/{shape[1]}x{shape[2]}/uint8{resized}"
    return Splits(config.name, tuple(class_names), shape, *statistics, *parts, preprocessing)


def _checked(name: str, pair: tuple[Any, Any], config: DataConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 [N, C, H, W] and labels [N], or raise PctError that says what was given instead."""
    images, labels = (np.ascontiguousarray(part) for part in pair)
    given, images = list(images.shape), images[:, None] if images.ndim == 3 else images
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"The {name} images of {config.name} are {images.dtype} {given}: give uint8 [N, C, H, W] with "
            "C 1 or 3, or [N, H, W]."
        )
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"The {name} labels of {config.name} are {labels.dtype} {list(labels.shape)}: give one integer for each of "
            f"the {len(images)} images."
        )
    return images, labels
