"""Options that change what is trained: warm starts, frozen parts, old heads, stored and moving teachers, weights."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
import yaml
from tiny_store import NAME, RECIPE, heard

from pct_mlops.config import PctError, Recipe
from pct_mlops.engine import make_accelerator
from pct_mlops.predictions import Predictions
from pct_mlops.workflows.runtime.session import open_session
from pct_mlops.workflows.training.components import build_parts
from pct_mlops.workflows.training.initial_weights import set_start, warm_start
from pct_mlops.workflows.training.inputs import read_inputs
from pct_mlops.workflows.training.teacher import build_teacher, fetch_references
from pct_mlops.workflows.training.train import train_once

SHORT = ["optim.epochs=1", "optim.global_batch_size=128"]


def session_of(store):
    accelerator = make_accelerator(Recipe.read(store.recipe).engine)
    return open_session(accelerator, store.uri, create=False)


def once(store, *overrides):
    return train_once(Recipe.read(store.recipe, [*SHORT, *overrides]), session_of(store))


def stored_model(store, number):
    from pct_mlops.models import load_classifier

    version = store.registry.resolve(f"{NAME}/{number}")
    return load_classifier(store.registry.download(version, "model.safetensors").parent)


def teacher_of(inputs, session):
    recipe = inputs.recipe
    names = {"loss": recipe.objective.loss, "new": recipe.model, "model_name": recipe.model_name}
    return build_teacher(fetch_references(recipe.teacher, inputs.splits, session, **names), inputs.splits)


def started(store, *overrides):
    session = session_of(store)
    inputs = read_inputs(Recipe.read(store.recipe, list(overrides)), session.accelerator)
    set_start(inputs.model, inputs.recipe.model, inputs.recipe.model_name, inputs.splits, session)
    return inputs.model


def test_a_warm_start_has_the_weights_of_production(shared_store):
    model, production = started(shared_store, "model.init=production"), stored_model(shared_store, 1)
    assert all(torch.equal(value, production.state_dict()[key]) for key, value in model.state_dict().items())
    fresh = started(shared_store, "model.init=production", "model.new_head=true")
    assert torch.equal(fresh.backbone.layers[0].weight, production.backbone.layers[0].weight)
    assert not torch.equal(fresh.head.weight, production.head.weight)


def test_a_warm_start_matches_new_classes_by_name(shared_store):
    from pct_mlops.models import build_model

    production = stored_model(shared_store, 1)
    names = ("ten", *reversed(production.architecture.class_names))
    model = build_model(production.architecture.model_copy(update={"class_names": names}))
    before = model.head.weight.detach().clone()
    warm_start(model, production, "digits/1")
    assert torch.equal(model.head.weight[0], before[0]), "a class that it does not know stays as it was drawn"
    assert torch.equal(model.head.weight[1:], production.head.weight.flip(0))


def test_a_warm_start_from_another_architecture_is_refused(shared_store):
    with pytest.raises(
        PctError, match=r"is a small_resnet14 .* should start from models:/digits/1, which is a small_resnet8 "
    ):
        started(shared_store, "model.init=production", "model.name=small_resnet14")


@pytest.mark.parametrize("loss", ["ldi", "cna", "bct"])
def test_a_teacher_of_other_classes_in_another_order_teaches_those_that_both_know(store, loss):
    from pct_mlops.models import save_classifier

    old = stored_model(store, 1)
    names = ("zebra", *reversed(old.architecture.class_names[:7]), "7", "okapi")
    old.architecture = old.architecture.model_copy(update={"class_names": names})
    save_classifier(old, store.folder / "old")
    session = session_of(store)
    recipe = Recipe.read(store.recipe, [*SHORT, f"objective.loss={loss}", f"teacher.ref={store.folder / 'old'}"])
    inputs = read_inputs(recipe, session.accelerator)
    teacher = teacher_of(inputs, session)
    assert build_parts(inputs, session, teacher).objective.known_classes == tuple(range(8))
    trained = train_once(recipe, session)
    assert np.isfinite(trained.logits["test"]).all()


def test_what_does_not_fit_is_said_before_a_run_starts(store):
    before = store.state()
    for words, message in (
        (["--loss", "ldi", "--set", "objective.distance={name: ldi, top_k: 11}"], "top_k is 11, but there are 10"),
        (["--loss", "cna", "--set", "teacher.kind=self_ema"], "compares features"),
        (["--set", "model.init=production", "--arch", "small_resnet14"], "should start from models:/digits/1"),
        (["--set", "model.weights=DEFAULT"], "small_resnet8"),
    ):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            assert store.pct("train", store.recipe, *words) == 2
        (line,) = said.getvalue().splitlines()
        assert message in line
    assert store.state() == before


def test_only_the_head_is_trained_when_asked(store):
    trained = once(store, "objective.loss=update", "model.train=head")
    production = stored_model(store, 1)
    for key, value in trained.model.state_dict().items():
        assert torch.equal(value, production.state_dict()[key]) is not key.startswith("head."), key


def test_a_table_of_logits_teaches_like_the_model_itself(store):
    """Without augmentation the stored logits are those that the teacher would give."""
    assert store.pct("score", "digits/1", "--split", "train", "--output", store.folder / "train.parquet") == 0
    asked = once(store, "objective.loss=ldi", "teacher.ref=digits/1")
    table = f"teacher={{kind: stored, table: {store.folder / 'train.parquet'}}}"
    stored = once(store, "objective.loss=ldi", table)
    np.testing.assert_allclose(stored.logits["test"], asked.logits["test"], atol=2e-3)
    assert not np.allclose(stored.logits["test"], once(store).logits["test"], atol=2e-2), "and it does teach"


def test_a_table_that_lacks_training_examples_is_refused(store):
    assert store.pct("score", "digits/1", "--split", "val", "--output", store.folder / "val.parquet") == 0
    table = f"teacher={{kind: stored, table: {store.folder / 'val.parquet'}}}"
    with pytest.raises(PctError, match=r"lacks [\d,]+ of [\d,]+ training examples \(first train/\d+\)"):
        once(store, "objective.loss=ldi", table)


def test_stored_views_teach_like_the_model_asked_each_time(store):
    views = ["data.views=3", "data.augment={crop: pad, padding: 1, flip: false}"]
    asked = once(store, "objective.loss=kl", "teacher.refs=[{ref: digits/1}, {ref: digits/2}]", *views)
    teacher = "teacher={refs: [{ref: digits/1}, {ref: digits/2}], store: true}"
    stored = once(store, "objective.loss=kl", teacher, *views)
    np.testing.assert_allclose(stored.logits["test"], asked.logits["test"], atol=2e-2)
    (kept,) = (store.folder / "checkpoints" / "teacher_outputs").glob("*/header.json")
    written = kept.stat().st_mtime_ns
    once(store, "objective.loss=kl", teacher, *views, "seed.model=5")
    assert kept.stat().st_mtime_ns == written, "another seed uses what is there"
    damaged = next(path for path in kept.parent.iterdir() if path.suffix == ".npy")
    damaged.write_bytes(damaged.read_bytes()[:-10])
    with pytest.raises(PctError, match=r"cannot be used.*remove that folder"):
        once(store, "objective.loss=kl", teacher, *views, "seed.model=6")


def test_features_of_stored_views_serve_cna(store):
    views = ["data.views=2", "objective.loss=cna"]
    asked = once(store, *views)
    stored = once(store, *views, "teacher.store=true")
    np.testing.assert_allclose(stored.logits["val"], asked.logits["val"], atol=5e-2)


def test_a_model_s_own_past_is_a_teacher(store):
    trained = once(store, "objective.loss=l2", "teacher.kind=self_ema", "optim.epochs=2")
    assert trained.teacher_uri == "self_ema"
    assert not np.allclose(trained.logits["val"], once(store, "optim.epochs=2").logits["val"], atol=1e-3)
    with pytest.raises(PctError, match="loss=cna compares features"):
        once(store, "objective.loss=cna", "teacher.kind=self_ema")


def test_the_old_head_of_bct_is_the_teacher_s_and_is_mixed_in(store):
    """The original never loaded it."""
    old = stored_model(store, 1).head
    plain = once(store, "objective.loss=bct")
    mixed = once(store, "objective.loss=bct", "objective.distance={name: bct, alpha: 0.5}")
    torch.testing.assert_close(mixed.model.head.weight, (plain.model.head.weight + old.weight) / 2)
    torch.testing.assert_close(mixed.model.head.bias, (plain.model.head.bias + old.bias) / 2)
    single = once(store, "objective.loss=bct", "objective.distance={name: bct, single_head: true}")
    assert torch.equal(single.model.head.weight, old.weight)


def test_weights_of_examples_come_from_a_table(store):
    ids = Predictions.load(store.registry.predictions(store.registry.resolve("digits/1"), "val")).info
    assert ids.num_examples
    inputs = read_inputs(Recipe.read(store.recipe), make_accelerator(Recipe.read(store.recipe).engine))
    lines = [f"{sample_id},{row % 3}" for row, sample_id in enumerate(inputs.splits.train.sample_ids)]
    (store.folder / "w.csv").write_text("sample_id,weight\n" + "\n".join(lines) + "\n")
    focus = f"objective.focus={{name: likelihood, table: {store.folder / 'w.csv'}}}"
    recipe = Recipe.read(store.recipe, ["objective.loss=ldi", focus])
    read = read_inputs(recipe, make_accelerator(recipe.engine)).objective
    assert read.focus.weights.tolist() == [row % 3 for row in range(len(lines))]
    recipe = Recipe.read(store.recipe, [f"objective.ce_weights={store.folder / 'w.csv'}"])
    read = read_inputs(recipe, make_accelerator(recipe.engine)).objective
    assert read.ce_weights.tolist() == [row % 3 for row in range(len(lines))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no table of weights"),
        ("sample_id,weight\ntrain/000001,1\n", r"lacks \d+ of \d+ training examples"),
        ("sample_id,weight\ntrain/000001,x\n", "train/000001 has no finite weight"),
        ("sample_id,weight\ntrain/000001,-1\n", "train/000001 has no finite weight"),
        ("sample_id,weight\na,1\na,2\n", "a sample_id comes twice"),
        ("id,w\na,1\n", "cannot be read as a table"),
    ],
)
def test_a_table_of_weights_that_cannot_be_used(shared_store, tmp_path, text, message):
    if text is not None:
        (tmp_path / "w.csv").write_text(text)
    recipe = Recipe.read(shared_store.recipe, [f"objective.ce_weights={tmp_path / 'w.csv'}"])
    with pytest.raises(PctError, match=message):
        read_inputs(recipe, make_accelerator(recipe.engine))


def test_balanced_class_weights_follow_the_training_split(shared_store):
    recipe = Recipe.read(shared_store.recipe, ["objective.class_weights=balanced"])
    inputs = read_inputs(recipe, make_accelerator(recipe.engine))
    counts = np.bincount(inputs.splits.train.labels.numpy())
    weights = np.array(inputs.objective.class_weights)
    np.testing.assert_allclose(weights * counts, (weights * counts)[0])
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    "overrides",
    [
        ["objective.cross_entropy=binary", "objective.label_smoothing=0.1"],
        ["data.augment={crop: none, flip: false, mixup: 0.4, cutmix: 1.0}", "objective.loss=ldi"],
        ["model={name: small_resnet8, kwargs: {width: 8}, embedding_dim: 12, dropout: 0.2, classifier: cosine}"],
        ["model={name: aux_small_resnet8, kwargs: {width: 8}, aux_eval: avg}"],
        ["data.ten_crop=true"],
        ["optim={global_batch_size: 32, reference_batch: 16, lr: 0.05, epochs: 3, start_epoch: 1}"],
    ],
)
def test_it_trains_and_answers(store, overrides):
    trained = once(store, "optim={global_batch_size: 32, lr: 0.05, epochs: 3}", *overrides)
    assert trained.num_epochs == 3 - trained.recipe.optim.start_epoch
    assert np.isfinite(trained.logits["test"]).all()
    accuracy = (trained.logits["test"].argmax(1) == trained.splits.test.labels.numpy()).mean()
    assert accuracy > 0.3, "ten classes: far better than a guess"


def test_what_is_complete_is_not_trained_again(store):
    first, again = once(store), once(store)
    assert (first.num_epochs, again.num_epochs) == (1, 0)
    assert np.array_equal(first.logits["test"], again.logits["test"])


def test_the_epoch_is_selected_on_val_never_on_test(store, monkeypatch):
    """The original selected on the set that it reported."""
    from pct_mlops.workflows.training.job import Training

    asked = []
    original = Training._predict

    def watched(self, model, split, title=""):
        asked.append(split.name)
        return original(self, model, split, title)

    monkeypatch.setattr(Training, "_predict", watched)
    once(store, "optim.epochs=2", "seed.model=9")
    assert asked == ["val", "val", "val", "test"], "test is asked once, when everything is decided"


def identity(store, *overrides):
    """What tells a training from another: its folder's name."""
    from pct_mlops.workflows.training.job import Training

    session = session_of(store)
    inputs = read_inputs(Recipe.read(store.recipe, list(overrides)), session.accelerator)
    learns = inputs.objective.needs_teacher
    teacher = teacher_of(inputs, session) if learns else None
    return Training(build_parts(inputs, session, teacher), session, resume=True).fingerprint


def test_a_training_is_another_one_when_what_its_recipe_points_at_changed(store, monkeypatch):
    from pct_mlops.data import datasets

    plain = identity(store)
    assert identity(store, "data.num_workers=1", "engine.epochs_per_save=3", "data.memory_cap_gb=1") == plain
    assert identity(store, "optim.lr=0.2") != plain
    assert plain not in [
        identity(store, f"data.{key}") for key in ("augment.flip=true", "augment.mixup=0.3", "views=3")
    ]
    ids = read_inputs(Recipe.read(store.recipe), session_of(store).accelerator).splits.train.sample_ids
    table = store.folder / "w.csv"
    found = []
    for weight in (1, 2):
        table.write_text("sample_id,weight\n" + "".join(f"{name},{weight}\n" for name in ids))
        found.append(identity(store, f"objective.ce_weights={table}"))
    assert found[0] != found[1]
    warm = identity(store, "model.init=production")
    store.registry.client.set_registered_model_alias(NAME, "production", "2")
    assert identity(store, "model.init=production") != warm
    original = datasets.array_split
    monkeypatch.setattr(
        datasets, "array_split", lambda name, images, labels, *rest: original(name, images, 9 - labels, *rest)
    )
    assert identity(store) != plain, "other labels"


def test_a_complete_training_is_taken_by_any_number_of_processes_and_made_anew_without_its_weights(store):
    import json
    import shutil

    first = once(store)
    state = next(first.folder.glob("epoch-*/state.json"))
    record = json.loads(state.read_text())
    state.write_text(json.dumps({**record, "num_processes": 8}))
    again = once(store)
    assert again.num_epochs == 0
    shutil.rmtree(first.folder / "best")
    anew = once(store)
    assert anew.num_epochs == 1
    np.testing.assert_allclose(anew.logits["test"], first.logits["test"], atol=1e-5)


def test_what_cannot_follow_the_members_is_said_before_they_are_trained(store):
    for words, message in (
        (["model.init=nowhere/3"], "no model 'nowhere'"),
        (["objective.loss=bct", "teacher.num_members=2"], "this teacher has none"),
        (["model.train=head", "model.init=production"], "model.train=head prevents that"),
        (["objective.loss=none", "teacher.num_members=2"], "has no teacher"),
    ):
        with pytest.raises(PctError, match=message):
            once(store, "objective.loss=elodi", *words)
    assert not (store.folder / "checkpoints").exists()


def test_the_published_elodi_takes_given_models_and_trains_none(store):
    trained = once(store, "objective.loss=elodi", "teacher.refs=[{ref: digits/1}, {ref: digits/2}]")
    assert trained.teacher_uri == "models:/digits/1 + models:/digits/2"


def test_heads_that_cannot_be_mixed_are_said_before_the_first_epoch(store):
    with pytest.raises(PctError, match="Only linear heads can be mixed"):
        once(store, "objective.loss=bct", "objective.distance={name: bct, alpha: 0.5}", "model.classifier=cosine")
    single = "objective.distance={name: bct, single_head: true}"
    with pytest.raises(PctError, match="Nothing of the model is left to train"):
        once(store, "objective.loss=bct", single, "model.train=head", "model.init=production")


def test_another_loss_than_the_recipe_s_own_leaves_that_one_s_numbers_behind(store, capsys):
    own = {"loss": "ldi", "distance": {"name": "ldi", "margin": 0.3}, "mix": 0.5}
    (store.folder / "own.yaml").write_text(yaml.safe_dump({**RECIPE, "objective": own}))
    assert store.pct("train", "own.yaml", "--loss", "none", "--set", "optim.epochs=1") == 0
    assert store.pct("train", "own.yaml", "--loss", "kl", "--set", "optim.epochs=1") == 0
    recipe = Recipe.read(store.registry.download(store.registry.resolve("digits@candidate"), "recipe.yaml"))
    assert (recipe.objective.distance, recipe.objective.mix) == (None, None)


def test_two_programs_with_one_recipe_train_one_after_the_other(store):
    import threading

    from pct_mlops.data.locking import one_process_at_a_time

    folder = once(store).folder
    session = session_of(store)
    with heard() as said:
        with one_process_at_a_time(folder):
            other = threading.Thread(target=lambda: train_once(Recipe.read(store.recipe, SHORT), session))
            other.start()
            assert said.some.wait(20)
        other.join(20)
    assert not other.is_alive()
    assert said == [f"Another program trains in {folder}: waiting for it ..."]


def test_update_starts_from_production_unless_the_recipe_says_otherwise(store):
    production = stored_model(store, 1).state_dict()

    def starts_as_production(*words):
        found = started(store, "objective.loss=update", *words).state_dict()
        return all(torch.equal(value, production[key]) for key, value in found.items())

    assert starts_as_production()
    assert not starts_as_production("model.init=random")
    assert not starts_as_production("model.init=random", "model.name=small_resnet14")
    assert store.pct("train", store.recipe, "--loss", "update", "--epochs", "1") == 0
    version = store.registry.resolve(f"{NAME}@candidate")
    assert (version.tags["pct.init"], version.tags["pct.teacher"]) == ("models:/digits/1", "models:/digits/1")
    assert "init: production" in store.registry.download(version, "recipe.yaml").read_text()


def test_an_update_that_could_start_from_production_is_told_so(store):
    def advice(*words):
        with heard() as said:
            assert store.pct("train", store.recipe, "--epochs", "1", *words) == 0
        return [line for line in said if "has this architecture" in line]

    (line,) = advice("--loss", "ldi")
    assert line.startswith("models:/digits/1 in production has this architecture, and a start from its weights flips")
    assert advice("--loss", "none", "--set", "model.init=random") == []
    assert advice("--loss", "none", "--set", "model.init=production") == []
    assert advice("--loss", "none", "--arch", "small_resnet14") == []
