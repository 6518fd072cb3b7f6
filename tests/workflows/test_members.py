"""ELODI in one command: members trained one by one, none of them twice, however often the command is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from pct_mlops.config import Recipe
from pct_mlops.workflows.training.ensemble_members import member_recipe

NUM_MEMBERS = 8
LIMIT = 120.0  # seconds until the test gives up


def command(store):
    words = ["train", store.recipe, "--loss", "elodi", "--teachers", NUM_MEMBERS, "--tracking-uri", store.uri]
    return [sys.executable, "-m", "pct_mlops", *map(str, words), "--set", "optim.epochs=1"]


def complete(store):
    """Folders of trainings that are over, their last checkpoint written, with the time of their best weights."""
    last = (store.folder / "checkpoints" / "digits").glob("*/epoch-0001-step-000000/state.json")
    folders = [path.parents[1] for path in last]
    return {folder.name: (folder / "best" / "model.safetensors").stat().st_mtime_ns for folder in folders}


def killed_after(store, log, num_complete):
    """Start the command and kill it (-9) as soon as so many models are complete and another one has begun."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as file, subprocess.Popen(command(store), cwd=store.folder, env=environment, stdout=file) as run:
        end = time.monotonic() + LIMIT
        while len(complete(store)) < num_complete and time.monotonic() < end:
            assert run.poll() is None, log.read_text()
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    return complete(store)


@pytest.mark.thorough
def test_killed_twice_and_resumed_trains_no_member_again(store, tmp_path):
    first = killed_after(store, tmp_path / "first.log", 2)
    second = killed_after(store, tmp_path / "second.log", 5)
    assert 2 <= len(first) < len(second) < NUM_MEMBERS
    assert {name: second[name] for name in first} == first, "what was complete is as it was"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command(store), cwd=store.folder, env=environment, capture_output=True, text=True, check=True, timeout=LIMIT
    )
    last = complete(store)
    assert {name: last[name] for name in second} == second
    assert len(last) == NUM_MEMBERS + 1, "eight members and the new model"
    assert done.stdout.count("not trained again") == len(second)
    version = store.registry.resolve("digits@candidate")
    assert (version.version, version.tags["pct.loss"]) == (3, "elodi")
    assert version.tags["pct.teacher"].count("member:") == NUM_MEMBERS


def test_members_differ_in_their_seeds_and_from_an_ordinary_training_in_nothing_else(shared_store):
    recipe = Recipe.read(shared_store.recipe, ["objective.loss=elodi", "objective.label_smoothing=0.1"])
    one, other = member_recipe(recipe, 1), member_recipe(recipe, 2)
    assert (one.seed.model, one.seed.sampler, one.seed.data) == (1, 1, recipe.seed.data)
    assert one.model_copy(update={"seed": other.seed}) == other
    assert (one.objective.loss, one.objective.label_smoothing) == ("none", 0.1)
    assert (one.model, one.optim) == (recipe.model, recipe.optim)


@pytest.mark.slow
def test_a_mixture_of_production_and_a_new_member_teaches(store):
    """Old and new members as one teacher, in one command; the student starts from production's weights when asked."""
    words = ["train", store.recipe, "--loss", "mixture", "--set", "optim.epochs=1", "--set", "model.init=production"]
    assert store.pct(*words) == 0
    version = store.registry.resolve("digits@candidate")
    uri, member = version.tags["pct.teacher"].split(" + ")
    assert uri == "models:/digits/1"
    assert member.startswith("member:")
    assert torch.isfinite(torch.tensor(float(version.tags["pct.test/accuracy"])))


@pytest.mark.slow
def test_a_chain_of_updates_begins_with_elodi_where_there_is_no_registry_yet(empty):
    words = ["train", empty.recipe, "--loss", "elodi", "--teachers", "1", "--set", "optim.epochs=1"]
    assert empty.pct(*words) == 0
    assert empty.registry.resolve("digits@candidate").version == 1
