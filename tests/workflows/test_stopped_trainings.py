"""Trainings that are stopped before they start, or before a broken epoch is kept."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tiny_store import RECIPE

from pct_mlops.config import Recipe
from pct_mlops.data import workers
from pct_mlops.engine import make_accelerator
from pct_mlops.errors import ConfigError, TrainingError
from pct_mlops.workflows.runtime.session import Session
from pct_mlops.workflows.training import job
from pct_mlops.workflows.training.inputs import read_inputs
from pct_mlops.workflows.training.train import train_once

SMALL = {"image_size": 4}  # two strides leave one value of each channel


def recipe_of(folder, **sections):
    changed = {name: {**RECIPE.get(name, {}), **values} for name, values in sections.items()}
    changed["engine"] = {**RECIPE["engine"], "checkpoint_dir": folder, **changed.get("engine", {})}
    return Recipe.model_validate({**RECIPE, **changed})


def test_an_epoch_whose_outputs_are_not_finite_is_not_kept(tmp_path, monkeypatch):
    recipe = recipe_of(tmp_path, data={"train_fraction": 0.1}, optim={"epochs": 2, "global_batch_size": 50})
    calls, logits_of = [], job.logits_of

    def overflow(*arguments, **options):
        calls.append(logits_of(*arguments, **options))
        return np.full_like(calls[-1], math.nan) if len(calls) == 2 else calls[-1]

    monkeypatch.setattr(job, "logits_of", overflow)
    session = Session(make_accelerator(recipe.engine), None)
    with pytest.raises(TrainingError, match=r"the score was not finite after epoch 2, step 2 \(lr .*lower optim\.lr"):
        train_once(recipe, session, resume=False)
    (best,) = tmp_path.glob("*/best/epoch.json")
    assert json.loads(best.read_text())["epoch"] == 0
    assert [path.name for path in best.parents[1].glob("epoch-*")] == ["epoch-0001-step-000000"]
    assert train_once(recipe, session).num_epochs == 1  # a resume goes on from the good one


def test_shared_memory_for_the_evaluation_is_looked_at_before_the_training(tmp_path, monkeypatch):
    streamed = {"num_workers": 2, "memory_cap_gb": 0}
    recipe = recipe_of(tmp_path, data=streamed, engine={"eval_batch_size": 100})
    accelerator = make_accelerator(recipe.engine)
    read_inputs(recipe, accelerator)
    monkeypatch.setattr(workers, "_free_bytes", lambda: 5 * 64 * 64)
    with pytest.raises(ConfigError, match=r"^Batches of 100 images .* data\.num_workers=\d\.$"):
        read_inputs(recipe, accelerator)


@pytest.mark.parametrize(("parts", "batch"), [(1, 1), (8, 8)])
def test_a_batch_of_one_is_refused_before_the_training_where_a_layer_cannot_average_it(tmp_path, parts, batch):
    optim = {"global_batch_size": batch, "gradient_accumulation": parts}
    accelerator = make_accelerator(recipe_of(tmp_path).engine)
    read_inputs(recipe_of(tmp_path, optim=optim), accelerator)  # 8x8 images leave it four values or more to average
    deep = recipe_of(tmp_path, optim=optim, data=SMALL)
    with pytest.raises(ConfigError, match=r"^BatchNorm cannot train on one example at a time: raise optim\.global_b"):
        read_inputs(deep, accelerator)
    inputs = read_inputs(recipe_of(tmp_path, optim={**optim, "global_batch_size": 2 * batch}, data=SMALL), accelerator)
    assert inputs.loader.path == "memory"
