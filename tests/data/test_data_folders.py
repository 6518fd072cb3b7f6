from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pct_mlops.config import DataConfig, PctError
from pct_mlops.data import eval_loader, load_data
from pct_mlops.data.pixels import decode
from pct_mlops.errors import DataError
from pct_mlops.testing import check_dataset


def folder_config(root: Path, **options: object) -> DataConfig:
    return DataConfig(name="image_folder", root=root, num_workers=0, **options)


def list_config(root: Path, **options: object) -> DataConfig:
    return DataConfig(name="image_list", root=root, num_workers=0, **options)


def test_folders_and_lists_keep_the_contract(list_root: Path) -> None:
    check_dataset("image_folder", folder_config(list_root))
    check_dataset("image_list", list_config(list_root))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:120])


@pytest.fixture
def list_root(image_root: Path) -> Path:
    for split in ("train", "val", "test"):
        paths = sorted((image_root / split).rglob("*.png"))
        lines = [f"{path.relative_to(image_root)} {int(path.parent.name == 'dog')}" for path in paths]
        (image_root / f"{split}.txt").write_text("\n".join(lines) + "\n\n")
    return image_root


# image_folder


def test_three_folders_are_used_as_they_are(image_root: Path) -> None:
    splits = load_data(folder_config(image_root), 0)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [12, 4, 6]
    assert splits.class_names == ("cat", "dog")
    assert splits.image_shape == (3, 10, 10)
    assert splits.preprocessing_id == "image_folder/10x10/uint8/rgb-bilinear-centre"
    assert splits.val.sample_ids[0] == "val/cat/0.png"
    assert splits.val.labels.tolist() == [0, 0, 1, 1]
    pixels = np.array(Image.open(image_root / "test" / "dog" / "1.png"))
    row = splits.test.sample_ids.index("test/dog/1.png")
    assert np.array_equal(splits.test.images([row])[0].permute(1, 2, 0).numpy(), pixels)
    assert torch.equal(splits.test.all_images(), splits.test.images(range(6)))


def test_val_alone_is_the_evaluation_set(image_root: Path) -> None:
    shutil.rmtree(image_root / "test")
    splits = load_data(folder_config(image_root, val_fraction=0.34), 0)
    assert all(sample_id.startswith("val/") for sample_id in splits.test.sample_ids)
    assert all(sample_id.startswith("train/") for sample_id in splits.train.sample_ids + splits.val.sample_ids)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [8, 4, 4]
    assert splits.val.name == "val"
    assert splits.test.name == "test"


def test_test_alone_leaves_val_to_be_carved(image_root: Path) -> None:
    shutil.rmtree(image_root / "val")
    splits = load_data(folder_config(image_root, val_fraction=0.34), 0)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [8, 4, 6]


def test_sizes_that_differ_are_brought_to_one(image_root: Path, make_images) -> None:
    make_images(image_root / "train" / "cat", 1, size=(30, 20))
    assert load_data(folder_config(image_root), 0).image_shape == (3, 224, 224)
    splits = load_data(folder_config(image_root, image_size=16), 0)
    assert splits.image_shape == (3, 16, 16)
    assert splits.preprocessing_id == "image_folder/16x16/uint8/rgb-bilinear-centre"
    assert splits.train.all_images().shape == (12, 3, 16, 16)


def test_the_shortest_side_is_resized_and_the_centre_kept(tmp_path: Path) -> None:
    # Three vertical bands: only the middle one is left when the wide image is cut to a square.
    bands = np.zeros((20, 60, 3), dtype=np.uint8)
    bands[:, 20:40] = (10, 200, 30)
    path = tmp_path / "bands.png"
    Image.fromarray(bands).save(path)
    image = decode(str(path), (10, 10))
    assert image.shape == (3, 10, 10)
    assert image[:, :, 2:8].reshape(3, -1).unique(dim=1).tolist() == [[10], [200], [30]]
    grey = tmp_path / "grey.png"
    Image.new("L", (7, 9), 50).save(grey)
    assert (decode(str(grey), (9, 7)) == 50).all()


def test_a_corrupt_image_is_named(image_root: Path) -> None:
    bad = image_root / "test" / "dog" / "1.png"
    truncate(bad)
    splits = load_data(folder_config(image_root), 0)
    with pytest.raises(PctError, match=r"The image .*test/dog/1\.png cannot be read .*skip_corrupt"):
        splits.test.all_images()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_image_is_named_by_the_stream(image_root: Path, workers: int) -> None:
    truncate(image_root / "test" / "dog" / "1.png")
    config = DataConfig(name="image_folder", root=image_root, memory_cap_gb=0, num_workers=workers)
    loader = eval_loader(load_data(config, 0).test, config, batch_size=2)
    assert loader.path == "streaming"
    with pytest.raises(DataError, match=r"^The image .*test/dog/1\.png cannot be read [^\n]*$"):
        list(loader)


def test_a_file_that_is_no_image_is_named_at_once(image_root: Path) -> None:
    (image_root / "train" / "cat" / "3.png").write_text("not an image")
    with pytest.raises(PctError, match=r"train/cat/3\.png cannot be read \(not an image\)"):
        load_data(folder_config(image_root), 0)


def test_corrupt_images_are_skipped_only_when_asked(image_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    truncate(image_root / "test" / "dog" / "1.png")
    (image_root / "train" / "cat" / "3.png").write_text("not an image")
    splits = load_data(folder_config(image_root, skip_corrupt=True), 0)
    assert splits.skipped == ("train/cat/3.png", "test/dog/1.png")
    assert [len(splits.train), len(splits.val), len(splits.test)] == [11, 4, 5]
    assert "test/dog/1.png" not in splits.test.sample_ids
    assert len(splits.test.all_images()) == 5
    assert "test/dog/1.png" in caplog.text


def test_a_class_that_is_all_corrupt_is_refused(image_root: Path) -> None:
    for path in (image_root / "val" / "dog").iterdir():
        path.write_text("not an image")
    with pytest.raises(PctError, match=r"All images of the class dog are corrupt .*val/dog/0\.png"):
        load_data(folder_config(image_root, skip_corrupt=True), 0)


def test_folders_that_cannot_be_used(image_root: Path, tmp_path: Path, make_images) -> None:
    with pytest.raises(PctError, match=r"set data\.root"):
        load_data(DataConfig(name="image_folder"), 0)
    with pytest.raises(PctError, match=r"no folder .*nowhere"):
        load_data(folder_config(tmp_path / "nowhere"), 0)
    with pytest.raises(PctError, match="has no folder train"):
        load_data(folder_config(image_root / "train"), 0)
    make_images(tmp_path / "flat" / "train", 2)
    with pytest.raises(PctError, match="flat/train has no class folders"):
        load_data(folder_config(tmp_path / "flat"), 0)
    shutil.copytree(image_root / "train", tmp_path / "alone" / "train")
    with pytest.raises(PctError, match="neither folder test nor folder val"):
        load_data(folder_config(tmp_path / "alone"), 0)


def test_a_folder_that_may_not_be_read_is_named(image_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(PctError, match=r"data of image_folder cannot be read \(.*train: Permission denied\)"):
        load_data(folder_config(image_root), 0)


def test_an_empty_or_unknown_class_folder_is_named(image_root: Path) -> None:
    empty = image_root / "train" / "bird"
    empty.mkdir()
    (empty / "notes.txt").write_text("no image")
    with pytest.raises(PctError, match=r"class folder .*train/bird has no images"):
        load_data(folder_config(image_root), 0)
    shutil.rmtree(empty)
    (image_root / "test" / "dog").rename(image_root / "test" / "dogs")
    with pytest.raises(PctError, match=r"test/dogs is not among the classes .*closest: dog\)"):
        load_data(folder_config(image_root), 0)


# image_list


def test_lists_give_what_the_folders_give(list_root: Path) -> None:
    lists, folders = load_data(list_config(list_root), 0), load_data(folder_config(list_root), 0)
    assert lists.class_names == ("0", "1")
    for name in ("train", "val", "test"):
        one, other = getattr(lists, name), getattr(folders, name)
        assert one.sample_ids == other.sample_ids
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.all_images(), other.all_images())


def test_without_val_a_list_is_carved_and_without_test_val_is_test(list_root: Path) -> None:
    (list_root / "val.txt").unlink()
    assert len(load_data(list_config(list_root, val_fraction=0.34), 0).val) == 4
    (list_root / "test.txt").rename(list_root / "val.txt")
    splits = load_data(list_config(list_root, val_fraction=0.34), 0)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [8, 4, 6]


def test_labels_may_be_names(list_root: Path) -> None:
    for split in ("train", "val", "test"):
        path = list_root / f"{split}.txt"
        path.write_text(path.read_text().replace(".png 0", ".png cat").replace(".png 1", ".png\twild dog"))
    assert load_data(list_config(list_root), 0).class_names == ("cat", "wild dog")
    (list_root / "classes.txt").write_text("wild dog\nbird\ncat\n")
    splits = load_data(list_config(list_root), 0)
    assert splits.class_names == ("wild dog", "bird", "cat")
    assert splits.val.labels.tolist() == [2, 2, 0, 0]


def append(path: Path, line: str) -> None:
    path.write_text(path.read_text().rstrip("\n") + "\n" + line + "\n")


@pytest.mark.parametrize(
    ("file", "line", "says"),
    [
        ("test.txt", "test/cat/9.png 0", r"test\.txt, line 7: there is no file .*test/cat/9\.png"),
        ("test.txt", "val/cat/0.png", r"test\.txt, line 7: 'val/cat/0\.png' has no label"),
        ("test.txt", "val/cat/0.png 2", r"test\.txt, line 7: the label 2 is outside 0 to 1"),
        ("test.txt", "val/cat/0.png -1", r"test\.txt, line 7: the label -1 is outside 0 to 1"),
        ("test.txt", "val/cat/0.png cat", r"test\.txt, line 7: there is no class 'cat'"),
        ("train.txt", "val/cat/0.png 7", r"train\.txt, line 13: the label 7 is out of range"),
        ("train.txt", "val/cat/0.png -1", r"train\.txt, line 13: the label -1 is out of range"),
        ("train.txt", "test/cat/0.png 0", r"test/cat/0\.png is listed in train and test"),
        ("train.txt", "./train/cat/0.png 0", r"train/cat/0\.png is listed twice in train"),
    ],
)
def test_a_wrong_line_is_named(list_root: Path, file: str, line: str, says: str) -> None:
    append(list_root / file, line)
    with pytest.raises(PctError, match=says):
        load_data(list_config(list_root), 0)


def test_lists_that_cannot_be_used(list_root: Path) -> None:
    (list_root / "classes.txt").write_text("cat\ncat\n")
    with pytest.raises(PctError, match=r"classes\.txt has the class 'cat' twice"):
        load_data(list_config(list_root), 0)
    (list_root / "classes.txt").unlink()
    (list_root / "val.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(PctError, match=r"val\.txt is not UTF-8"):
        load_data(list_config(list_root), 0)
    (list_root / "val.txt").write_text("\n \n")
    with pytest.raises(PctError, match=r"val\.txt is empty"):
        load_data(list_config(list_root), 0)
    (list_root / "val.txt").unlink()
    (list_root / "test.txt").unlink()
    with pytest.raises(PctError, match=r"neither file test\.txt nor file val\.txt"):
        load_data(list_config(list_root), 0)
    (list_root / "train.txt").unlink()
    with pytest.raises(PctError, match=r"has no file train\.txt"):
        load_data(list_config(list_root), 0)
