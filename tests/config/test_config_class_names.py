"""Class names of files of weights, as recipes and options give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pct_mlops.config import FileClasses, PctError, Recipe, class_list


def teacher(*overrides, tmp_path):
    (tmp_path / "recipe.yaml").write_text("model_name: shoes\n")
    return Recipe.read(tmp_path / "recipe.yaml", overrides)


def test_a_list_a_file_and_numbers_are_names(tmp_path):
    (tmp_path / "names.txt").write_text("\ufeffcat\n dog \n\nno owl\n", encoding="utf-8")
    assert FileClasses(tmp_path / "names.txt", "--classes").names() == ("cat", "dog", "no owl")
    recipe = teacher("teacher={ref: old.pt, classes: [2, 0, 1]}", tmp_path=tmp_path)
    assert FileClasses(recipe.teacher.classes, "teacher.classes").names() == ("2", "0", "1")
    recipe = teacher("teacher={refs: [{ref: old.pt, classes: names.txt}]}", tmp_path=tmp_path)
    assert recipe.teacher.refs[0].classes == Path("names.txt")
    assert teacher("model={init: old.pt, init_classes: [a, b]}", tmp_path=tmp_path).model.init_classes == ("a", "b")
    assert FileClasses(None, "--classes").names() is None
    assert FileClasses(("cat", "dog"), "--classes").names() == ("cat", "dog")


def test_an_option_takes_a_list_or_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert class_list("cat, dog") == ("cat", "dog")
    assert class_list("names.txt") == Path("names.txt")
    Path("a,b").write_text("cat\ndog\n")
    assert class_list("a,b") == Path("a,b")
    assert class_list("") is class_list(None) is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat",), "--classes lists 1 class names, or an empty one: list two or more"),
        (("cat", ""), "or an empty one"),
        (("owl", "cat", "dog", "cat"), "--classes lists the class 'cat' twice"),
        (Path("absent.txt"), r"There is no file absent\.txt: give the path of a file of class names, one a line"),
    ],
)
def test_wrong_names_are_one_sentence(names, message):
    with pytest.raises(PctError, match=message):
        FileClasses(names, "--classes").names()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["teacher.classes=[a, b]"], "'classes' goes with 'ref'"),
        (["model.init_classes=[a, b]"], "'init_classes' goes with 'init'"),
        (["model={init: old.pt, new_head: true, init_classes: [a, b]}"], "'init_classes' goes with 'init'"),
    ],
)
def test_classes_need_the_file_that_they_are_of(tmp_path, overrides, message):
    with pytest.raises(PctError, match=message):
        teacher(*overrides, tmp_path=tmp_path)


def test_recipes_without_them_keep_their_digest(tmp_path):
    """A key that was added would make every complete training and sweep start again."""
    dumped = teacher(tmp_path=tmp_path).model_dump(mode="json")
    assert "classes" not in dumped["teacher"]
    assert "init_classes" not in dumped["model"]
