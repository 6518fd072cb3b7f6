"""The old model: whichever version is in production now, rebuilt from its weights, and never changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_store import NAME

from pct_mlops.config import PctError, Recipe
from pct_mlops.data import load_data
from pct_mlops.engine import make_accelerator
from pct_mlops.workflows.runtime.session import open_session
from pct_mlops.workflows.training.inputs import read_inputs
from pct_mlops.workflows.training.teacher import build_teacher, fetch_references
from pct_mlops.workflows.training.train import train


def references_of(store, *overrides):
    recipe = Recipe.read(store.recipe, ["objective.loss=ldi", *overrides])
    accelerator = make_accelerator(recipe.engine)
    session = open_session(accelerator, store.uri, create=False)
    inputs = read_inputs(recipe, accelerator)
    recipe = inputs.recipe
    names = {"loss": recipe.objective.loss, "new": recipe.model, "model_name": recipe.model_name}
    return fetch_references(recipe.teacher, inputs.splits, session, **names), inputs.splits


def teacher_of(store, *overrides):
    return build_teacher(*references_of(store, *overrides))


def test_it_is_found_by_alias_and_follows_it(store):
    assert teacher_of(store).uri == "models:/digits/1"
    store.registry.client.set_registered_model_alias(NAME, "production", "2")
    assert teacher_of(store).uri == "models:/digits/2"
    assert teacher_of(store, "teacher.ref=digits/1").uri == "models:/digits/1"
    assert teacher_of(store, "teacher.ref=candidate").uri == "models:/digits/2"


def test_it_is_what_was_registered(store):
    from safetensors.torch import load_file

    teacher = teacher_of(store)
    version = store.registry.resolve("digits/1")
    stored = load_file(store.registry.download(version, "model.safetensors"))
    loaded = teacher.model.members[0].state_dict()
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
    import pct_mlops.workflows.training.train as module

    seen = []

    def keep(*args):
        seen.append(build_teacher(*args))
        seen.append({key: value.clone() for key, value in seen[0].model.state_dict().items()})
        return seen[0]

    monkeypatch.setattr(module, "build_teacher", keep)
    monkeypatch.setattr(module, "publish", lambda *args, **kwargs: store.registry.resolve("digits/2"))
    train(Recipe.read(store.recipe, ["objective.loss=ldi", "optim.epochs=1"]), tracking_uri=store.uri)
    teacher, before = seen
    assert not teacher.model.training
    assert not any(weight.requires_grad for weight in teacher.model.parameters())
    after = teacher.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), "its BatchNorm statistics neither"


@pytest.mark.parametrize("loss", ["naive", "ldi", "cna"])
def test_without_production_it_says_how_to_make_one(store, loss):
    store.registry.client.delete_registered_model_alias(NAME, "production")
    with pytest.raises(PctError) as caught:
        references_of(store, f"objective.loss={loss}")
    assert f"loss={loss}" in str(caught.value)
    assert "pct train RECIPE --loss none" in str(caught.value)
    assert "pct gate digits@candidate --policy FILE --promote" in str(caught.value)


def test_a_version_without_weights_is_refused(store):
    client = store.registry.client
    made = client.create_logged_model("1", name="bare")
    client.finalize_logged_model(made.model_id, "READY")
    client.create_registered_model("bare")
    client.create_model_version("bare", f"models:/{made.model_id}")
    with pytest.raises(PctError, match=r"models:/bare/1 carries no architecture\.json"):
        teacher_of(store, "teacher.ref=bare/1")


def test_other_images_are_refused(store):
    members, splits = references_of(store)
    with pytest.raises(PctError, match=r"sees images of shape \(1, 8, 8\)"):
        build_teacher(members, replace(splits, image_shape=(1, 16, 16)))


def test_classes_are_matched_by_name_also_in_another_order(store):
    members, splits = references_of(store)
    names = (*splits.class_names[::-1], "ten")
    teacher = build_teacher(members, replace(splits, class_names=names))
    assert teacher.model.known_classes == tuple(range(10))
    images = splits.val.images(range(6)).float() / 255
    plain = members[0][0].build().eval()
    torch.testing.assert_close(teacher.model(images).logits, plain(images).logits.detach().flip(1))
    head = teacher.head(names)
    assert torch.equal(head.weight, plain.head.weight.detach().flip(0))


def test_all_of_several_teachers_are_used_with_their_weights(store):
    """The original read the first of several paths, and dropped the first weight."""
    refs = "teacher.refs=[{ref: digits/1, weight: 3}, {ref: digits/2}]"
    members, splits = references_of(store, refs)
    teacher = build_teacher(members, splits)
    assert teacher.uri == "models:/digits/1 + models:/digits/2"
    images = splits.val.images(range(6)).float() / 255
    with torch.no_grad():
        first, second = (weights.build().eval()(images).logits for weights, _ in members)
    torch.testing.assert_close(teacher.model(images).logits, (3 * first + second) / 4)
    assert teacher.digest != teacher_of(store, "teacher.refs=[{ref: digits/1, weight: 2}, {ref: digits/2}]").digest
    assert teacher.head(splits.class_names) is None


def test_a_checkpoint_folder_is_a_teacher(store):
    version = store.registry.resolve("digits/2")
    folder = store.registry.download(version, "model.safetensors").parent
    assert teacher_of(store, f"teacher.ref={folder}").digest == teacher_of(store, "teacher.ref=digits/2").digest
    with pytest.raises(PctError, match=r"is no checkpoint \(architecture\.json is missing\)"):
        teacher_of(store, f"teacher.ref={store.folder}")


def test_a_checkpoint_of_the_original_code_is_a_teacher(store):
    """Its prefix `module.` comes from DataParallel; it does not say which architecture it is of."""
    version = store.registry.resolve("digits/1")
    from safetensors.torch import load_file

    state = load_file(store.registry.download(version, "model.safetensors"))
    prefixed = {f"module.{key}": value for key, value in state.items()}
    torch.save({"epoch": 3, "state_dict": prefixed, "best_acc1": 0.9}, store.folder / "old.pth.tar")
    teacher = teacher_of(store, f"teacher.ref={store.folder / 'old.pth.tar'}")
    images = load_data(Recipe.read(store.recipe).data, 0).val.images(range(5)).float() / 255
    torch.testing.assert_close(teacher.model(images).logits, teacher_of(store).model(images).logits)
    del prefixed["module.head.weight"]
    torch.save(prefixed, store.folder / "old.pth.tar")
    with pytest.raises(PctError, match=r"missing head\.weight"):
        teacher_of(store, f"teacher.ref={store.folder / 'old.pth.tar'}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["teacher={ref: digits/1, refs: [{ref: digits/2}]}"], "either 'ref' or 'refs'"),
        (["teacher={kind: self_ema, ref: digits/1}"], "kind 'self_ema' has no 'ref'"),
        (["teacher.kind=stored"], "goes with 'table'"),
        (["teacher.store=true"], r"set data\.views"),
        (["teacher.store=true", "data.views=2", "data.augment.mixup=0.2"], "mixup and cutmix"),
        (["teacher.refs=[{ref: digits/1, weight: 0}]"], r"teacher\.refs\.0\.weight"),
        (["optim.start_epoch=2"], r"start_epoch should be below"),
    ],
)
def test_contradictions_are_named(shared_store, overrides, message):
    with pytest.raises(PctError, match=message):
        Recipe.read(shared_store.recipe, overrides)
