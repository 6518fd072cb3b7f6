"""Trainings that start from a smaller production model: grown, in part, or as it turns out."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tiny_store import NAME, heard

from pct_mlops.config import PctError, Recipe
from pct_mlops.engine import make_accelerator
from pct_mlops.models import load_classifier
from pct_mlops.predictions import Predictions
from pct_mlops.workflows.runtime.session import open_session
from pct_mlops.workflows.studies.plan import digest
from pct_mlops.workflows.training.components import build_parts
from pct_mlops.workflows.training.ensemble_members import member_recipe
from pct_mlops.workflows.training.initial_weights import set_start
from pct_mlops.workflows.training.inputs import read_inputs
from pct_mlops.workflows.training.job import Training
from pct_mlops.workflows.training.train import train_once

INIT = "model.init=production"
LARGER = ("model.name=small_resnet14", "model.kwargs={width: 12}")
GROW = (INIT, "model.init_mode=grow", *LARGER)
LIMIT = 120.0  # seconds until a test gives up


def set_words(*overrides):
    return [part for override in overrides for part in ("--set", override)]


def session_of(store):
    return open_session(make_accelerator(Recipe.read(store.recipe).engine), store.uri, create=False)


def started(store, *overrides):
    """Build the model of a recipe with its first weights. Return it, and how it got them."""
    recipe = Recipe.read(store.recipe, list(overrides))
    session = session_of(store)
    inputs = read_inputs(recipe, session.accelerator)
    start = set_start(inputs.model, recipe.model, NAME, inputs.splits, session, seed=recipe.seed.model)
    return inputs.model, start


def model_of(store, reference):
    version = store.registry.resolve(reference)
    return load_classifier(store.registry.download(version, "model.safetensors").parent)


def same_function(one, other):
    images = torch.rand(16, *one.architecture.image_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = one.eval()(images).logits, other.eval()(images).logits
    return bool((before - after).abs().max() <= 1e-5 * before.abs().max())


def refusal(store, *words):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert store.pct("train", store.recipe, *words) == 2
    (line,) = said.getvalue().splitlines()
    return line


def test_a_grown_start_is_production_s_function(shared_store):
    model, start = started(shared_store, *GROW)
    production = model_of(shared_store, "digits/1")
    assert same_function(production, model)
    assert model.architecture.kwargs == {"width": 12}
    assert (start.mode, start.uri) == ("grow", "models:/digits/1")
    again, _ = started(shared_store, *GROW)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    other, _ = started(shared_store, *GROW, "seed.model=3")
    assert not torch.equal(other.backbone.layers[0].weight, model.backbone.layers[0].weight)


def test_a_grown_start_with_a_new_head_has_production_s_features(shared_store):
    model, _ = started(shared_store, *GROW, "model.new_head=true", "model.train=head")
    production = model_of(shared_store, "digits/1")
    images = torch.rand(4, *model.architecture.image_shape)
    features, own = production.eval()(images).features, model.eval()(images).features
    torch.testing.assert_close(own[:, : features.shape[1]], features, rtol=1e-4, atol=1e-5)
    assert not same_function(production, model)
    assert [key for key, value in model.named_parameters() if value.requires_grad] == ["head.weight", "head.bias"]


def test_a_partial_start_takes_what_fits_and_counts_it(shared_store):
    fresh, _ = started(shared_store, "model.name=small_resnet14", "model.kwargs={width: 8}")
    model, start = started(
        shared_store, INIT, "model.init_mode=partial", "model.name=small_resnet14", "model.kwargs={width: 8}"
    )
    production = model_of(shared_store, "digits/1")
    stem = "backbone.layers.0.weight"
    assert torch.equal(model.state_dict()[stem], production.state_dict()[stem])
    assert torch.equal(model.head.weight, production.head.weight)
    last = "backbone.layers.8.conv1.weight"
    assert torch.equal(model.state_dict()[last], fresh.state_dict()[last]), "production has no such block"
    taken = sum(
        value.numel()
        for key, value in model.named_parameters()
        if torch.equal(value, production.state_dict().get(key, value[..., :0]))
    )
    every = sum(value.numel() for value in model.parameters())
    assert f"starts with {taken:,} of its {every:,} weights ({taken / every:.0%}) from models:/digits/1." in start.note
    assert "Fresh are backbone.layers.4, backbone.layers.5, " in start.note
    assert start.mode == "partial"


def test_a_partial_start_that_takes_nothing_is_an_error(shared_store):
    with pytest.raises(PctError, match="No layer of a small_resnet8 has the name and the shapes of one of this small_"):
        started(shared_store, INIT, "model.init_mode=partial", "model.kwargs={width: 5}")


@pytest.mark.parametrize(
    ("words", "mode", "note"),
    [
        ([], "same", "The model starts from models:/digits/1, which has the same architecture."),
        (
            LARGER,
            "grow",
            "The model starts with the function of models:/digits/1: a small_resnet8 {'width': 8} has grown into a "
            "small_resnet14 {'width': 12}.",
        ),
        (
            ["model.kwargs={width: 5}"],
            "fresh",
            "The model starts fresh and not from models:/digits/1. A small_resnet8 {'width': 8} cannot grow into a "
            "small_resnet8 {'width': 5}: in the stem, 5 channels cannot hold the function of 8.",
        ),
    ],
)
def test_auto_takes_the_first_way_that_works_and_says_which(shared_store, words, mode, note):
    model, start = started(shared_store, INIT, "model.init_mode=auto", *words)
    assert (start.mode, start.note) == (mode, note)
    assert same_function(model_of(shared_store, "digits/1"), model) is (mode != "fresh")
    assert bool(start.digest) is (mode != "fresh"), "a fresh start does not change with production"


def test_what_cannot_start_is_said_in_one_line_before_a_run(store):
    before = store.state()
    narrower = "model.kwargs={width: 4}"
    for words, message in (
        (("model.init_mode=grow",), "model.init_mode says how to start from model.init"),
        ((INIT, "model.init_mode=all"), "model.init_mode"),
        ((INIT, "model.init_mode=partial", "model.train=head"), "train 'head' would freeze"),
        ((INIT, "model.init_mode=grow", narrower), "A small_resnet8 {'width': 8} cannot grow into a small_resnet8"),
        ((INIT, "model.init_mode=auto", "model.train=head", narrower), "model.train=head would train nothing but"),
        ((INIT, *LARGER), "with the same arguments, or set model.init_mode=grow to start with its function."),
        (
            (INIT, "model.name=small_resnet14", "model.kwargs={width: 8, stem_stride: 2}"),
            "or set model.init_mode=partial to take over the layers that fit.",
        ),
        ((INIT, "model.kwargs={width: 5}"), "with the same arguments."),
    ):
        assert message in refusal(store, *set_words(*words)), words
    assert store.state() == before


def test_recipes_without_the_key_keep_their_digest(shared_store):
    recipe = Recipe.read(shared_store.recipe, [INIT])
    assert "init_mode" not in recipe.model_dump()["model"]
    assert digest(Recipe.read(shared_store.recipe, [INIT, "model.init_mode=same"])) == digest(recipe)
    assert digest(Recipe.read(shared_store.recipe, [INIT, "model.init_mode=auto"])) != digest(recipe)


def test_members_of_a_teacher_start_fresh(shared_store):
    member = member_recipe(Recipe.read(shared_store.recipe, list(GROW)), 1).model
    assert (member.init, member.init_mode) == (None, "same")


def test_a_training_is_another_one_when_production_or_the_mode_changes(store):
    def identity(*overrides):
        session = session_of(store)
        inputs = read_inputs(Recipe.read(store.recipe, list(overrides)), session.accelerator)
        return Training(build_parts(inputs, session, None), session, resume=True).fingerprint

    grown, auto = identity(*GROW), identity(INIT, "model.init_mode=auto", *LARGER)
    assert grown != auto
    store.registry.client.set_registered_model_alias(NAME, "production", "2")
    assert identity(*GROW) != grown


def test_a_larger_model_is_trained_from_production_and_the_version_says_so(store):
    words = set_words(*GROW, "optim.epochs=1", "optim.lr=1e-6", "optim.weight_decay=0")
    with heard() as said:
        assert store.pct("train", store.recipe, *words) == 0
    assert [line for line in said if "has grown into" in line] == [
        "The model starts with the function of models:/digits/1: a small_resnet8 {'width': 8} has grown into a "
        "small_resnet14 {'width': 12}."
    ]
    version = store.registry.resolve("digits@candidate")
    assert (version.tags["pct.init_mode"], version.tags["pct.init"]) == ("grow", "models:/digits/1")
    params = store.registry.client.get_run(version.run_id).data.params
    assert (params["cfg.init.mode"], params["cfg.init.uri"]) == ("grow", "models:/digits/1")
    assert params["cfg.model.init_mode"] == "grow"
    stored = Recipe.read(store.registry.download(version, "recipe.yaml"))
    assert (stored.model.init_mode, stored.model.name) == ("grow", "small_resnet14")
    old, new = (Predictions.load(store.registry.predictions(store.registry.resolve(f"digits/{n}"))) for n in (1, 3))
    # BatchNorm's statistics are estimated anew from the training images, and nothing else moves at this rate.
    assert new.nfr(old) < 0.02
    assert store.pct("gate", "digits@candidate", "--policy", store.policy("lenient"), "--promote") == 0
    assert "pct.init_mode" not in store.registry.resolve("digits/2").tags, "it started from none"


def test_a_file_of_weights_grows_when_its_architecture_is_named(shared_store, tmp_path):
    from safetensors.torch import save_file

    from pct_mlops.models import build_model

    model, _ = started(shared_store, "model.kwargs={}")
    source = build_model(model.architecture)
    file = tmp_path / "old.safetensors"
    save_file({key: value.contiguous() for key, value in source.state_dict().items()}, file)
    words = [f"model.init={file}", "model.init_mode=grow", "model.init_arch=small_resnet8", "model.kwargs={width: 24}"]
    model, start = started(shared_store, *words)
    assert same_function(source, model)
    assert (start.file, len(start.known_classes)) == (str(file), 10), "its accuracy on val is printed"
    with pytest.raises(PctError, match=r"production records its own|digits/1 records its own architecture"):
        started(shared_store, *GROW, "model.init_arch=small_resnet8")
    with pytest.raises(PctError, match="'init_arch' names another architecture: say with 'init_mode'"):
        started(shared_store, INIT, "model.init_arch=small_resnet8")


def test_a_sweep_grows_too_and_trains_again_only_when_the_first_weights_changed(store):
    from pct_mlops.models import save_classifier
    from pct_mlops.workflows.studies.sweep import sweep

    folder = store.folder / "old"
    recipe = Recipe.read(store.recipe, [*GROW, f"model.init={folder}", "optim.epochs=1", "data.train_fraction=0.2"])
    client, numbers = store.registry.client, []
    for version in (1, 1, 2):
        save_classifier(model_of(store, f"digits/{version}"), folder)
        sweep(recipe, "none", tracking_uri=store.uri, seeds=1, show=lambda table: None)
        places = [item.experiment_id for item in client.search_experiments()]
        runs = client.search_runs(places, "tags.`pct.method` = 'none'")
        assert {run.data.params["cfg.init.mode"] for run in runs} == {"grow"}
        numbers.append(len(runs))
    assert numbers == [1, 1, 2]


@pytest.mark.slow
def test_a_training_that_grew_and_was_killed_ends_where_another_one_does(store, tmp_path):
    recipe = [*GROW, "optim.epochs=6"]
    words = ["train", store.recipe, *set_words(*recipe), "--tracking-uri", store.uri]
    command = [sys.executable, "-m", "pct_mlops", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    log, folder = tmp_path / "log.txt", store.folder / "checkpoints" / NAME
    with log.open("w") as file, subprocess.Popen(command, cwd=store.folder, env=environment, stdout=file) as run:
        end = time.monotonic() + LIMIT
        while not list(folder.glob("*/epoch-*/state.json")):
            assert run.poll() is None, log.read_text()
            assert time.monotonic() < end
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    resumed, whole = (
        train_once(Recipe.read(store.recipe, [*recipe, *more]), session_of(store))
        for more in ([], [f"engine.checkpoint_dir={tmp_path / 'whole'}"])
    )
    assert 0 < resumed.num_epochs < whole.num_epochs == 6, "it goes on where it was killed"
    weights = resumed.model.state_dict()
    assert [key for key, value in whole.model.state_dict().items() if not torch.equal(value, weights[key])] == []
    assert (resumed.start.mode, resumed.start.digest) == ("grow", whole.start.digest)


@pytest.mark.slow
def test_two_processes_start_from_the_same_grown_model(store, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = [*GROW, "optim.epochs=1", "optim.lr=0.01", "model.kwargs={width: 16, norm: group}"]
    first = set_words("model.kwargs={width: 8, norm: group}", "optim.epochs=1")
    assert store.pct("train", store.recipe, *first) == 0
    options[0] = "model.init=digits/3"
    words = [store.recipe, *set_words(*options), "--tracking-uri", store.uri]
    assert store.pct("train", *words, "--num-processes", "2") == 0
    assert store.pct("train", *words) == 0
    two, one = (pq.read_table(store.registry.predictions(store.registry.resolve(f"digits/{n}"))) for n in (4, 5))
    assert two["sample_id"] == one["sample_id"]
    np.testing.assert_allclose(*(np.array(table["logits"].to_pylist()) for table in (two, one)), atol=1e-4)
