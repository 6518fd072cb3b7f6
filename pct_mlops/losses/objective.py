"""The objective: cross-entropy plus the weighted distance to the old model; the one place that reduces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pct_mlops.config import PctError, unknown
from pct_mlops.losses.distance import DISTANCES, Distance, check_shapes, full_precision
from pct_mlops.losses.focuses import FOCUSES, Focus
from pct_mlops.losses.presets import PRESETS

if TYPE_CHECKING:
    from pct_mlops.config import ObjectiveConfig
    from pct_mlops.models.output import ModelOutput


class LossTerms(NamedTuple):
    """The scalar to minimise, and what it is made of for each sample: cross-entropy, distance, focus, each [N]."""

    total: Tensor
    cross_entropy: Tensor
    distance: Tensor
    focus: Tensor


@dataclass(frozen=True)
class Objective:
    """CE + weight * mean(focus * distance), or (1 - mix) * CE + mix * mean(focus * distance).

    Yan et al., arXiv 2011.09161, equation 4; `mix` is the same direction with weight = mix / (1 - mix), on another
    overall scale. Give one of them, or neither where there is no distance.
    """

    distance: Distance | None = None
    focus: Focus | None = None
    weight: float | None = None
    mix: float | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.distance is None:
            if self.focus is not None or self.weight is not None or self.mix is not None:
                raise ValueError("an objective without a distance has no focus, weight or mix")
        elif self.focus is None or (self.weight is None) == (self.mix is None):
            raise ValueError("an objective with a distance needs a focus, and either weight or mix")

    @property
    def needs_teacher(self) -> bool:
        """Whether `old` must be given."""
        return any(part is not None and part.needs_teacher for part in (self.distance, self.focus))

    @property
    def needs_features(self) -> bool:
        """Whether both models must return features."""
        return self.distance is not None and self.distance.needs_features

    @property
    def needs_index(self) -> bool:
        """Whether the batch's `index` must be given."""
        return self.focus is not None and self.focus.needs_index

    def __call__(
        self, new: ModelOutput, old: ModelOutput | None, target: Tensor, *, index: Tensor | None = None
    ) -> LossTerms:
        """Loss terms in float32 from logits [N, C] and targets int64 [N]; no gradient reaches `old`.

        Auxiliary heads of `new`, where it returns them, add their own cross-entropy. Unequal shapes and an empty batch
        raise ValueError, a missing teacher or missing features PctError.
        """
        check_shapes(new, old, target)
        if len(target) == 0:
            raise ValueError("the loss of an empty batch is undefined")
        with full_precision(new.logits):
            cross_entropy = self._cross_entropy(new, target)
            if self.distance is None or self.focus is None:
                none, even = torch.zeros_like(cross_entropy), torch.ones_like(cross_entropy)
                return LossTerms(cross_entropy.mean(), cross_entropy, none, even)
            distance = self.distance(new, old, target)
            focus = self.focus(new, old, target, index) if self.focus.needs_index else self.focus(new, old, target)
            if not cross_entropy.shape == distance.shape == focus.shape:
                shapes = tuple(cross_entropy.shape), tuple(distance.shape), tuple(focus.shape)
                raise ValueError(f"cross-entropy, distance and focus should all be [N], but they are {shapes}")
            ce_share, distance_share = self._shares()
            total = ce_share * cross_entropy.mean() + distance_share * (focus * distance).mean()
        return LossTerms(total, cross_entropy, distance, focus)

    def _shares(self) -> tuple[float, float]:
        if self.mix is not None:
            return 1.0 - self.mix, self.mix
        return 1.0, float(self.weight or 0.0)

    def _cross_entropy(self, new: ModelOutput, target: Tensor) -> Tensor:
        """Float32 [N], summed over the main and the auxiliary heads."""
        heads = [
            functional.cross_entropy(logits.float(), target, reduction="none", label_smoothing=self.label_smoothing)
            for logits in (new.logits, *new.aux)
        ]
        return torch.stack(heads).sum(dim=0)


def build_objective(config: ObjectiveConfig) -> Objective:
    """The preset that `config.loss` names, with the config's own parts over it; PctError for what does not fit.

    A distance or focus without a name, or with the preset's, changes single parameters; another name replaces it.
    """
    if config.loss not in PRESETS:
        raise unknown("loss", config.loss, list(PRESETS))
    preset = PRESETS[config.loss]
    if config.weight is not None and config.mix is not None:
        raise PctError("Give either objective.weight or objective.mix, not both: they scale the same distance.")
    distance = _merged(preset.get("distance"), config.distance, "distance")
    if distance is None:
        if config.focus is not None or config.weight is not None or config.mix is not None:
            raise PctError(
                f"Loss '{config.loss}' has no distance for objective.focus, weight or mix to scale: "
                "choose another loss, or give objective.distance."
            )
        return Objective(label_smoothing=config.label_smoothing)
    focus = _merged(preset.get("focus", {"name": "all"}), config.focus, "focus") or {}
    weight, mix = _scale(preset, config)
    return Objective(DISTANCES.build(distance), FOCUSES.build(focus), weight, mix, config.label_smoothing)


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
