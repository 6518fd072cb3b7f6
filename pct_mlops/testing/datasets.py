"""Checks of the properties that every data set must have."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pct_mlops.config import DataConfig
from pct_mlops.data import DATASETS, ArrayData, Splits
from pct_mlops.testing.outputs import require, title

SHOWN = 4  # images of each split that are checked: decoding files takes time
Load = Callable[[DataConfig, int], "Splits | ArrayData"]
Loaded = Callable[..., Splits]


def check_dataset(load: str | Load, config: DataConfig | None = None) -> None:
    """Check a data set, by its name or as the function that loads it.

    Args:
        load: A name that `pct list datasets` shows, or a function of (config, seed) that returns Splits or ArrayData.
        config: Says where its data are and how they are split. The defaults count when it is left out.

    Raises:
        AssertionError: With a sentence that says which property does not hold.

    Example:
        >>> check_dataset("digits")
    """
    read = as_loader(load, config or DataConfig())
    for check in DATASET_CHECKS:
        check(read)


def as_loader(load: str | Load, config: DataConfig) -> Loaded:
    """Return a function that reads the splits with a seed and changes of the configuration.

    It reads each combination once.
    """
    known: dict[tuple[object, ...], Splits] = {}
    name = load if isinstance(load, str) else config.name

    def read(seed: int = 0, *, again: bool = False, **changes: object) -> Splits:
        key = (seed, *sorted(changes.items()))
        if key in known and not again:
            return known[key]
        wanted = config.model_copy(update={"name": name, **changes})
        made = DATASETS.call(load, wanted, seed) if isinstance(load, str) else load(wanted, seed)
        made = made.splits(wanted, seed) if isinstance(made, ArrayData) else made
        require(isinstance(made, Splits), f"A data set must return Splits or ArrayData, and it gives {title(made)}.")
        known[key] = made
        return made

    return read


def check_splits_hold_together(read: Loaded) -> None:
    """Check names, labels, pixels and statistics of the three splits."""
    splits = read()
    channels = splits.image_shape[0]
    require(
        len(splits.mean) == len(splits.std) == channels and all(value > 0 for value in splits.std),
        f"mean and std must be one number for each of the {channels} channels, std above 0.",
    )
    require(len(set(splits.class_names)) == len(splits.class_names) >= 2, "There must be two or more class names.")
    require(splits.preprocessing_id, "preprocessing_id must say how pixels came about: tables are compared by it.")
    for name in ("train", "val", "test"):
        split = getattr(splits, name)
        require(split.name == name, f"The {name} split must be called {name}, not {split.name}.")
        require(len(split) > 0, f"The {name} split must have examples.")
        require(split.labels.dtype == torch.int64, f"The labels of {name} must be int64, not {split.labels.dtype}.")
        low, high = int(split.labels.min()), int(split.labels.max())
        known = len(splits.class_names)
        require(0 <= low <= high < known, f"The labels of {name} must be 0 to {known - 1}, not {low} to {high}.")
        images = split.images(range(min(SHOWN, len(split))))
        require(images.dtype == torch.uint8, f"The images of {name} must be uint8, not {images.dtype}.")
        shape = tuple(images.shape[1:])
        require(shape == tuple(splits.image_shape), f"Images of {name} are {shape}, not {splits.image_shape}.")
    missing = set(range(len(splits.class_names))) - set(splits.train.labels.tolist())
    require(not missing, f"Every class must have training examples, and {sorted(missing)[:5]} have none.")


def check_ids_are_unique(read: Loaded) -> None:
    """Check that every example has its own id and is in one split only."""
    splits = read()
    seen: dict[str, str] = {}
    for split in (splits.train, splits.val, splits.test):
        for sample_id in split.sample_ids:
            require(isinstance(sample_id, str) and sample_id, "Every sample_id must be a string that is not empty.")
            owner = seen.setdefault(sample_id, split.name)
            require(owner == split.name, f"{sample_id} must be in one split, and it is in {owner} and {split.name}.")
        require(
            len(set(split.sample_ids)) == len(split), f"The ids of {split.name} must be unique, and some come twice."
        )


def check_reading_is_repeatable(read: Loaded) -> None:
    """Check that the same seed gives the same examples in the same order."""
    one, two = read(), read(again=True)
    for name in ("train", "val", "test"):
        first, second = getattr(one, name), getattr(two, name)
        require(first.sample_ids == second.sample_ids, f"The same seed must give the same {name} ids, in one order.")
        require(torch.equal(first.labels, second.labels), f"The same seed must give the same labels of {name}.")
        rows = range(min(SHOWN, len(first)))
        require(
            torch.equal(first.images(rows), second.images(rows)), f"The same seed must give the same {name} images."
        )
    require(one.preprocessing_id == two.preprocessing_id, "preprocessing_id must not change from read to read.")


def check_test_is_fixed(read: Loaded) -> None:
    """Check that the test split and its order are the same for every seed and fraction.

    Versions are compared on it.
    """
    one = read()
    for other in (read(1), read(0, val_fraction=0.3), read(0, train_fraction=0.5)):
        require(
            other.test.sample_ids == one.test.sample_ids and torch.equal(other.test.labels, one.test.labels),
            "Test must hold the same examples for every seed, val_fraction and train_fraction.",
        )
    require(len(read(0, train_fraction=0.5).train) < len(one.train), "train_fraction must make train smaller.")


def check_ids_keep_their_meaning(read: Loaded) -> None:
    """Check that an id means the same label and image for every seed.

    Pinned examples and reviews refer to ids of earlier trainings.
    """
    labels: dict[str, int] = {}
    images: dict[str, bytes] = {}
    for splits in (read(), read(1)):
        for split in (splits.train, splits.val, splits.test):
            for sample_id, label in zip(split.sample_ids, split.labels.tolist(), strict=True):
                kept = labels.setdefault(sample_id, label)
                require(kept == label, f"{sample_id} must keep its label for every seed: {kept} became {label}.")
            ids = split.sample_ids[:SHOWN]
            for sample_id, image in zip(ids, split.images(range(len(ids))), strict=True):
                content = image.numpy().tobytes()
                require(
                    images.setdefault(sample_id, content) == content,
                    f"{sample_id} must keep its image for every seed: make ids from paths or the set's own order.",
                )


DATASET_CHECKS: tuple[Callable[[Loaded], None], ...] = (
    check_splits_hold_together,
    check_ids_are_unique,
    check_reading_is_repeatable,
    check_test_is_fixed,
    check_ids_keep_their_meaning,
)
