"""Changes the splits that a data set gives, as a recipe asks for: classes left out, labels made wrong."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import torch

from pct_mlops.config import DataConfig
from pct_mlops.config.catalog import closest_first
from pct_mlops.data.file_listing import nfc
from pct_mlops.data.split import Split, Splits
from pct_mlops.errors import ConfigError, DataError


def with_data_options(splits: Splits, config: DataConfig, seed: int) -> Splits:
    """Return the splits with `data.classes` alone, and with `data.label_noise` in the labels of train."""
    if config.classes is not None:
        splits = _with_classes(splits, config.classes)
    if config.label_noise:
        splits = replace(splits, train=with_noise(splits.train, len(splits.class_names), config.label_noise, seed))
    return splits


def _with_classes(splits: Splits, names: tuple[str, ...]) -> Splits:
    """Keep the examples of these classes, in all three splits. Ids stay, and so does the order of the classes."""
    # Names that look the same are the same, and those of class folders are composed.
    names = tuple(name if name in splits.class_names else nfc(name) for name in names)
    for name in names:
        if name not in splits.class_names:
            closest = ", ".join(closest_first(name, list(splits.class_names))[:3])
            raise ConfigError(f"{splits.name} has no class '{name}': correct data.classes (closest: {closest}).")
    kept = [index for index, name in enumerate(splits.class_names) if name in names]
    numbers = np.full(len(splits.class_names), -1)
    numbers[kept] = np.arange(len(kept))
    train, val, test = (_relabelled(split, numbers) for split in (splits.train, splits.val, splits.test))
    kept_names = tuple(splits.class_names[index] for index in kept)
    return replace(splits, class_names=kept_names, train=train, val=val, test=test)


def _relabelled(split: Split, numbers: np.ndarray) -> Split:
    """Return the examples whose label has a new number that is not -1, with this number."""
    labels = numbers[split.labels.numpy()]
    if len(labels) and not (labels >= 0).any():
        raise DataError(f"The {split.name} split has no example of data.classes: list other classes.")
    part = split.select(np.flatnonzero(labels >= 0))
    return replace(part, labels=torch.from_numpy(labels[labels >= 0]))


def with_noise(split: Split, num_classes: int, share: float, seed: int) -> Split:
    """Give about this share of the examples another label, each of the other classes with the same probability.

    Both draws depend on the seed and the id of the example alone. So the wrong labels of a smaller share are among
    those of a larger one, and an example keeps its label whatever else is in train.
    """
    draws = np.array([_draws(seed, sample_id) for sample_id in split.sample_ids])
    labels = split.labels.numpy()
    other = (labels + 1 + np.floor(draws[:, 1] * (num_classes - 1)).astype(np.int64)) % num_classes
    return replace(split, labels=torch.from_numpy(np.where(draws[:, 0] < share, other, labels)))


def _draws(seed: int, sample_id: str) -> tuple[float, float]:
    """Return two numbers in [0, 1) that look random."""
    found = hashlib.sha256(f"label noise/{seed}/{sample_id}".encode("utf-8", "surrogateescape")).digest()
    # 52 bits each: a float below 1 holds them exactly.
    first, second = (int.from_bytes(found[start : start + 8], "big") >> 12 for start in (0, 8))
    return first / 2**52, second / 2**52
