"""The old model: whichever version is in production now, rebuilt from its weights, and never changed."""

from __future__ import annotations

import pytest
import torch
from tiny_store import NAME

from pct_mlops.config import PctError, Recipe
from pct_mlops.engine import make_accelerator
from pct_mlops.losses import build_objective
from pct_mlops.pipeline.teacher import Teacher, check_teacher, find_teacher, load_teacher
from pct_mlops.pipeline.train import train


def teacher_of(store, *overrides):
    recipe = Recipe.read(store.recipe, ["objective.loss=ldi", *overrides])
    accelerator = make_accelerator(recipe.engine)
    return load_teacher(recipe, build_objective(recipe.objective), store.registry, accelerator)


def test_it_is_found_by_alias_and_follows_it(store):
    assert teacher_of(store).uri == "models:/digits/1"
    store.registry.client.set_registered_model_alias(NAME, "production", "2")
    assert teacher_of(store).uri == "models:/digits/2"
    assert teacher_of(store, "teacher.ref=digits/1").uri == "models:/digits/1"


def test_it_is_what_was_registered(store):
    from safetensors.torch import load_file

    teacher = teacher_of(store)
    version = store.registry.resolve("digits/1")
    stored = load_file(store.registry.download(version, "model.safetensors"))
    loaded = teacher.model.state_dict()
    assert stored.keys() <= loaded.keys()
    assert all(torch.equal(stored[key], loaded[key]) for key in stored)


def test_it_is_read_without_unpickling(store, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    monkeypatch.setattr("torch.load", refuse)
    monkeypatch.setattr("pickle.load", refuse)
    monkeypatch.setattr("pickle.loads", refuse)
    assert teacher_of(store).uri == "models:/digits/1"


def test_training_leaves_it_frozen(store, monkeypatch):
    import pct_mlops.pipeline.train as module

    seen = []

    def keep(*args):
        seen.append(load_teacher(*args))
        seen.append({key: value.clone() for key, value in seen[0].model.state_dict().items()})
        return seen[0]

    monkeypatch.setattr(module, "load_teacher", keep)
    monkeypatch.setattr(module, "publish", lambda *args, **kwargs: store.registry.resolve("digits/2"))
    train(Recipe.read(store.recipe, ["objective.loss=ldi", "optim.epochs=1"]), tracking_uri=store.uri)
    teacher, before = seen
    assert not teacher.model.training
    assert not any(weight.requires_grad for weight in teacher.model.parameters())
    after = teacher.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), "its BatchNorm statistics neither"


def test_a_loss_without_teacher_reads_none(store):
    assert teacher_of(store, "objective.loss=none") is None


@pytest.mark.parametrize("loss", ["naive", "ldi", "cna"])
def test_without_production_it_says_how_to_make_one(store, loss):
    store.registry.client.delete_registered_model_alias(NAME, "production")
    with pytest.raises(PctError) as caught:
        find_teacher(Recipe.read(store.recipe, [f"objective.loss={loss}"]), store.registry)
    assert f"loss={loss}" in str(caught.value)
    assert "mlflow run . -P loss=none" in str(caught.value)
    assert "pct gate digits@candidate --policy FILE --promote" in str(caught.value)


def test_a_version_without_weights_is_refused(store):
    client = store.registry.client
    made = client.create_logged_model("1", name="bare")
    client.finalize_logged_model(made.model_id, "READY")
    client.create_registered_model("bare")
    client.create_model_version("bare", f"models:/{made.model_id}")
    with pytest.raises(PctError, match=r"models:/bare/1 carries no architecture\.json"):
        teacher_of(store, "teacher.ref=bare/1")


def test_other_classes_or_images_are_refused(store):
    teacher = teacher_of(store)
    names = teacher.model.architecture.class_names
    check_teacher(Teacher(teacher.model, "t"), names, (1, 8, 8))
    with pytest.raises(PctError, match="they come in another order"):
        check_teacher(teacher, names[::-1], (1, 8, 8))
    with pytest.raises(PctError, match="they differ in extra"):
        check_teacher(teacher, (*names, "extra"), (1, 8, 8))
    with pytest.raises(PctError, match=r"sees images of shape \(1, 8, 8\)"):
        check_teacher(teacher, names, (1, 16, 16))
