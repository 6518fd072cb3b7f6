"""Defines the three splits of a data set: train is learnt from, val selects the epoch, the gate decides on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pct_mlops.config import DataConfig
from pct_mlops.data.pixels import FilePixels, Pixels, num_bytes
from pct_mlops.errors import DataError
from pct_mlops.predictions.reading_ids import READ_ANEW

VAL, FRACTION = 1, 2  # separate random streams of one seed


@dataclass(frozen=True, eq=False)
class Split:
    """Examples of one split: `labels` is int64 [N], and `sample_ids` are the same for every seed and fraction.

    `slices` holds columns of text [N] by which examples can be told apart. They go into prediction tables.
    """

    name: str
    sample_ids: list[str]
    labels: Tensor
    pixels: Pixels
    slices: Mapping[str, list[str]] = field(default_factory=dict)
    _all: list[Tensor] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if not len(self.sample_ids) == len(self.labels) == len(self.pixels):
            raise ValueError(
                f"{self.name}: {len(self.sample_ids)} ids, {len(self.labels)} labels, {len(self.pixels)} images"
            )
        if any(len(values) != len(self) for values in self.slices.values()):
            raise ValueError(f"{self.name}: a slice column has another length than the {len(self)} ids")

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def num_bytes(self) -> int:
        """Bytes of all images as uint8."""
        return num_bytes(self.pixels)

    def images(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Return the images of the given rows as uint8 [n, C, H, W] on the CPU, without augmentation."""
        rows = torch.as_tensor(indices, dtype=torch.int64)
        return self._all[0][rows] if self._all else self.pixels.read(rows)

    def all_images(self) -> Tensor:
        """Return all images as uint8 [N, C, H, W] on the CPU. Files are decoded once and kept in memory."""
        if not self._all:
            self._all.append(self.pixels.read_all())
        return self._all[0]

    def select(self, rows: np.ndarray, name: str | None = None) -> Split:
        """Return a split of the given rows only, which keep their ids."""
        kept = torch.from_numpy(rows)
        ids = [self.sample_ids[row] for row in rows.tolist()]
        slices = {column: [values[row] for row in rows.tolist()] for column, values in self.slices.items()}
        return Split(name or self.name, ids, self.labels[kept], self.pixels.select(kept), slices)


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set: its three splits, the names of its classes, and mean and std of its pixels, scaled to [0, 1]."""

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Split
    val: Split
    test: Split
    preprocessing_id: str
    skipped: tuple[str, ...] = ()  # ids of corrupt images that data.skip_corrupt left out

    def preprocessing_of(self, *splits: Split) -> str:
        """Return the id of what was done to the pixels of these splits: `preprocessing_id`, and how files were read.

        The second part is there only if an earlier version may have read other pixels of one of their files. So it
        depends on the examples of a table alone, whatever else is in the data set.
        """
        anew = any(isinstance(split.pixels, FilePixels) and split.pixels.is_read_anew for split in splits)
        return f"{self.preprocessing_id}/{READ_ANEW}" if anew else self.preprocessing_id


def stratified(labels: np.ndarray, fraction: float, seed: int, stream: int) -> np.ndarray:
    """Choose the same fraction of every class at random and return the rows in ascending order.

    Of the n_k rows of a class, round(fraction * n_k) are chosen (halves up), but at least 1. The rows of a smaller
    fraction are among those of a larger one. NumPy promises that RandomState never changes its stream, so a seed keeps
    its meaning across versions.
    """
    random = np.random.RandomState([stream, seed % 2**32, seed // 2**32 % 2**32])
    rows = [np.empty(0, dtype=np.int64)]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(int(np.floor(fraction * len(members) + 0.5)), 1), len(members))
        rows.append(random.permutation(members)[:count])
    return np.sort(np.concatenate(rows))


def carve(train: Split, val_fraction: float, seed: int) -> tuple[Split, Split]:
    """Carve a stratified, seeded val out of train and return (train, val). Each class keeps an example in train."""
    labels = train.labels.numpy()
    mask = np.zeros(len(labels), dtype=bool)
    mask[stratified(labels, val_fraction, seed, VAL)] = True
    for label in np.unique(labels[mask]):
        members = np.flatnonzero(labels == label)
        if mask[members].all():
            mask[members[0]] = False
    if not mask.any():
        raise DataError(
            "Every class has a single training example, so none can be set aside to select the epoch: "
            "add images, or give the data set a val split of its own."
        )
    return train.select(np.flatnonzero(~mask)), train.select(np.flatnonzero(mask), "val")


def make_splits(
    train: Split, val: Split | None, test: Split, config: DataConfig, seed: int
) -> tuple[Split, Split, Split]:
    """Return (train, val, test) after checking their ids. Val is carved from train where the data set has none.

    `train_fraction` is taken of what is left of train, so val and test stay the same for every fraction.
    """
    if val is None:
        train, val = carve(train, config.val_fraction, seed)
    if config.train_fraction < 1:
        train = train.select(stratified(train.labels.numpy(), config.train_fraction, seed, FRACTION))
    _check_ids((train, val, test))
    return train, val, test


def check_labels(split: Split, num_classes: int) -> None:
    """Raise PctError that names the first example whose label is outside 0 to num_classes - 1."""
    wrong = ((split.labels < 0) | (split.labels >= num_classes)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{split.sample_ids[row]} has the label {int(split.labels[row])}, outside 0 to {num_classes - 1}: "
            "correct the data set's labels."
        )


def check_splits(splits: Splits) -> None:
    """Raise PctError for mistakes in a data set of a user's own: in ids, labels, names, shapes, slices, mean or std."""
    from pct_mlops.predictions.schema import check_slices

    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    for name, split in parts.items():
        if split.name != name:
            raise DataError(f"The {name} split of {splits.name} is called '{split.name}': call it {name}.")
        check_labels(split, len(splits.class_names))
        check_slices(split.slices, f"The {name} split of {splits.name}")
        if tuple(split.pixels.shape) != tuple(splits.image_shape):
            raise DataError(
                f"The {name} images of {splits.name} are of shape {tuple(split.pixels.shape)} and image_shape says "
                f"{tuple(splits.image_shape)}: make them agree."
            )
    channels = splits.image_shape[0]
    if not len(splits.mean) == len(splits.std) == channels:
        raise DataError(f"{splits.name} has images of {channels} channel(s): give mean and std one number for each.")
    _check_ids(list(parts.values()))


def _check_ids(splits: Sequence[Split]) -> None:
    owner: dict[str, str] = {}
    for split in splits:
        if not len(split):
            raise DataError(f"The {split.name} split has no examples: add images to it.")
        for sample_id in split.sample_ids:
            if sample_id in owner:
                where = (
                    f"twice in {split.name}"
                    if owner[sample_id] == split.name
                    else f"in {owner[sample_id]} and {split.name}"
                )
                raise DataError(f"The example {sample_id} is listed {where}: list it once.")
            owner[sample_id] = split.name
