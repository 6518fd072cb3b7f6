"""Classes that a recipe leaves out, and labels that it makes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from pct_mlops.config import DataConfig, PctError, Recipe
from pct_mlops.data import Splits, load_data, load_for_scoring
from pct_mlops.data.subsets import with_noise

NOISE = 0.2


def digits(seed: int = 0, **keys: object) -> Splits:
    return load_data(DataConfig(name="digits", **keys), seed)  # type: ignore[arg-type]


def labels_of(splits: Splits) -> dict[str, str]:
    return {
        sample_id: splits.class_names[label]
        for split in (splits.train, splits.val, splits.test)
        for sample_id, label in zip(split.sample_ids, split.labels.tolist(), strict=True)
    }


def test_kept_classes_are_kept_in_all_splits_with_ids_and_order_of_the_data() -> None:
    whole, part = digits(), digits(classes=("7", "2", "4"))
    assert part.class_names == ("2", "4", "7")
    for name in ("train", "val", "test"):
        split = getattr(part, name)
        assert split.labels.dtype == torch.int64
        assert set(split.labels.tolist()) == {0, 1, 2}
    wanted = {sample_id: label for sample_id, label in labels_of(whole).items() if label in part.class_names}
    assert labels_of(part) == wanted
    row = part.test.sample_ids[5]
    assert torch.equal(part.test.images([5])[0], whole.test.images([whole.test.sample_ids.index(row)])[0])


def test_an_unknown_class_is_named_with_the_closest() -> None:
    with pytest.raises(PctError, match=r"digits has no class '12': correct data\.classes \(closest: [12]"):
        digits(classes=("1", "12"))


@pytest.mark.parametrize("classes", [[], ["1"], ["1", "1"]])
def test_less_than_two_classes_or_the_same_twice_are_refused(classes: list[str], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"model_name": "m", "data": {"classes": classes}}))
    with pytest.raises(PctError, match="'classes' needs two or more class names, each named once"):
        Recipe.read(tmp_path / "recipe.yaml")


def test_numbers_in_a_recipe_are_class_names(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("model_name: m\ndata: {name: digits, classes: [0, 1]}\n")
    assert Recipe.read(tmp_path / "recipe.yaml").data.classes == ("0", "1")
    assert Recipe.read(tmp_path / "recipe.yaml", ["data.classes=[3, 4]"]).data.classes == ("3", "4")


def test_recipes_without_the_keys_are_written_as_before() -> None:
    written = Recipe(model_name="m").model_dump(mode="json")["data"]
    assert "classes" not in written
    assert "label_noise" not in written


def test_about_the_share_of_train_gets_another_label_and_nothing_else_does() -> None:
    clean, noisy = digits(), digits(label_noise=NOISE)
    wrong = clean.train.labels != noisy.train.labels
    assert abs(float(wrong.float().mean()) - NOISE) < 0.04
    assert torch.equal(clean.val.labels, noisy.val.labels)
    assert torch.equal(clean.test.labels, noisy.test.labels)
    assert clean.train.sample_ids == noisy.train.sample_ids
    counts = torch.bincount((noisy.train.labels - clean.train.labels)[wrong] % 10, minlength=10)
    assert counts[0] == 0
    assert counts[1:].min() > 0.5 * counts[1:].float().mean()  # every other class in turn


def test_wrong_labels_stay_the_same_for_a_seed_whatever_else_is_in_train() -> None:
    def wrong(share: float, seed: int = 0, **keys: object) -> dict[str, int]:
        split = digits(0, **keys).train
        noisy = with_noise(split, 10, share, seed)
        rows = (noisy.labels != split.labels).nonzero().flatten().tolist()
        return {split.sample_ids[row]: int(noisy.labels[row]) for row in rows}

    assert wrong(0.2) == wrong(0.2)
    assert wrong(0.1).items() < wrong(0.3).items()
    assert wrong(0.2).keys() != wrong(0.2, seed=1).keys()
    fewer = digits(train_fraction=0.3).train.sample_ids
    kept = {sample_id: label for sample_id, label in wrong(0.2).items() if sample_id in fewer}
    assert wrong(0.2, train_fraction=0.3) == kept != {}


def test_a_known_draw_never_changes() -> None:
    split = digits().train
    rows = [row for row, sample_id in enumerate(split.sample_ids) if sample_id < "train/000040"]
    labels = with_noise(split, 10, 0.3, 5).labels[rows] - split.labels[rows]
    assert labels.remainder(10).tolist() == KNOWN


KNOWN = [0, 0, 1, 9, 0, 2, 0, 0, 0, 6, 0, 7, 3, 0, 3, 0, 0, 6, 8, 7, 0, 3, 0, 0, 0, 4]


def test_noise_is_among_the_kept_classes() -> None:
    part = digits(classes=("2", "4", "7"), label_noise=0.5)
    assert set(part.train.labels.tolist()) == {0, 1, 2}


def test_a_lone_split_of_files_keeps_the_classes_too(image_root: Path, make_images) -> None:
    for split in ("train", "val", "test"):
        make_images(image_root / split / "owl", 3)
    config = DataConfig(name="image_folder", root=image_root, classes=("cat", "owl"))
    whole = load_data(config, 0)
    (image_root / "train").rename(image_root / "elsewhere")
    alone = load_for_scoring(config, 0, "test", ("cat", "owl"))
    assert alone.class_names == whole.class_names == ("cat", "owl")
    assert alone.test.sample_ids == whole.test.sample_ids
    assert torch.equal(alone.test.labels, whole.test.labels)


def test_a_split_without_the_classes_is_an_error(image_root: Path, make_images) -> None:
    for name in ("owl", "hen"):
        make_images(image_root / "train" / name, 2)
        make_images(image_root / "val" / name, 2)
    with pytest.raises(PctError, match=r"The test split has no example of data\.classes: list other classes"):
        load_data(DataConfig(name="image_folder", root=image_root, classes=("hen", "owl")), 0)
