"""From a recipe's objective section to the objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pct_mlops.config import PctError, unknown
from pct_mlops.losses.distance import DISTANCES, Distance
from pct_mlops.losses.focuses import FOCUSES, Focus
from pct_mlops.losses.objective import Objective
from pct_mlops.losses.presets import loss_names, preset_of

if TYPE_CHECKING:
    from pct_mlops.config import ObjectiveConfig


def build_objective(
    config: ObjectiveConfig,
    *,
    class_weights: Sequence[float] | Tensor | None = None,
    ce_weights: Sequence[float] | Tensor | None = None,
    known_classes: tuple[int, ...] | None = None,
) -> Objective:
    """The preset that `config.loss` names, with the config's own parts over it; PctError for what does not fit.

    A distance or focus without a name, or with the preset's, changes single parameters; another name replaces it.
    `class_weights` are those that "balanced" stands for, and `ce_weights` those of the table that the config names:
    nothing here looks at data or files. ValueError when they are missing.
    """
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


def _constraint(
    config: ObjectiveConfig,
) -> tuple[Distance | None, Focus | None, float | None, float | None]:
    """Distance, focus, weight and mix; all None for cross-entropy alone."""
    preset = preset_of(config.loss)
    if preset is None:
        raise unknown("loss", config.loss, loss_names())
    if config.weight is not None and config.mix is not None:
        raise PctError("Give either objective.weight or objective.mix, not both: they scale the same distance.")
    distance = _merged(preset.get("distance"), config.distance, "distance")
    if distance is None:
        if config.focus is not None or config.weight is not None or config.mix is not None:
            raise PctError(
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
        raise PctError(f"objective.{kind} needs a 'name', since the loss does not bring one.")
    return {**preset, **given} if preset is not None and name == preset["name"] else given


def _scale(preset: dict[str, Any], config: ObjectiveConfig) -> tuple[float | None, float | None]:
    """(weight, mix), one of them None: the config's, else the preset's, else weight 1."""
    weight, mix = config.weight, config.mix
    if weight is None and mix is None:
        weight, mix = preset.get("weight"), preset.get("mix")
        weight = 1.0 if weight is None and mix is None else weight
    if weight is not None and not math.isfinite(weight):
        raise PctError("objective.weight should be a finite number: lower it.")
    return weight, mix
