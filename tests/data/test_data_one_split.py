"""One split alone: image folders and lists without their training images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pct_mlops.config import DataConfig, PctError
from pct_mlops.data import class_order, load_data, load_for_scoring


def config(root: Path, name: str = "image_folder", **options: object) -> DataConfig:
    return DataConfig(name=name, root=root, num_workers=0, **options)


def same(one, other):
    assert one.sample_ids == other.sample_ids
    assert one.labels.tolist() == other.labels.tolist()
    assert one.name == other.name
    assert (one.all_images() == other.all_images()).all()


@pytest.mark.parametrize("split", ["test", "val"])
@pytest.mark.parametrize("options", [{}, {"skip_corrupt": True}, {"image_size": 8}, {"ten_crop": True}])
def test_a_split_alone_is_that_of_the_whole(image_root: Path, split: str, options: dict) -> None:
    whole = load_data(config(image_root, **options), 0)
    shutil.rmtree(image_root / "train")
    alone = load_for_scoring(config(image_root, **options), 0, split)
    same(getattr(alone, split), getattr(whole, split))
    for key in ("class_names", "image_shape", "mean", "std", "preprocessing_id", "name"):
        assert getattr(alone, key) == getattr(whole, key), key
    assert len(alone.train) == 0


def test_a_list_alone_and_in_the_order_of_classes_txt(image_root: Path) -> None:
    lines = [f"test/{name}/{number}.png {name}" for name in ("cat", "dog") for number in range(3)]
    (image_root / "test.txt").write_text("\n".join(lines))
    shutil.rmtree(image_root / "train")
    lists = config(image_root, "image_list")
    alone = load_for_scoring(lists, 0, "test")
    assert alone.class_names == ("cat", "dog")
    assert alone.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert class_order(lists, ["10", "9"]) == ["9", "10"]
    assert class_order(config(image_root), ["10", "9"]) == ["10", "9"], "folders are sorted as text"
    (image_root / "classes.txt").write_text("dog\ncat\n")
    assert class_order(lists, ["cat", "dog"]) is None
    assert load_for_scoring(lists, 0, "test").test.labels.tolist() == [1, 1, 1, 0, 0, 0]


def test_val_alone_is_the_evaluation_set(image_root: Path) -> None:
    """As in ImageNet: with train and val only, val becomes test."""
    shutil.rmtree(image_root / "test")
    whole = load_data(config(image_root), 0)
    shutil.rmtree(image_root / "train")
    same(load_for_scoring(config(image_root), 0, "test").test, whole.test)
    with pytest.raises(PctError, match="has no folder train"):
        load_for_scoring(config(image_root), 0, "val")


def test_classes_of_the_model_are_kept_where_a_split_lacks_some(image_root: Path) -> None:
    shutil.rmtree(image_root / "train")
    shutil.rmtree(image_root / "test" / "cat")
    splits = load_for_scoring(config(image_root), 0, "test", ["bird", "cat", "dog"])
    assert splits.class_names == ("bird", "cat", "dog")
    assert splits.test.labels.tolist() == [2, 2, 2]
    with pytest.raises(PctError, match=r"test/dog is not among the classes of the model: rename .* \(closest: dig\)"):
        load_for_scoring(config(image_root), 0, "test", ["cat", "dig"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_that_is_not_there_is_said(image_root: Path, split: str) -> None:
    shutil.rmtree(image_root / "train")
    shutil.rmtree(image_root / "val")
    with pytest.raises(PctError, match="has no folder train"):
        load_for_scoring(config(image_root), 0, split)
