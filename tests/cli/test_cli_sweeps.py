"""`pct sweep` and `pct floor` with wrong input: one sentence, exit code 2, and everything as it was."""

from __future__ import annotations

import click
import pytest
from test_cli_bad_input import files_in, refused
from tiny_store import NAME

from pct_mlops.cli.main import pct


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("absent.yaml", "--losses", "none"), "There is no file absent.yaml"),
        (("recipe.yaml",), "--losses names no loss"),
        (("recipe.yaml", "--losses", ", ,"), "--losses names no loss"),
        (("recipe.yaml", "--losses", "none,ldl"), "Unknown loss 'ldl': choose one of ldi"),
        (("recipe.yaml", "--losses", "none", "--seeds", "0"), "--seeds should be a whole number from 1"),
        (("recipe.yaml", "--losses", "none", "--seeds", "three"), "--seeds should be a whole number from 1"),
        (("recipe.yaml", "--losses", "none", "--num-processes", "0"), "--num-processes should be a whole number"),
        (("recipe.yaml", "--losses", "none", "--num-processes", "²"), "--num-processes should be a whole number"),
        (("recipe.yaml", "--losses", "none", "--set", "optim.lrr=1"), "did you mean lr"),
        (("recipe.yaml", "--losses", "none"), "There is no registry at sqlite:///"),
    ],
)
def test_a_sweep_that_cannot_start(empty, capsys, words, says):
    before = files_in(empty.folder)
    assert says in refused(capsys, "sweep", *words)
    assert files_in(empty.folder) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--set", "model_name=letters"),
            "the production version of letters, and there is none: make a first baseline",
        ),
        (("--set", "teacher.ref=digits/9"), "digits has no version 9"),
        (("--set", "teacher.ref=challenger"), "has no alias 'challenger'"),
        (("--set", "model.name=small_resnet9"), "Unknown architecture 'small_resnet9'"),
        (("--set", "objective.loss=ldi", "--set", "objective.distance.margn=1"), "margin"),
        (("--output", "/proc/no/results"), "choose another --output"),
    ],
)
def test_a_sweep_over_a_registry_that_does_not_fit(store, capsys, words, says):
    before = store.state()
    assert says in refused(capsys, "sweep", store.recipe, "--losses", "none,ldi", "--seeds", "1", *words)
    assert store.state() == before
    assert not (store.folder / "checkpoints").exists()


@pytest.mark.parametrize("place", ["candidate", "old.pth.tar"])
def test_a_checkpoint_is_nothing_to_measure_against(store, capsys, place):
    """A folder before an alias of the same name, as in training."""
    if place == "candidate":
        (store.folder / place).mkdir()
    before = store.state()
    line = refused(capsys, "sweep", store.recipe, "--losses", "none,ldi", "--set", f"teacher.ref={place}")
    assert f"measures flips against a registered version, and teacher.ref={place} is a checkpoint: name" in line
    assert store.state() == before


def test_examples_that_production_was_not_scored_on_are_said_before_training(store, capsys):
    client, version = store.registry.client, store.registry.resolve("digits/1")
    val = store.registry.predictions(version, "val")
    file = store.folder / "aside" / "test.parquet"
    file.parent.mkdir()
    file.write_bytes(val.read_bytes())
    client.log_model_artifact(store.registry.model_id(version), str(file), "predictions")
    before = store.state()
    line = refused(capsys, "sweep", store.recipe, "--losses", "none")
    assert "test examples are not those that models:/digits/1 was scored on" in line
    assert store.state() == before


def test_controls_need_productions_predictions_on_val(store, capsys):
    store.registry.predictions(store.registry.resolve("digits/1"), "val").unlink()
    before = store.state()
    line = refused(capsys, "sweep", store.recipe, "--losses", "kl")
    assert "pct score digits/1 --split val" in line
    assert "--no-controls" in line
    assert store.state() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--seeds", "1"), "--seeds should be a whole number from 2"),
        (("absent.yaml",), "There is no file absent.yaml"),
        ((f"{NAME}@champion",), "has no alias 'champion'"),
        ((f"{NAME}/1", "--set", "optim.lrr=1"), "did you mean lr"),
        ((f"{NAME}/1", "--set", "model.init=production"), "name that version"),
    ],
)
def test_a_floor_that_cannot_start(store, capsys, words, says):
    before = store.state()
    assert says in refused(capsys, "floor", *words)
    assert store.state() == before


def test_a_floor_of_which_model(store, capsys):
    store.registry.client.delete_registered_model_alias(NAME, "production")
    assert "The registry has 0 models in production (none): name one" in refused(capsys, "floor")


def test_switches_of_the_project_arrive():
    def read(*words):
        with click.Context(pct, info_name="pct") as parent:
            command = pct.commands["sweep"]
            with command.make_context("sweep", ["recipe.yaml", *words], parent=parent) as context:
                return context.params["warm_start"], context.params["controls"], context.params["output"]

    assert read() == (False, True, None)
    assert read("--cold-start", "--controls", "--output", "") == (False, True, None)
    assert read("--warm-start", "--no-controls") == (True, False, None)
