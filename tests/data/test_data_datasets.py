from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pct_mlops.config import DataConfig, PctError
from pct_mlops.data import DATASETS, Splits, datasets, load_data
from pct_mlops.errors import OutputError
from pct_mlops.testing import check_dataset
from pct_mlops.testing.datasets import check_ids_are_unique, check_splits_hold_together

FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def write_fashion(folder: Path, *, value: int, label: int | None = None, packed: bool = True) -> None:
    """Four idx files, 40 and 20 images of one value everywhere, which tells a test where they came from."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        count = 40 if name.startswith("train") else 20
        if "images" in name:
            array = np.full((count, 28, 28), value, dtype=np.uint8)
        else:
            array = (np.arange(count) % 10).astype(np.uint8)
            array[3] = array[3] if label is None else label
        content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
        path = folder / f"{name}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)


def origin(splits: Splits) -> int:
    return int(splits.test.images([0]).max())


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Nothing anywhere: Debian's folder, the download folder and the download itself are the test's."""
    found = SimpleNamespace(debian=tmp_path / "debian", downloads=tmp_path / "downloads", calls=[])

    def refuse(folder: Path) -> None:
        found.calls.append(folder)
        raise RuntimeError("Error downloading it:\nno route")

    monkeypatch.setenv("PCT_FASHION_MNIST", str(found.debian))
    monkeypatch.setattr(datasets, "DOWNLOADS", found.downloads)
    monkeypatch.setattr(datasets, "_download_fashion", refuse)
    return found


def check_contract(splits: Splits) -> None:
    """Of splits that are there already; `check_dataset` reads them several times."""
    for check in (check_splits_hold_together, check_ids_are_unique):
        check(lambda: splits)


def test_fashion_mnist_and_digits_keep_the_contract(places: SimpleNamespace) -> None:
    write_fashion(places.debian, value=2)
    check_dataset("fashion_mnist", DataConfig(val_fraction=0.25))
    check_dataset("digits")


def test_the_catalog_lists_every_data_set_with_a_line() -> None:
    assert list(DATASETS) == [
        "cifar10", "cifar100", "digits", "fashion_mnist", "glyphs", "image_folder", "image_list",
    ]  # fmt: skip
    for name in DATASETS:
        assert len(DATASETS.summary(name)) > 20


def test_an_unknown_data_set_names_those_that_exist_closest_first() -> None:
    with pytest.raises(
        PctError, match=r"Unknown data set 'fashion-mnist': choose one of fashion_mnist, .*image_list\."
    ):
        load_data(DataConfig(name="fashion-mnist"), 0)


def test_the_installed_fashion_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PCT_FASHION_MNIST", raising=False)
    splits = load_data(DataConfig(), 0)
    check_contract(splits)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [54_000, 6_000, 10_000]
    assert torch.bincount(splits.val.labels).tolist() == [600] * 10
    assert torch.bincount(splits.test.labels).tolist() == [1000] * 10
    assert splits.class_names[int(splits.test.labels[0])] == "Ankle boot"  # the well-known first test image
    assert splits.preprocessing_id == "fashion_mnist/28x28/uint8"
    whole = torch.cat([splits.train.all_images(), splits.val.all_images()]).float() / 255
    assert abs(float(whole.mean()) - splits.mean[0]) < 1e-3
    assert abs(float(whole.std()) - splits.std[0]) < 1e-3


def test_an_id_means_the_same_image_for_every_seed_and_fraction() -> None:
    seen: dict[str, bytes] = {}
    for seed, fraction in ((0, 0.1), (1, 0.3)):
        splits = load_data(DataConfig(name="digits", val_fraction=fraction), seed)
        for split in (splits.train, splits.val, splits.test):
            for sample_id, label, image in zip(split.sample_ids, split.labels, split.all_images(), strict=True):
                content = bytes([int(label)]) + image.numpy().tobytes()
                assert seen.setdefault(sample_id, content) == content
    assert len(seen) == 1797


def test_digits_have_a_fixed_stratified_test_third() -> None:
    one, two = (load_data(DataConfig(name="digits"), seed) for seed in (0, 1))
    check_contract(one)
    assert one.test.sample_ids == two.test.sample_ids
    assert one.val.sample_ids != two.val.sample_ids
    assert len(one.test) == 599
    every = torch.bincount(torch.cat([one.train.labels, one.val.labels, one.test.labels]))
    assert torch.equal(torch.bincount(one.test.labels), ((every + 1.5) / 3).long())
    assert one.image_shape == (1, 8, 8)
    assert int(one.train.all_images().max()) == 255
    whole = torch.cat([split.all_images() for split in (one.train, one.val, one.test)]).float() / 255
    assert abs(float(whole.mean()) - one.mean[0]) < 1e-3
    assert abs(float(whole.std()) - one.std[0]) < 1e-3


def test_image_size_resizes_and_changes_the_preprocessing_id() -> None:
    native, large = (load_data(DataConfig(name="digits", image_size=size), 0) for size in (8, 12))
    assert native.preprocessing_id == "digits/8x8/uint8"
    assert large.preprocessing_id == "digits/12x12/uint8/bilinear"
    check_contract(large)
    assert large.image_shape == (1, 12, 12)


def test_fashion_mnist_is_looked_for_in_the_documented_order(places: SimpleNamespace, tmp_path: Path) -> None:
    write_fashion(tmp_path / "own", value=1)
    write_fashion(places.debian, value=2)
    write_fashion(places.downloads / "FashionMNIST" / "raw", value=3, packed=False)
    assert origin(load_data(DataConfig(root=tmp_path / "own"), 0)) == 1
    assert origin(load_data(DataConfig(), 0)) == 2
    (places.debian / f"{FILES[0]}-ubyte.gz").unlink()
    assert origin(load_data(DataConfig(), 0)) == 3
    assert not places.calls  # what was downloaded before is not downloaded again


def test_fashion_mnist_is_downloaded_last(places: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        datasets, "_download_fashion", lambda folder: write_fashion(folder / "FashionMNIST" / "raw", value=4)
    )
    assert origin(load_data(DataConfig(), 0)) == 4


def test_a_given_root_is_the_only_place(places: SimpleNamespace, tmp_path: Path) -> None:
    write_fashion(places.debian, value=2)
    with pytest.raises(
        PctError, match=r"no Fashion-MNIST in .*nowhere: .*dataset-fashion-mnist.*torchvision's download"
    ):
        load_data(DataConfig(root=tmp_path / "nowhere"), 0)
    assert not places.calls


def test_without_any_place_the_error_names_all_three(places: SimpleNamespace) -> None:
    with pytest.raises(PctError) as caught:
        load_data(DataConfig(), 0)
    message = str(caught.value)
    assert places.calls == [places.downloads]
    for part in (str(places.debian), "dataset-fashion-mnist", "data.root", "download", "Error downloading it"):
        assert part in message
    assert "\n" not in message


def test_a_fashion_label_out_of_range_is_named(places: SimpleNamespace) -> None:
    write_fashion(places.debian, value=2, label=10)
    with pytest.raises(PctError, match="train/000003 has the label 10, outside 0 to 9"):
        load_data(DataConfig(), 0)


def test_fashion_files_that_disagree_are_named(places: SimpleNamespace) -> None:
    write_fashion(places.debian, value=2)
    (places.debian / f"{FILES[1]}-ubyte.gz").write_bytes((places.debian / f"{FILES[3]}-ubyte.gz").read_bytes())
    with pytest.raises(PctError, match=r"train-images.*40 images and .*train-labels.* 20 labels"):
        load_data(DataConfig(), 0)


def test_a_truncated_fashion_file_is_named(places: SimpleNamespace) -> None:
    write_fashion(places.debian, value=2)
    path = places.debian / f"{FILES[2]}-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(PctError, match=r"t10k-images-idx3-ubyte\.gz cannot be read"):
        load_data(DataConfig(), 0)


def fake_cifar(num_classes: int):
    class Cifar:
        def __init__(self, root: str, train: bool, download: bool) -> None:
            if not download and not Path(root).is_dir():
                raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")
            count = 300 if train else 100
            self.data = np.random.RandomState(count).randint(0, 256, (count, 32, 32, 3), dtype=np.uint8)
            self.targets = [row % num_classes for row in range(count)]
            self.classes = [f"class {label}" for label in range(num_classes)]

    return Cifar


@pytest.mark.parametrize(("name", "kind", "count"), [("cifar10", "CIFAR10", 10), ("cifar100", "CIFAR100", 100)])
def test_cifar_comes_through_torchvision(
    name: str, kind: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"torchvision.datasets.{kind}", fake_cifar(count))
    monkeypatch.setattr(datasets, "DOWNLOADS", tmp_path / "downloads")
    splits = load_data(DataConfig(name=name, val_fraction=0.34), 0)
    check_dataset(name, DataConfig(val_fraction=0.34))
    assert splits.image_shape == (3, 32, 32)
    assert len(splits.class_names) == count
    assert splits.preprocessing_id == f"{name}/32x32/uint8"
    raw = fake_cifar(count)("", False, True).data
    assert np.array_equal(splits.test.images([5])[0].permute(1, 2, 0).numpy(), raw[5])
    with pytest.raises(PctError, match=rf"{kind} cannot be read from .*absent \(Dataset not found.*data\.root"):
        load_data(DataConfig(name=name, root=tmp_path / "absent"), 0)


def test_a_download_without_room_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", full)
    monkeypatch.setattr(datasets, "_download_fashion", full)
    monkeypatch.setenv("PCT_FASHION_MNIST", str(tmp_path / "none"))
    monkeypatch.setattr(datasets, "DOWNLOADS", tmp_path)
    for name, shown in (("cifar10", "CIFAR10"), ("fashion_mnist", "Fashion-MNIST")):
        with pytest.raises(
            OutputError, match=rf"^There is no room for {shown} in {tmp_path}: free some space there, or"
        ):
            load_data(DataConfig(name=name), 0)


def test_fashion_mnist_in_memory_needs_no_torchvision() -> None:
    program = (
        "import sys; from pct_mlops.config import DataConfig; from pct_mlops.data import *\n"
        "for name in ('fashion_mnist', 'digits'):\n"
        "    splits, config = load_data(DataConfig(name=name), 0), DataConfig(name=name)\n"
        "    loader = train_loader(splits.train, config, global_batch_size=8, seed_sampler=0, seed_data=0)\n"
        "    next(loader.epoch(0)), next(iter(eval_loader(splits.test, config, batch_size=8)))\n"
        "assert 'torchvision' not in sys.modules, 'torchvision was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
