"""Reads image files from disk: one folder per class, or lists of paths with labels."""

from __future__ import annotations

import itertools
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from pct_mlops.config import DataConfig
from pct_mlops.config.catalog import closest_first
from pct_mlops.data.file_headers import count_odd, output_size, read_anew, read_headers
from pct_mlops.data.file_listing import HIDDEN, Listing, OmittedFile, class_folders, list_folder, nfc
from pct_mlops.data.pixels import FilePixels, corrupt_files
from pct_mlops.data.split import Split, Splits, check_labels, make_splits
from pct_mlops.errors import ConfigError, DataError
from pct_mlops.predictions.reading_ids import FROM_FILES

log = logging.getLogger(__name__)

MANY = 50_000  # files whose headers take so long that it is said
# ImageNet's, which the published weights expect.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FileSet(NamedTuple):
    """The files of a data set, by split, and the names of its classes. Without `val`, it is carved from train."""

    class_names: list[str]
    train: Listing
    val: Listing | None
    test: Listing

    def listings(self) -> dict[str, Listing]:
        """Return the listings of the splits that are on disk, by name."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


def data_root(config: DataConfig) -> Path:
    """Return the folder that data.root names, or raise PctError when it is not given or not there."""
    if config.root is None:
        raise ConfigError(f"The data set {config.name} needs its folder: set data.root.")
    if not config.root.is_dir():
        raise DataError(f"There is no folder {config.root}: set data.root to the folder of the {config.name} data.")
    return config.root


def _three(found: dict[str, Listing | None], root: Path, what: str) -> tuple[Listing, Listing | None, Listing]:
    """Return (train, val or None, test). Without test, val is the official evaluation set and becomes test."""
    train, val, test = found["train"], found["val"], found["test"]
    if train is None:
        raise DataError(f"{root} has no {what.format('train')}: data.root should be the folder that holds it.")
    if test is None:
        if val is None:
            raise DataError(
                f"{root} has neither {what.format('test')} nor {what.format('val')}: add one, because the gate needs "
                "images that training never saw."
            )
        return train, None, val
    return train, val, test


# image_folder ------------------------------------------------------------------------------------------------------


def list_image_folder(config: DataConfig) -> FileSet:
    """List root/{train,val,test}/<class>/*. The classes are the sorted folders of train.

    Raises:
        PctError: a folder or image that is needed is missing, or a class folder does not fit.
    """
    root = data_root(config)
    if not (root / "train").is_dir():
        raise DataError(f"{root} has no folder train: data.root should be the folder that holds it.")
    names = class_folders(root / "train")
    found = {
        split: list_folder(root, split, names, str(root / "train")) if (root / split).is_dir() else None
        for split in ("train", "val", "test")
    }
    return FileSet(names, *_three(found, root, "folder {}"))


# image_list --------------------------------------------------------------------------------------------------------


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that are not blank, with their numbers, or raise PctError for an empty or unreadable file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text: write one 'path label' line per image.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check that it is a readable file.") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path} is empty: write one line per image or class.")
    return lines


def read_entries(path: Path) -> list[tuple[int, str, str]]:
    """Return (line number, image path, label as written) of each line."""
    entries = []
    for number, line in _lines(path):
        # A tab allows labels with spaces; otherwise the last word is the label, so that paths may hold spaces.
        parts = line.rsplit("\t", 1) if "\t" in line else line.rsplit(None, 1)
        if len(parts) != 2:
            raise DataError(f"{path}, line {number}: '{line}' has no label, so write 'path label'.")
        entries.append((number, parts[0].strip(), nfc(parts[1].strip())))
    return entries


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def listed_classes(root: Path, path: Path, entries: list[tuple[int, str, str]]) -> list[str]:
    """Return the names in classes.txt if there is one, else the labels of `path`: 0 .. K - 1, or sorted names."""
    listed = root / "classes.txt"
    if listed.is_file():
        names = [nfc(name) for _, name in _lines(listed)]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(f"{listed} has the class '{twice[0]}' twice: each line should name another class.")
        return names
    numbers = [_integer(label) for _, _, label in entries]
    if any(number is None for number in numbers):
        return sorted({label for _, _, label in entries})
    used = {number for number in numbers if number is not None}
    count = len(used)
    if used != set(range(count)):
        wrong = min(used - set(range(count)))
        line = next(line for (line, _, _), number in zip(entries, numbers, strict=True) if number == wrong)
        raise DataError(
            f"{path}, line {line}: the label {wrong} is out of range, because the {count} labels in use "
            f"should be 0 to {count - 1}; correct it, or list the classes in classes.txt."
        )
    return [str(number) for number in range(count)]


def _label_reader(class_names: list[str]) -> Callable[[Path, int, str], int]:
    by_name = {nfc(name): index for index, name in enumerate(class_names)}

    def read(path: Path, line: int, text: str) -> int:
        if text in by_name:
            return by_name[text]
        number = _integer(text)
        if number is None:
            near = closest_first(text, class_names)[0]
            raise DataError(f"{path}, line {line}: there is no class '{text}' (closest: {near}), so correct the label.")
        if not 0 <= number < len(class_names):
            raise DataError(
                f"{path}, line {line}: the label {number} is outside 0 to {len(class_names) - 1}, so correct it."
            )
        return number

    return read


def list_file(root: Path, path: Path, entries: list[tuple[int, str, str]], class_names: list[str]) -> Listing:
    """List the images that the lines of `path` name."""
    read, found = _label_reader(class_names), Listing([], [], [])
    for line, name, label in entries:
        file = os.path.join(root, name)
        if os.path.basename(name).startswith("._"):
            # macOS writes these beside its files on other systems. They never hold an image.
            found.left_out.append(OmittedFile(file, HIDDEN))
            continue
        if not os.path.isfile(file):
            raise DataError(f"{path}, line {line}: there is no file {file}, so correct the path or remove the line.")
        found.sample_ids.append(Path(os.path.normpath(name)).as_posix())
        found.paths.append(file)
        found.labels.append(read(path, line, label))
    return found


def list_image_list(config: DataConfig) -> FileSet:
    """List what train.txt, val.txt and test.txt in root name. A line is `path label`, an integer or a class name.

    Raises:
        PctError: a list or an image is missing, or a label does not fit; the message names the line.
    """
    root = data_root(config)
    files = {split: root / f"{split}.txt" for split in ("train", "val", "test")}
    entries = {split: read_entries(path) for split, path in files.items() if path.is_file()}
    if "train" not in entries:
        raise DataError(f"{root} has no file train.txt: data.root should be the folder that holds it.")
    names = listed_classes(root, files["train"], entries["train"])
    found = {
        split: list_file(root, path, entries[split], names) if split in entries else None
        for split, path in files.items()
    }
    return FileSet(names, *_three(found, root, "file {}.txt"))


# both --------------------------------------------------------------------------------------------------------------


def without_corrupt(found: Listing, class_names: list[str]) -> tuple[Listing, list[str]]:
    """Return the images that can be read, and the ids of the others. Raise PctError when a class loses all of them."""
    bad = corrupt_files(found.paths)
    skipped = [name for name, is_bad in zip(found.sample_ids, bad, strict=True) if is_bad]
    rows = [row for row, is_bad in enumerate(bad) if not is_bad]
    kept = Listing(
        [found.sample_ids[row] for row in rows],
        [found.paths[row] for row in rows],
        [found.labels[row] for row in rows],
        found.left_out,
        found.linked,
    )
    lost = sorted(set(found.labels) - set(kept.labels))
    if lost:
        raise DataError(
            f"All images of the class {class_names[lost[0]]} are corrupt (the first is {skipped[0]}): replace them."
        )
    for name in skipped:
        log.warning("skipped the corrupt image %s", name)
    return kept, skipped


def preprocessing_of(config: DataConfig, size: tuple[int, int]) -> str:
    """Return the id of what happens to an image before a model sees it."""
    # A change of the filter or of the cut in pixels.py must change FROM_FILES, one of the contract in image_reader.py
    # READ_ANEW.
    return f"{config.name}/{size[0]}x{size[1]}/uint8/{FROM_FILES}"


def make_file_splits(config: DataConfig, listings: Mapping[str, Listing], num_classes: int) -> dict[str, Split]:
    """Return the splits of these files, all brought to one size.

    Every header is read. One line is logged if the files have something suspicious about them.

    Raises:
        PctError: a label is no class, or a file whose size is needed cannot be read; the message names it.
    """
    if (total := sum(len(part.paths) for part in listings.values())) > MANY:
        log.info("Reading the headers of %s image files, a minute for some hundred thousand.", f"{total:,}")
    headers = {name: read_headers(part.paths) for name, part in listings.items()}
    size = output_size(itertools.chain.from_iterable(headers.values()), config.image_size)
    splits = {}
    for name, part in listings.items():
        labels = torch.tensor(part.labels, dtype=torch.int64)
        splits[name] = Split(name, part.sample_ids, labels, FilePixels(part.paths, size, read_anew(headers[name])))
        check_labels(splits[name], num_classes)
    left_out = sum(item.reason != HIDDEN for part in listings.values() for item in part.left_out)
    odd = count_odd(itertools.chain.from_iterable(headers.values()))
    said = [f"{left_out:,} left out"] * bool(left_out) + [f"{number:,} {what}" for what, number in odd.items()]
    if said:
        log.warning("Image files: %s. 'pct data check RECIPE' lists them.", ", ".join(said))
    return splits


def read_files(config: DataConfig, seed: int, found: FileSet) -> Splits:
    """Return the splits of listed files. Raise PctError for a file that is needed and cannot be read."""
    class_names, skipped = found.class_names, list[str]()
    listings: dict[str, Listing] = {}
    for name, part in found.listings().items():
        listings[name], bad = without_corrupt(part, class_names) if config.skip_corrupt else (part, [])
        skipped += bad
    splits = make_file_splits(config, listings, len(class_names))
    train, val, test = make_splits(splits["train"], splits.get("val"), splits["test"], config, seed)
    shape, done = train.pixels.shape, preprocessing_of(config, train.pixels.shape[1:])
    return Splits(config.name, tuple(class_names), shape, MEAN, STD, train, val, test, done, tuple(skipped))
