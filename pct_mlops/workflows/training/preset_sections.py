"""Fills in the sections of a recipe that its loss brings: a teacher of its own kind, and the weights to start from."""

from __future__ import annotations

from pct_mlops.config import ModelConfig, Recipe, TeacherConfig
from pct_mlops.config.base import validate
from pct_mlops.errors import ConfigError


def with_preset(recipe: Recipe) -> Recipe:
    """Fill in what the loss of a recipe brings beside its objective, where the recipe does not say otherwise."""
    loss = recipe.objective.loss
    filled = {"teacher": preset_teacher(recipe.teacher, loss), "model": preset_start(recipe.model, loss)}
    return recipe.model_copy(update=filled)


def preset_teacher(config: TeacherConfig, loss: str) -> TeacherConfig:
    """Fill in the teacher that a loss brings (elodi: members trained first), unless the section names its own."""
    from pct_mlops.losses import PRESETS

    brought = PRESETS.get(loss, {}).get("teacher", {})
    names_its_own = config.kind != "models" or config.ref or config.refs
    merged = {**({} if names_its_own else brought), **config.model_dump(exclude_defaults=True)}
    return validate(TeacherConfig, merged, "teacher")


def preset_start(config: ModelConfig, loss: str) -> ModelConfig:
    """Fill in the start that a loss brings (update: production's weights), unless the section names its own.

    Raise ConfigError for an init_mode, or a training of the head alone, where nothing says what to start from.
    """
    from pct_mlops.losses import PRESETS

    brought = {} if config.init or config.weights else PRESETS.get(loss, {}).get("model", {})
    said = {key: getattr(config, key) for key in config.model_fields_set}
    merged = {**brought, **{key: value for key, value in said.items() if value is not None}}
    found = validate(ModelConfig, merged, "model") if brought else config
    if found.init_mode != "same" and not found.starts_from:
        raise ConfigError(
            "model.init_mode says how to start from model.init: give both, neither, or a loss that brings a start."
        )
    if found.train == "head" and not (found.weights or found.starts_from):
        raise ConfigError(
            "model.train=head freezes all other weights: give them with model.init or model.weights, or choose a loss "
            "that brings a start, such as update."
        )
    return found
