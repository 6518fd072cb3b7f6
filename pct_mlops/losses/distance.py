"""What every distance between the old and the new model shares: checked shapes, float32, a frozen old model."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from pct_mlops.config import Catalog, PctError

if TYPE_CHECKING:
    from pct_mlops.models.output import ModelOutput

DistanceT = TypeVar("DistanceT", bound="Distance")


class Binding(NamedTuple):
    """What a distance may have to know of the two models before training.

    `num_classes`: of the new model (`Objective.bind` narrows it to its known classes). `new_width`, `old_width`:
    columns of their features; None: the old model, for instance an ensemble of unequal widths, has none. `old_head`:
    the teacher's own classifier, its rows those of the teacher's logits; None when it has no linear one.
    """

    num_classes: int
    new_width: int
    old_width: int | None = None
    old_head: nn.Linear | None = None


def full_precision(tensor: Tensor) -> torch.autocast:
    """Autocast switched off on the tensor's device: a temperature of 0.01 or 100 leaves half precision no digits."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def in_float32(output: ModelOutput) -> ModelOutput:
    """The same output in float32, still attached to its graph."""
    features = None if output.features is None else output.features.float()
    return output._replace(logits=output.logits.float(), features=features, aux=tuple(a.float() for a in output.aux))


def frozen(output: ModelOutput) -> ModelOutput:
    """The same output without its graph: no gradient reaches the old model, whoever computed it."""
    features = None if output.features is None else output.features.detach()
    return output._replace(logits=output.logits.detach(), features=features, aux=tuple(a.detach() for a in output.aux))


def check_shapes(new: ModelOutput, old: ModelOutput | None, target: Tensor) -> None:
    """Logits must be [N, C] and equal for both models, targets int64 [N]; ValueError says what was given.

    Nothing here may broadcast: weights [N, 1] times losses [N] is a silent [N, N].
    """
    shape = tuple(new.logits.shape)
    if len(shape) != 2:
        raise ValueError(f"logits should be [N, C], but they are {shape}")
    if tuple(target.shape) != shape[:1] or target.dtype != torch.int64:
        raise ValueError(f"targets should be int64 {shape[:1]}, but they are {target.dtype} {tuple(target.shape)}")
    if any(tuple(aux.shape) != shape for aux in new.aux):
        raise ValueError(f"auxiliary logits should be {shape}, but they are {[tuple(a.shape) for a in new.aux]}")
    if old is not None and tuple(old.logits.shape) != shape:
        raise ValueError(f"new logits are {shape}, but old logits are {tuple(old.logits.shape)}")


def name_of(catalog: Catalog[Any], part: object) -> str:
    """The name under which the part's class is registered: what its user typed."""
    return catalog.name_of(part)


class Distance(ABC):
    """One value per sample: how far the new model's answer is from the old one's.

    `distance(new, old, target)` -> float32 [N]; logits [N, C], features [N, D], targets int64 [N]. A target of -1 marks
    a sample that takes no part: its value is 0, with gradient 0, and no other sample is compared with it.
    Unequal shapes raise ValueError; a missing teacher or missing features raise PctError.
    A subclass writes `per_sample` and never has to think of precision, shapes or gradients into the old model.
    """

    @property
    def needs_teacher(self) -> bool:
        """Whether `old` must be given."""
        return True

    @property
    def needs_features(self) -> bool:
        """Whether both models must return features."""
        return False

    @property
    def needs_old_head(self) -> bool:
        """Whether it must be bound to the teacher's own classifier."""
        return False

    @property
    def across_samples(self) -> bool:
        """Whether a sample's value depends on others, so that `per_sample` has to see the targets of -1."""
        return False

    @property
    def zero_at_equality(self) -> bool:
        """Whether it vanishes where both models give the same output."""
        return True

    @property
    def module(self) -> nn.Module | None:
        """What of it is trained along, once bound; None when that is nothing."""
        return None

    def bind(self: DistanceT, binding: Binding) -> DistanceT:
        """Itself, or a copy that owns the modules which it needs; PctError when the two models do not fit it."""
        return self

    def __call__(self, new: ModelOutput, old: ModelOutput | None, target: Tensor) -> Tensor:
        """Float32 [N]."""
        if self.needs_teacher and old is None:
            raise PctError(f"The distance {name_of(DISTANCES, self)} needs a teacher: name it in teacher.ref.")
        check_shapes(new, old, target)
        if self.needs_features:
            self._check_features(new, old, target)
        seen = target if self.across_samples else target.clamp(min=0)
        with full_precision(new.logits):
            values = self.per_sample(in_float32(new), in_float32(frozen(new if old is None else old)), seen)
        # Rows of a distance of the wrong shape, [N, 1], are left to the objective, which refuses them.
        return values.masked_fill(target < 0, 0.0) if values.shape == target.shape else values

    def _check_features(self, new: ModelOutput, old: ModelOutput | None, target: Tensor) -> None:
        for which, output in (("new", new), ("old", old)):
            if output is None or output.features is None:
                raise PctError(
                    f"The distance {name_of(DISTANCES, self)} compares features, but the {which} model returns none: "
                    "choose a distance on logits, or a model with penultimate features."
                )
            if output.features.ndim != 2 or output.features.shape[0] != target.shape[0]:
                shape = tuple(output.features.shape)
                raise ValueError(f"features should be [{target.shape[0]}, D], but the {which} model's are {shape}")

    @abstractmethod
    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Float32 [N] from float32 outputs of equal shapes; `old` is detached (and is `new` where none is needed)."""

    def owning(self: DistanceT, **parts: Any) -> DistanceT:
        """A copy of the frozen object that owns these parts; its parameters stay."""
        bound = copy.copy(self)
        for name, part in parts.items():
            object.__setattr__(bound, name, part)
        return bound

    def unbound(self) -> ValueError:
        """What a distance says that is called before it was bound: a mistake in a program, not in a recipe."""
        return ValueError(f"the distance {name_of(DISTANCES, self)} must be bound first: call bind(Binding(...))")


DISTANCES: Catalog[Distance] = Catalog("distance", group="pct_mlops.distances", produces=Distance)
