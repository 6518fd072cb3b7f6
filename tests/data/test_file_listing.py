"""Which files below a class folder are examples, and what is said of the others."""

from __future__ import annotations

import logging
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from odd_images import READ
from PIL import Image

from pct_mlops.config import DataConfig
from pct_mlops.data import load_data, load_for_scoring
from pct_mlops.data.file_listing import AGAIN, HIDDEN, NO_IMAGE, OUTSIDE, list_folder
from pct_mlops.errors import DataError
from pct_mlops.predictions.reading_ids import FROM_FILES, READ_ANEW

HUT = "H\u00fcte"
APART = unicodedata.normalize("NFD", HUT)


def config_of(root: Path, name: str = "image_folder", **options: object) -> DataConfig:
    return DataConfig(name=name, root=root, num_workers=0, **options)


def ids_of(root: Path, split: str = "test") -> list[str]:
    return list_folder(root, split, ["cat", "dog"], "the model").sample_ids


def test_hidden_files_and_folders_are_no_examples(image_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = ids_of(image_root)
    cat = image_root / "test" / "cat"
    (cat / ".ipynb_checkpoints").mkdir()
    shutil.copy(cat / "0.png", cat / ".ipynb_checkpoints" / "0-checkpoint.png")
    (cat / "._0.png").write_bytes(b"\0\5\x16\7")
    (cat / "Thumbs.db").write_bytes(b"x")
    (image_root / "test" / ".DS_Store").write_bytes(b"x")
    found = list_folder(image_root, "test", ["cat", "dog"], "the model")
    assert found.sample_ids == before
    assert sorted(Path(item.path).name for item in found.left_out) == [
        ".DS_Store",
        "._0.png",
        ".ipynb_checkpoints",
        "Thumbs.db",
    ]
    assert {item.reason for item in found.left_out} == {HIDDEN}
    assert len(load_data(config_of(image_root), 0).test.all_images()) == 6
    assert caplog.text == "", "nobody has to act on a hidden file"


def test_a_listed_resource_fork_stops_no_run(image_root: Path) -> None:
    for split in ("train", "test"):
        paths = sorted((image_root / split).rglob("*.png"))
        lines = [f"{path.relative_to(image_root)}\t{path.parent.name}" for path in paths]
        (image_root / f"{split}.txt").write_text("\n".join([*lines, f"{split}/cat/._0.png\tcat"]))
        (image_root / split / "cat" / "._0.png").write_bytes(b"\0\5\x16\7")
    assert len(load_data(config_of(image_root, "image_list"), 0).test.all_images()) == 6


def test_every_spelling_of_an_extension_is_an_image(image_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    cat = image_root / "test" / "cat"
    for name in ("a.jfif", "b.JPE", "c.JPEG", "d.Tif"):
        Image.new("RGB", (10, 10)).save(cat / name, "TIFF" if name == "d.Tif" else "JPEG")
    (cat / "notes.txt").write_text("no image")
    (image_root / "test" / "stray.png").write_bytes(b"")
    found = list_folder(image_root, "test", ["cat", "dog"], "the model")
    assert {f"test/cat/{name}" for name in ("a.jfif", "b.JPE", "c.JPEG", "d.Tif")} <= set(found.sample_ids)
    assert [(Path(item.path).name, item.reason) for item in found.left_out] == [
        ("notes.txt", NO_IMAGE),
        ("stray.png", OUTSIDE),
    ]
    with caplog.at_level(logging.WARNING):
        load_data(config_of(image_root), 0)
    assert caplog.messages == ["Image files: 2 left out. 'pct data check RECIPE' lists them."]


def test_folders_behind_links_are_read_once_and_last(image_root: Path, tmp_path: Path, make_images) -> None:
    make_images(tmp_path / "elsewhere" / "deeper", 1)
    cat = image_root / "test" / "cat"
    before = ids_of(image_root)
    os.symlink(tmp_path / "elsewhere", cat / "a_link")
    os.symlink(tmp_path / "elsewhere" / "deeper", cat / "b_link")
    os.symlink(image_root / "test", cat / "around")
    os.symlink(cat, tmp_path / "elsewhere" / "back")
    os.symlink(tmp_path / "nowhere", cat / "broken")
    found = list_folder(image_root, "test", ["cat", "dog"], "the model")
    assert found.sample_ids == [*before[:3], "test/cat/a_link/deeper/0.png", *before[3:]]
    assert [Path(path).name for path in found.linked] == ["a_link"]
    assert sorted(Path(item.path).name for item in found.left_out if item.reason == AGAIN) == [
        "around",
        "b_link",
        "back",
    ]


@pytest.mark.parametrize("trained", [HUT, APART])
def test_a_class_is_one_whether_its_letters_are_composed_or_not(image_root: Path, trained: str) -> None:
    (image_root / "train" / "dog").rename(image_root / "train" / trained)
    (image_root / "test" / "dog").rename(image_root / "test" / APART)
    shutil.copytree(image_root / "test" / APART, image_root / "test" / HUT)
    (image_root / "val" / "dog").rename(image_root / "val" / HUT)
    splits = load_data(config_of(image_root, classes=["cat", APART]), 0)
    assert splits.class_names == (HUT, "cat")
    assert sorted(splits.test.labels.tolist()) == [0] * 6 + [1] * 3
    assert f"test/{APART}/0.png" in splits.test.sample_ids, "an id is a path"
    shutil.rmtree(image_root / "train")
    # A model of an earlier version knows the class by the name on its disk.
    assert load_for_scoring(config_of(image_root), 0, "test", ["cat", APART]).class_names == ("cat", APART)


def test_labels_of_lists_are_composed(image_root: Path) -> None:
    for split, name in (("train", HUT), ("test", APART)):
        paths = sorted((image_root / split).rglob("*.png"))
        lines = [f"{path.relative_to(image_root)} {name if path.parent.name == 'cat' else 'dog'}" for path in paths]
        (image_root / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    assert load_data(config_of(image_root, "image_list"), 0).class_names == (HUT, "dog")


def test_a_folder_that_cannot_be_entered_is_named(image_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = image_root / "test" / "cat" / "closed"
    closed.mkdir()
    scandir = os.scandir

    def refuse(folder: str | Path) -> object:
        if str(folder) == str(closed):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match=r"cat/closed: Permission denied"):
        load_data(config_of(image_root), 0)


def test_only_a_split_with_a_file_that_is_read_anew_gets_another_id(
    image_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = f"image_folder/10x10/uint8/{FROM_FILES}"
    splits = load_data(config_of(image_root), 0)
    assert splits.preprocessing_of(splits.train, splits.val, splits.test) == plain
    READ["sideways6.jpg"][0](image_root / "train" / "cat" / "turned.jpg")
    with caplog.at_level(logging.WARNING):
        splits = load_data(config_of(image_root, image_size=10), 0)
    assert caplog.messages == ["Image files: 1 rotated. 'pct data check RECIPE' lists them."]
    assert splits.preprocessing_of(splits.test) == plain
    assert splits.preprocessing_of(splits.train) == f"{plain}/{READ_ANEW}"
    # Scoring one split alone says the same of it.
    alone = load_for_scoring(config_of(image_root, image_size=10), 0, "test")
    assert alone.preprocessing_of(alone.test) == plain


def test_the_ids_of_data_in_memory_stay(make_split) -> None:
    splits = load_data(DataConfig(name="digits"), 0)
    assert splits.preprocessing_of(splits.test) == splits.preprocessing_id == "digits/8x8/uint8"
