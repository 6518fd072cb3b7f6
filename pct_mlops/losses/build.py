"""Builds objectives, distances and focuses from what a recipe says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from pct_mlops.config import ObjectiveConfig, unknown
from pct_mlops.config.base import validate
from pct_mlops.errors import ConfigError
from pct_mlops.losses.distance import DISTANCES, Distance
from pct_mlops.losses.focuses import FOCUSES, Focus
from pct_mlops.losses.objective import Objective
from pct_mlops.losses.presets import loss_names, preset_of


def build_objective(
    config: str | Mapping[str, Any] | ObjectiveConfig,
    *,
    class_weights: Sequence[float] | Tensor | None = None,
    ce_weights: Sequence[float] | Tensor | None = None,
    known_classes: tuple[int, ...] | None = None,
) -> Objective:
    """Build an objective from a preset's name, or from a recipe's objective section.

    A distance or focus without a name, or with the preset's name, changes single parameters of the preset. One with
    another name replaces the preset's. No data and no files are read: the caller gives the numbers that "balanced" and
    a table of weights stand for.

    Args:
        config: a preset's name (`pct list losses` shows them), a mapping with the keys of ObjectiveConfig, such as
            {"loss": "ldi", "mix": 0.3}, or an ObjectiveConfig.
        class_weights: [C], the weights of the classes. When left out, the numbers in the config count. Required when
            the config says "balanced".
        ce_weights: [num_examples], the weights of the table that the config names. Required when it names one.
        known_classes: the classes of the new model that the teacher knows too, in the order of the teacher's logits.

    Returns:
        The objective. Call its `bind` before training when the distance is rp or bct, or a sum that holds one of them.

    Raises:
        PctError: the name or a parameter does not exist, or the parts do not fit each other.
        ValueError: the config names weights that were not given.

    Example:
        >>> from pct_mlops import build_objective
        >>> objective = build_objective({"loss": "ldi", "mix": 0.3})
        >>> objective.distance.margin, objective.mix, objective.needs_teacher
        (0.5, 0.3, True)
    """
    config = _section(config)
    if class_weights is None:
        if config.class_weights == "balanced":
            raise ValueError("give the class_weights that 'balanced' stands for")
        class_weights = config.class_weights
    if ce_weights is None and config.ce_weights is not None:
        raise ValueError("give the ce_weights that the table holds")
    distance, focus, weight, mix = _constraint(config)
    return Objective(
        distance,
        focus,
        weight,
        mix,
        config.label_smoothing,
        class_weights=class_weights,
        cross_entropy=config.cross_entropy,
        ce_weights=ce_weights,
        known_classes=None if distance is None else known_classes,
    )


def build_distance(spec: str | Mapping[str, Any], **parameters: Any) -> Distance:
    """Build a distance by its name.

    Args:
        spec: a name of DISTANCES, or {"name": ..., parameter: value, ...} as a recipe writes it.
        **parameters: parameters of the distance, which win over those in `spec`.

    Returns:
        The distance: a callable (new, old, target) -> float32 [N].

    Raises:
        PctError: the name or a parameter does not exist, or a value is out of range.

    Example:
        >>> from pct_mlops import build_distance
        >>> build_distance("ldi", margin=0.2).margin
        0.2
    """
    return DISTANCES.build(_spec(spec, parameters))


def build_focus(spec: str | Mapping[str, Any], **parameters: Any) -> Focus:
    """Build a focus by its name.

    Args:
        spec: a name of FOCUSES, or {"name": ..., parameter: value, ...} as a recipe writes it.
        **parameters: parameters of the focus, which win over those in `spec`.

    Returns:
        The focus: a callable (new, old, target) -> float32 weights [N].

    Raises:
        PctError: the name or a parameter does not exist, or a value is out of range.

    Example:
        >>> from pct_mlops import build_focus
        >>> build_focus("old_correct", scale=10).scale
        10.0
    """
    return FOCUSES.build(_spec(spec, parameters))


def _spec(spec: str | Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {**({"name": spec} if isinstance(spec, str) else spec), **parameters}


def _section(config: str | Mapping[str, Any] | ObjectiveConfig) -> ObjectiveConfig:
    if isinstance(config, ObjectiveConfig):
        return config
    return validate(ObjectiveConfig, {"loss": config} if isinstance(config, str) else dict(config), "objective")


def _constraint(
    config: ObjectiveConfig,
) -> tuple[Distance | None, Focus | None, float | None, float | None]:
    """Return distance, focus, weight and mix, all of them None for cross-entropy alone."""
    preset = preset_of(config.loss)
    if preset is None:
        raise unknown("loss", config.loss, loss_names())
    if config.weight is not None and config.mix is not None:
        raise ConfigError("Give either objective.weight or objective.mix, not both: they scale the same distance.")
    distance = _merged(preset.get("distance"), config.distance, "distance")
    if distance is None:
        if config.focus is not None or config.weight is not None or config.mix is not None:
            raise ConfigError(
                f"Loss '{config.loss}' has no distance for objective.focus, weight or mix to scale: "
                "choose another loss, or give objective.distance."
            )
        return None, None, None, None
    focus = _merged(preset.get("focus", {"name": "all"}), config.focus, "focus") or {}
    weight, mix = _scale(preset, config)
    return DISTANCES.build(distance), FOCUSES.build(focus), weight, mix


def _merged(preset: dict[str, Any] | None, given: dict[str, Any] | None, kind: str) -> dict[str, Any] | None:
    if given is None:
        return preset
    name = given.get("name", None if preset is None else preset["name"])
    if name is None:
        raise ConfigError(f"objective.{kind} needs a 'name', since the loss does not bring one.")
    return {**preset, **given} if preset is not None and name == preset["name"] else given


def _scale(preset: dict[str, Any], config: ObjectiveConfig) -> tuple[float | None, float | None]:
    """Return (weight, mix), one of them None: the config's values, else the preset's, else weight 1."""
    weight, mix = config.weight, config.mix
    if weight is None and mix is None:
        weight, mix = preset.get("weight"), preset.get("mix")
        weight = 1.0 if weight is None and mix is None else weight
    if weight is not None and not math.isfinite(weight):
        raise ConfigError("objective.weight should be a finite number: lower it.")
    return weight, mix
