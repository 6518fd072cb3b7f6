"""Builds what a recipe alone determines: data, untrained model, objective.

It asks no registry, and writes nothing but data sets that it downloads.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pct_mlops.config import Recipe
from pct_mlops.errors import ConfigError
from pct_mlops.workflows.runtime.model_weights import architecture_of
from pct_mlops.workflows.training.plugin_versions import plugins_of
from pct_mlops.workflows.training.preset_sections import with_preset
from pct_mlops.workflows.training.sample_weights import tables_of, with_tables_read

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pct_mlops.data import Splits, TrainLoader
    from pct_mlops.losses import Objective
    from pct_mlops.models import Classifier


# Keys of a recipe that say how to run and not what to compute, for pydantic's `exclude`.
RECIPE_HOW: dict[str, Any] = {
    "data": {"num_workers", "memory_cap_gb", "thumbnail_size"},
    "engine": {"checkpoint_dir", "checkpoint_steps", "eval_batch_size", "epochs_per_save", "save_init"},
}


@dataclass(frozen=True)
class Inputs:
    """Data, untrained model, batches and objective of a recipe, built on this process.

    `digest` is sha256 over what the recipe only points at: ids and labels of train and val, class names, the contents
    of weight tables, versions of plugins. It does not cover pixels: an image file that keeps its name is taken to be
    unchanged.
    """

    recipe: Recipe
    splits: Splits
    model: Classifier
    loader: TrainLoader
    objective: Objective
    digest: str


def read_inputs(recipe: Recipe, accelerator: Accelerator) -> Inputs:
    """Build the inputs of a recipe. Raise PctError for everything that can be wrong with recipe or data."""
    from pct_mlops.data import check_loading, load_data

    recipe = with_preset(recipe)
    splits = load_data(recipe.data, recipe.seed.data)
    objective = _objective(recipe, splits)
    learns = objective.needs_teacher
    if not learns and (recipe.teacher.num_members or recipe.teacher.store):
        raise ConfigError(
            f"loss={recipe.objective.loss} has no teacher: leave out teacher.num_members (--teachers) and "
            "teacher.store, or choose another loss."
        )
    model = _new_model(recipe, splits, accelerator)
    check_loading(
        splits,
        recipe.data,
        train_batch=recipe.optim.global_batch_size,
        eval_batch=recipe.engine.eval_batch_size,
        num_processes=accelerator.num_processes,
        stores=recipe.teacher.store,
    )
    loader = _train_loader(recipe, splits, accelerator)
    _check_parts(recipe, accelerator.num_processes)
    if recipe.optim.global_batch_size // accelerator.num_processes == recipe.optim.gradient_accumulation:
        _check_batch_of_one(model, splits.image_shape)
    return Inputs(recipe, splits, model, loader, objective, _digest(recipe, splits))


def _check_parts(recipe: Recipe, num_processes: int) -> None:
    """Raise ConfigError for parts of the recipe that do not fit each other on so many processes."""
    share, parts = recipe.optim.global_batch_size // num_processes, recipe.optim.gradient_accumulation
    if share % parts:
        raise ConfigError(
            f"{share} examples per process do not divide into optim.gradient_accumulation={parts} parts: "
            "choose a number that divides them."
        )
    if recipe.teacher.num_members and recipe.model.train == "head" and not recipe.model.weights:
        raise ConfigError(
            "Members of a teacher learn their own features, and model.train=head prevents that: "
            "leave it out, or start from published weights (model.weights)."
        )


def _check_batch_of_one(model: Classifier, shape: tuple[int, int, int]) -> None:
    """Raise ConfigError where a layer cannot train on one example at a time."""
    import torch

    from pct_mlops.engine.step import batch_of_one

    if any(isinstance(module, torch.nn.SyncBatchNorm) for module in model.modules()):
        return  # it averages over the examples of all processes
    trial = copy.deepcopy(model).cpu().train()  # a copy, because BatchNorm counts what it sees
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            trial(torch.zeros(1, *shape))
    except ValueError as error:
        if (found := batch_of_one(error)) is None:
            raise
        raise found from error


def _digest(recipe: Recipe, splits: Splits) -> str:
    found = hashlib.sha256(json.dumps(splits.class_names).encode())
    for split in (splits.train, splits.val):
        found.update(json.dumps(split.sample_ids).encode())
        found.update(split.labels.numpy().tobytes())
    for path in tables_of(recipe.objective):
        found.update(path.read_bytes())
    plugins = plugins_of(recipe)
    if plugins:  # add nothing without any, so that trainings from before there were plugins keep their digest
        found.update(json.dumps(plugins, sort_keys=True).encode())
    return found.hexdigest()


def _objective(recipe: Recipe, splits: Splits) -> Objective:
    from torch import bincount

    from pct_mlops.losses import balanced_weights, build_objective

    config, ce_weights = with_tables_read(recipe.objective, splits.train.sample_ids)
    balanced = None
    if config.class_weights == "balanced":
        balanced = balanced_weights(bincount(splits.train.labels, minlength=len(splits.class_names)))
    return build_objective(config, class_weights=balanced, ce_weights=ce_weights)


def _new_model(recipe: Recipe, splits: Splits, accelerator: Accelerator) -> Classifier:
    from pct_mlops.engine import seed_everything, sync_batchnorm
    from pct_mlops.models import build_model

    seed_everything(recipe.seed.model)
    model = build_model(architecture_of(recipe.model, splits))
    # The weights are the same on all processes. The noise (dropout, stochastic depth) differs between them.
    seed_everything(recipe.seed.model + accelerator.process_index)
    return sync_batchnorm(model, accelerator) if recipe.engine.sync_batchnorm else model  # type: ignore[return-value]


def _train_loader(recipe: Recipe, splits: Splits, accelerator: Accelerator) -> TrainLoader:
    from pct_mlops.data import train_loader

    return train_loader(
        splits.train,
        recipe.data,
        global_batch_size=recipe.optim.global_batch_size,
        seed_sampler=recipe.seed.sampler,
        seed_data=recipe.seed.data,
        num_classes=len(splits.class_names),
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        device=accelerator.device,
    )
