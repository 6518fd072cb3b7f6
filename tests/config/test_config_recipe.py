from __future__ import annotations

import pytest

from pct_mlops.config import PctError, Recipe
from pct_mlops.config.base import apply_overrides


def _read(tmp_path, text="model_name: pets\n", *overrides):
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return Recipe.read(path, overrides)


def test_defaults_fill_what_a_recipe_leaves_out(tmp_path):
    recipe = _read(tmp_path, "model_name: pets\noptim: {lr: 0.05}\n")
    assert (recipe.optim.lr, recipe.optim.momentum, recipe.objective.loss) == (0.05, 0.9, "none")


def test_overrides_reach_any_depth_and_leave_neighbours(tmp_path):
    text = "model_name: pets\noptim: {lr: 0.05, epochs: 7}\n"
    recipe = _read(
        tmp_path, text, "optim.lr=0.2", "data.augment.flip=false", "model.kwargs={width: 8}", "teacher.ref=null"
    )
    assert (recipe.optim.lr, recipe.optim.epochs) == (0.2, 7)
    assert recipe.data.augment.flip is False
    assert recipe.model.kwargs == {"width": 8}
    assert recipe.teacher.ref is None


def test_overrides_do_not_change_what_they_were_given():
    data = {"optim": {"lr": 1}}
    assert apply_overrides(data, ["optim.lr=2", "x.y=z=w"]) == {"optim": {"lr": 2}, "x": {"y": "z=w"}}
    assert data == {"optim": {"lr": 1}}


@pytest.mark.parametrize("override", ["lr", "=3", " =3"])
def test_an_override_needs_key_and_value(override):
    with pytest.raises(PctError, match="is not an override"):
        apply_overrides({}, [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.learning_rate=1", r"unknown key 'optim.learning_rate'"),
        ("optim.momentun=0.5", "did you mean momentum"),
        ("optim.lr=0", "optim.lr"),
        ("optim.lr=.nan", "optim.lr"),
        ("optim.name=adam", "optim.name"),
        ("optim=3", "optim"),
        ("data.val_fraction=1", "data.val_fraction"),
        ("seed.model=-1", "seed.model"),
        ("model_name=''", "model_name"),
        ("objective={weight: 1, mix: 0.5}", "either 'weight' or 'mix', not both"),
    ],
)
def test_mistakes_are_named_by_their_dotted_key(tmp_path, override, message):
    with pytest.raises(PctError, match=message) as error:
        _read(tmp_path, "model_name: pets\n", override)
    assert "recipe.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recipe_needs_a_model_name(tmp_path):
    with pytest.raises(PctError, match="model_name"):
        _read(tmp_path, "optim: {lr: 1}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_name: a\nmodel_name: b\n", "'model_name' is given twice .again in line 2"),
        ("model_name: 2024-13-45\n", "is not valid YAML"),
        ("[" * 5000, "nested too deeply for a recipe"),
        ("model_name: a\n# " + "x" * 2_000_000, "more than 1,024 KiB"),
        ("model_name: &a [*a]\n", "contains itself"),
    ],
)
def test_hostile_recipes_cost_a_sentence(tmp_path, text, message):
    with pytest.raises(PctError, match=message) as error:
        _read(tmp_path, text)
    assert len(str(error.value)) < 400


def test_an_override_that_no_yaml_value_is_stays_text():
    for text in ("2024-13-45", "!!float x", "[" * 3000):
        assert apply_overrides({}, [f"a={text}"]) == {"a": text}


def test_unreadable_bytes_are_one_sentence(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"model_name: \xff\xfe\n")
    with pytest.raises(PctError, match="cannot be read"):
        Recipe.read(path)
