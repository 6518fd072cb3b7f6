"""Reads one split of image files alone, for scoring where the folder of the training images is not at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pct_mlops.config import DataConfig
from pct_mlops.data import folders
from pct_mlops.data.file_listing import class_folders, list_folder
from pct_mlops.data.split import Splits
from pct_mlops.errors import DataError

KINDS = ("image_folder", "image_list")


def class_order(config: DataConfig, names: Sequence[str]) -> list[str] | None:
    """Return class names in the order in which the whole data set has them. Return None where classes.txt says it."""
    if config.name == "image_list":
        if config.root is not None and (config.root / "classes.txt").exists():
            return None
        if all(name.isdecimal() for name in names):
            return sorted(names, key=int)
    return sorted(names)


def lacks_train(config: DataConfig, split: str) -> bool:
    """Tell whether the data are image files of which train is not there, and `split` is another one that is."""
    if config.name not in KINDS or config.root is None or (config.root / _file(config, "train")).exists():
        return False
    return split != "train" and _source(config, split) is not None


def read_one_split(config: DataConfig, split: str, class_names: Sequence[str] | None = None) -> Splits:
    """Read `split` alone. The other two splits of the result are empty.

    As for a whole data set, val is the evaluation set where there is no test.

    Args:
        config: The data section, for which `lacks_train` holds.
        split: "test" or "val".
        class_names: The classes in the order of the training data, where they are known. By default they are those of
            this split: sorted folder names, or classes.txt.

    Raises:
        PctError: an image is missing or broken, or a class folder or label does not fit.
    """
    root, source = folders.data_root(config), _source(config, split)
    if source is None:
        raise DataError(f"{root} has no {_file(config, split)}: data.root should be the folder that holds it.")
    if config.name == "image_folder":
        names = list(class_names or class_folders(root / source))
        found = list_folder(root, source, names, "the model")
    else:
        file = root / _file(config, source)
        entries = folders.read_entries(file)
        names = list(class_names or folders.listed_classes(root, file, entries))
        found = folders.list_file(root, file, entries, names)
    found, skipped = folders.without_corrupt(found, names) if config.skip_corrupt else (found, [])
    whole = folders.make_file_splits(config, {split: found}, len(names))[split]
    none = np.empty(0, np.int64)
    train, val, test = (whole if name == split else whole.select(none, name) for name in ("train", "val", "test"))
    shape, about = whole.pixels.shape, (folders.MEAN, folders.STD)
    preprocessing = folders.preprocessing_of(config, shape[1:])
    return Splits(config.name, tuple(names), shape, *about, train, val, test, preprocessing, tuple(skipped))


def _source(config: DataConfig, split: str) -> str | None:
    """Return the split on disk that `split` is read from, or None."""
    assert config.root is not None
    there = [name for name in ("test", "val") if (config.root / _file(config, name)).exists()]
    if there == ["val"]:
        # It is the evaluation set then, and val would be carved from train.
        return "val" if split == "test" else None
    return split if split in there else None


def _file(config: DataConfig, split: str) -> Path:
    return Path(split if config.name == "image_folder" else f"{split}.txt")
