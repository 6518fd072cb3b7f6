"""Registers the data sets by name. `load_data` loads one.

Each factory takes (config, seed): a DataConfig and the seed of the split. It returns Splits, or ArrayData where all
images fit into memory. To add one of your own, declare an entry point in the group `pct_mlops.datasets`, or set
`data.name` to my_pkg.data:load.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pct_mlops.config import Catalog, DataConfig
from pct_mlops.data import folders
from pct_mlops.data.arrays import ArrayData, Statistics, array_split, array_splits
from pct_mlops.data.glyphs import read_glyphs
from pct_mlops.data.idx import read_idx
from pct_mlops.data.locking import one_process_at_a_time
from pct_mlops.data.one_split import lacks_train, read_one_split
from pct_mlops.data.split import Splits, check_splits, stratified
from pct_mlops.data.subsets import with_data_options
from pct_mlops.errors import DataError, OutputError, is_disk_full, reason_of

DATASETS: Catalog[Splits | ArrayData] = Catalog("data set", group="pct_mlops.datasets", produces=(Splits, ArrayData))

DOWNLOADS = Path(".data")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
TEST_OF_DIGITS, DIGITS_SEED = 3, 20  # fixed stream and seed: the test split is the same for every recipe
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def load_data(config: DataConfig, seed: int) -> Splits:
    """Load the data set that `config` names and split it with `seed`.

    Raises:
        PctError: the data set is unknown, or its data are missing or broken.
    """
    with _said_plainly(config):
        made = DATASETS.call(config.name, config, seed)
        splits = made.splits(config, seed) if isinstance(made, ArrayData) else made
    if DATASETS.plugin(config.name) is not None:
        check_splits(splits)
    return _cropped(with_data_options(splits, config, seed), config)


def load_for_scoring(config: DataConfig, seed: int, split: str, class_names: Sequence[str] | None = None) -> Splits:
    """Load a data set of which only `split` is needed. Image files may lack their training split then.

    Args:
        config: The data section of a recipe.
        seed: The seed of the split.
        split: The split that is needed. The others may be empty.
        class_names: The classes in the order of the training data. They count only where train is not there, and by
            default they are those of `split`.

    Raises:
        PctError: the data set is unknown, or its data are missing or broken.
    """
    if not lacks_train(config, split):
        return load_data(config, seed)
    with _said_plainly(config):
        # The model knows the classes that are kept. The files may hold others.
        found = read_one_split(config, split, None if config.classes else class_names)
        return _cropped(with_data_options(found, config, seed), config)


@contextlib.contextmanager
def _said_plainly(config: DataConfig) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise DataError(
            f"The data of {config.name} cannot be read ({where}{error.strerror or error}): check data.root and its "
            "permissions."
        ) from error


def _cropped(splits: Splits, config: DataConfig) -> Splits:
    """Name the ten crops in the id that tables carry, because predictions depend on them."""
    return replace(splits, preprocessing_id=f"{splits.preprocessing_id}/ten-crop") if config.ten_crop else splits


# Fashion-MNIST -----------------------------------------------------------------------------------------------------


def _idx_files(folder: Path) -> dict[str, Path] | None:
    """Find the four files, packed or not, in `folder` or torchvision's subfolder. Return None unless all are there."""
    for where in (folder, folder / "FashionMNIST" / "raw"):
        found = {}
        for key in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
            names = (where / f"{key}-ubyte.gz", where / f"{key}-ubyte")
            path = next((name for name in names if name.is_file()), None)
            if path is not None:
                found[key] = path
        if len(found) == 4:
            return found
    return None


def _check_download_room(error: Exception, name: str, folder: Path) -> None:
    """Raise OutputError where the download of a data set failed for lack of space."""
    if is_disk_full(error):
        raise OutputError(
            f"There is no room for {name} in {folder}: free some space there, or set data.root to a folder that holds "
            "the data."
        ) from error


def _download_fashion(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(str(folder), download=True)


def _fashion_files(root: Path | None) -> dict[str, Path]:
    debian = Path(os.environ.get("PCT_FASHION_MNIST", DEBIAN))
    if root is not None:
        files = _idx_files(root)
        if files is None:
            raise DataError(
                f"There is no Fashion-MNIST in {root}: put its four idx files there, or leave data.root empty to use "
                f"Debian's package dataset-fashion-mnist ({debian}) or torchvision's download ({DOWNLOADS})."
            )
        return files
    files = _idx_files(debian)
    if files is None:
        reason = "it left no files"
        try:
            with one_process_at_a_time(DOWNLOADS):
                files = _idx_files(DOWNLOADS)
                if files is None:
                    _download_fashion(DOWNLOADS)
                    files = _idx_files(DOWNLOADS)
        except (OSError, RuntimeError, ImportError) as error:
            _check_download_room(error, "Fashion-MNIST", DOWNLOADS)
            reason = reason_of(error)
        if files is None:
            raise DataError(
                f"Fashion-MNIST is not in {debian} and torchvision's download to {DOWNLOADS} failed ({reason}): "
                "install Debian's package dataset-fashion-mnist, set data.root to a local folder with its four idx "
                "files, or allow the download."
            )
    return files


@DATASETS.register("fashion_mnist")
def fashion_mnist(config: DataConfig, seed: int) -> Splits:
    """Load Fashion-MNIST: 60,000 + 10,000 grey images of clothes, 28x28, 10 classes.

    If `data.root` is given, it is read from there. Otherwise the folder of Debian's package dataset-fashion-mnist is
    tried first (the environment variable PCT_FASHION_MNIST names another folder), then torchvision's download into
    .data. Source: Xiao et al., arXiv 1708.07747.
    """
    files = _fashion_files(config.root)
    parts = []
    for name, key in (("train", "train"), ("test", "t10k")):
        images, labels = read_idx(files[f"{key}-images-idx3"], 3), read_idx(files[f"{key}-labels-idx1"], 1)
        if len(images) != len(labels):
            raise DataError(
                f"{files[f'{key}-images-idx3']} holds {len(images)} images and {files[f'{key}-labels-idx1']} "
                f"{len(labels)} labels: replace them with intact copies."
            )
        parts.append(array_split(name, images[:, None], labels, range(len(images)), config.image_size))
    statistics = ((0.2860,), (0.3530,))
    return array_splits(config, seed, class_names=FASHION_CLASSES, statistics=statistics, train=parts[0], test=parts[1])


# Digits ------------------------------------------------------------------------------------------------------------


@DATASETS.register("digits")
def digits(config: DataConfig, seed: int) -> Splits:
    """Load scikit-learn's handwritten digits: 1,797 grey images, 8x8, 10 classes. It needs no download.

    The test split is a fixed stratified third, the same for every recipe. Values 0 to 16 are scaled to 0 to 255.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)[:, None]
    test = stratified(data.target, 1 / 3, DIGITS_SEED, TEST_OF_DIGITS)
    train = np.setdiff1d(np.arange(len(images)), test)
    parts = [
        array_split(name, images[rows], data.target[rows], rows.tolist(), config.image_size)
        for name, rows in (("train", train), ("test", test))
    ]
    names, statistics = [str(digit) for digit in range(10)], ((0.3053,), (0.3760,))
    return array_splits(config, seed, class_names=names, statistics=statistics, train=parts[0], test=parts[1])


# CIFAR -------------------------------------------------------------------------------------------------------------


def _cifar(config: DataConfig, seed: int, kind: str, statistics: Statistics) -> Splits:
    from torchvision import datasets

    root = config.root or DOWNLOADS
    parts = []
    class_names: list[str] = []
    try:
        with one_process_at_a_time(root) if config.root is None else contextlib.nullcontext():
            for name in ("train", "test"):
                data = getattr(datasets, kind)(str(root), train=name == "train", download=config.root is None)
                images, class_names = np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)), list(data.classes)
                parts.append(array_split(name, images, np.array(data.targets), range(len(images)), config.image_size))
    except (OSError, RuntimeError, EOFError) as error:
        _check_download_room(error, kind, root)
        raise DataError(
            f"{kind} cannot be read from {root} ({reason_of(error)}): set data.root to the folder that holds "
            "torchvision's copy, or leave it empty and allow the download."
        ) from error
    return array_splits(config, seed, class_names=class_names, statistics=statistics, train=parts[0], test=parts[1])


@DATASETS.register("cifar10")
def cifar10(config: DataConfig, seed: int) -> Splits:
    """Load CIFAR-10: 50,000 + 10,000 colour images, 32x32, 10 classes, through torchvision.

    It is read from `data.root` if that is given, and otherwise downloaded into .data. Source: Krizhevsky, 2009.
    """
    return _cifar(config, seed, "CIFAR10", ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)))


@DATASETS.register("cifar100")
def cifar100(config: DataConfig, seed: int) -> Splits:
    """Load CIFAR-100: 50,000 + 10,000 colour images, 32x32, 100 classes, through torchvision.

    It is read from `data.root` if that is given, and otherwise downloaded into .data. Source: Krizhevsky, 2009.
    """
    return _cifar(config, seed, "CIFAR100", ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)))


# Glyphs ------------------------------------------------------------------------------------------------------------


@DATASETS.register("glyphs")
def glyphs(config: DataConfig, seed: int) -> Splits:
    """Load letters and digits of fonts: 62 classes, drawn in grey at 32x32, or at `data.image_size` (64).

    The fonts are those of `data.root` if that is given, else those of the folder that the environment variable
    PCT_GLYPHS names, else those of Debian's packages: `make glyphs` installs them. Drawing takes half a minute, once.
    No family is in two splits, and `data.train_fraction` takes whole families. Tables have the slice columns `family`
    and `style`.
    """
    return read_glyphs(config, seed, DOWNLOADS)


# Files -------------------------------------------------------------------------------------------------------------


@DATASETS.register("image_folder")
def image_folder(config: DataConfig, seed: int) -> Splits:
    """Load your own images in ImageNet's layout: data.root/train/<class>/*, and the same under val and test.

    ImageNet comes with train and val only. Then val is the evaluation set: it becomes test, and a new val is carved
    from train. With all three, each is used as it is. Images of different sizes are resized to `data.image_size` (224)
    on the shortest side and cut at the centre. Training crops are taken from that.
    """
    return folders.read_files(config, seed, folders.list_image_folder(config))


@DATASETS.register("image_list")
def image_list(config: DataConfig, seed: int) -> Splits:
    """Load your own images from lists: data.root/train.txt and test.txt, and optionally val.txt and classes.txt.

    A line is `path label`. Paths are relative to data.root. A label is an integer or a class name (after a tab when it
    holds spaces). classes.txt has one name per line. With train.txt and val.txt only, val becomes test, as for
    image_folder.
    """
    return folders.read_files(config, seed, folders.list_image_list(config))
