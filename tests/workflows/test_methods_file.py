"""A file of methods: names and recipes, and what is refused. Nothing is trained."""

from __future__ import annotations

import pytest

from pct_mlops.config import PctError
from pct_mlops.workflows.studies.methods_file import read_methods

RECIPE = "model_name: shoes\noptim: {epochs: 20}\n"
GOOD = """\
untreated: [objective.loss=none]
longer, 1.5 x: ["objective.loss=none", optim.epochs=30]
two models: {mean_of: untreated}
"""


def read(folder, text, overrides=()):
    recipe, file = folder / "recipe.yaml", folder / "methods.yaml"
    recipe.write_text(RECIPE)
    file.write_text(text)
    return read_methods(file, recipe, overrides)


def test_rows_in_the_order_of_the_file(tmp_path):
    plain, longer, both = read(tmp_path, GOOD, ["optim.lr=0.05"])
    assert [one.name for one in (plain, longer, both)] == ["untreated", "longer, 1.5 x", "two models"]
    assert (plain.recipe.optim.epochs, longer.recipe.optim.epochs) == (20, 30)
    assert {plain.recipe.optim.lr, longer.recipe.optim.lr} == {0.05}, "--set is shared by all"
    assert (both.recipe, both.mean_of) == (None, "untreated")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("- none", "should hold 'key: value' pairs"),
        ("a: [objective.loss=none]\na: []", "'a' is given twice"),
        ("a: objective.loss=none", "the method 'a' is not written as it should be"),
        ("a: [1]", "the method 'a' is not written as it should be"),
        ("a: {mean_of: [b]}", "the method 'a' is not written as it should be"),
        ("a: [objective.los=none]", "the method 'a' is not possible"),
        ("a|b: []", "cannot name a method"),
        ("1: []", "cannot name a method"),
        (f"{'x' * 61}: []", "cannot name a method"),
        ("a: []\nb: {mean_of: c}", "Unknown method in mean_of of 'b'"),
        ("a: []\nb: {mean_of: a}\nc: {mean_of: b}", "Unknown method in mean_of of 'c'"),
        ("b: {mean_of: a}\na: []", "'b' stands first"),
        ("a: [seed.model=3]", "The method 'a' changes what is measured"),
        ("a: [data.name=cifar10]", "The method 'a' changes what is measured"),
        ("\n".join(f"m{i}: []" for i in range(101)), "100 are the most"),
    ],
)
def test_what_is_refused(tmp_path, text, said):
    with pytest.raises(PctError, match=said):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PctError, match=r"none\.yaml"):
        read_methods(tmp_path / "none.yaml", tmp_path / "recipe.yaml")
