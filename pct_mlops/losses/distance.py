"""The base of every distance to the old model: it checks shapes, computes in float32 and freezes the old model."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from pct_mlops.config import Catalog
from pct_mlops.errors import ConfigError
from pct_mlops.models.output import ModelOutput

DistanceT = TypeVar("DistanceT", bound="Distance")
# Plain logits stand for an output without features.
OutputLike: TypeAlias = ModelOutput | Tensor


class Binding(NamedTuple):
    """Facts about both models that a distance may need before training.

    Args:
        num_classes: number of the new model's classes. `Objective.bind` passes that of its known classes instead.
        new_width: columns of the new model's features.
        old_width: columns of the old model's features. None when it has none, for instance an ensemble of unequal
            widths.
        old_head: the teacher's own classifier, with one row for each column of the teacher's logits. None when it has
            no linear one.

    Example:
        >>> from pct_mlops import RP, Binding
        >>> RP(dim_out=4).bind(Binding(num_classes=10, new_width=64, old_width=32)).module.new.weight.shape
        torch.Size([4, 64])
    """

    num_classes: int
    new_width: int
    old_width: int | None = None
    old_head: nn.Linear | None = None


def as_output(given: OutputLike) -> ModelOutput:
    """Wrap plain logits [N, C] in a ModelOutput.

    A ModelOutput is returned as it is. Raise TypeError for anything else.
    """
    if isinstance(given, ModelOutput):
        return given
    if not isinstance(given, Tensor):
        raise TypeError(f"give a ModelOutput or a tensor of logits [N, C], not {type(given).__name__}")
    return ModelOutput(given)


def full_precision(tensor: Tensor) -> torch.autocast:
    """Return a context that switches autocast off on the tensor's device.

    At a temperature of 0.01 or 100 half precision would have no digits left.
    """
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def in_float32(output: ModelOutput) -> ModelOutput:
    """Convert an output to float32, still attached to its graph."""
    features = None if output.features is None else output.features.float()
    return output._replace(logits=output.logits.float(), features=features, aux=tuple(a.float() for a in output.aux))


def frozen(output: ModelOutput) -> ModelOutput:
    """Detach an output from its graph, so that no gradient reaches its model."""
    features = None if output.features is None else output.features.detach()
    return output._replace(logits=output.logits.detach(), features=features, aux=tuple(a.detach() for a in output.aux))


def check_shapes(new: ModelOutput, old: ModelOutput | None, target: Tensor) -> None:
    """Raise ValueError unless both models' logits have the same shape [N, C] and targets are int64 [N].

    Nothing may broadcast: weights [N, 1] times losses [N] would silently become [N, N].
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


def check_targets(target: Tensor, num_classes: int, *, part_optional: bool) -> None:
    """Raise ValueError when a target is no class, 0 to num_classes - 1. With `part_optional` -1 is allowed too.

    Only targets on the CPU are checked: on a GPU the host would wait for the device at every step. There the
    objective's cross-entropy stops at such a target with an assertion of the device. A distance on its own treats any
    target below 0 as -1 there. A compiled graph cannot check values either.
    """
    if target.device.type != "cpu" or torch.compiler.is_compiling() or target.numel() == 0:
        return
    lowest, highest = (int(value) for value in target.aminmax())
    least = -1 if part_optional else 0
    if least <= lowest and highest < num_classes:
        return
    wrong = lowest if lowest < least else highest
    none = ", or -1 for an example that takes no part" if part_optional else ""
    advice = (
        "no target is ignored here as torch's ignore_index is, so leave such examples out of the batch"
        if wrong < 0
        else "give the model more classes, or number them from 0"
    )
    raise ValueError(f"targets should be classes 0 to {num_classes - 1}{none}, but one is {wrong}: {advice}")


class Distance(ABC):
    """Base of all distances: one value per example that says how far the new model is from the old one.

    `distance(new, old, target)` returns float32 [N]. It takes a ModelOutput or plain logits [N, C] of each model, and
    targets int64 [N]. A target of -1 marks an example that takes no part: its value and gradient are 0, and no other
    example is compared with it. Unequal shapes, and other targets that are no classes, raise ValueError (see
    `check_targets`). A missing teacher and missing features raise PctError.
    A subclass writes `per_sample` only. This class takes care of precision, shapes and the frozen old model.

    Example:
        >>> import torch
        >>> from pct_mlops import Distance
        >>> class L1(Distance):
        ...     def per_sample(self, new, old, target):
        ...         return (new.logits - old.logits).abs().mean(dim=1)
        >>> L1()(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
        tensor([1.])
    """

    @property
    def needs_teacher(self) -> bool:
        """True when `old` must be given."""
        return True

    @property
    def needs_features(self) -> bool:
        """True when both models must return features."""
        return False

    @property
    def needs_old_head(self) -> bool:
        """True when it must be bound to the teacher's own classifier."""
        return False

    @property
    def across_samples(self) -> bool:
        """True when an example's value depends on other examples, so that `per_sample` must see the targets of -1."""
        return False

    @property
    def zero_at_equality(self) -> bool:
        """True when the value is 0 where both models give the same output."""
        return True

    @property
    def module(self) -> nn.Module | None:
        """The part that is trained along with the model, once bound, or None when nothing is."""
        return None

    def bind(self: DistanceT, binding: Binding) -> DistanceT:
        """Return this distance, or a copy that owns the modules that it needs for these two models.

        Raise PctError when the models do not fit the distance.
        """
        return self

    def __call__(self, new: OutputLike, old: OutputLike | None, target: Tensor) -> Tensor:
        """Return the value of each example, float32 [N]."""
        if self.needs_teacher and old is None:
            raise ConfigError(f"The distance {DISTANCES.name_of(self)} needs a teacher: name it in teacher.ref.")
        new, old = as_output(new), None if old is None else as_output(old)
        check_shapes(new, old, target)
        check_targets(target, new.logits.shape[1], part_optional=True)
        if self.needs_features:
            self._check_features(new, old, target)
        seen = target if self.across_samples else target.clamp(min=0)
        with full_precision(new.logits):
            values = self.per_sample(in_float32(new), in_float32(frozen(new if old is None else old)), seen)
        # A subclass may return a wrong shape, for example [N, 1]. The objective refuses it.
        return values.masked_fill(target < 0, 0.0) if values.shape == target.shape else values

    def _check_features(self, new: ModelOutput, old: ModelOutput | None, target: Tensor) -> None:
        for which, output in (("new", new), ("old", old)):
            if output is None or output.features is None:
                raise ConfigError(
                    f"The distance {DISTANCES.name_of(self)} compares features, but the {which} model returns none: "
                    "choose a distance on logits, or a model with penultimate features."
                )
            if output.features.ndim != 2 or output.features.shape[0] != target.shape[0]:
                shape = tuple(output.features.shape)
                raise ValueError(f"features should be [{target.shape[0]}, D], but the {which} model's are {shape}")

    @abstractmethod
    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return float32 [N] from float32 outputs of equal shapes.

        `old` is detached. Where no old model is given, it is the detached `new`.
        """

    def owning(self: DistanceT, **parts: Any) -> DistanceT:
        """Return a copy of this frozen object that owns these parts and keeps its parameters."""
        bound = copy.copy(self)
        for name, part in parts.items():
            object.__setattr__(bound, name, part)
        return bound

    def unbound(self) -> ValueError:
        """Build the error for a call before `bind`.

        It is a ValueError because the mistake is in a program, not in a recipe.
        """
        return ValueError(f"the distance {DISTANCES.name_of(self)} must be bound first: call bind(Binding(...))")


DISTANCES: Catalog[Distance] = Catalog("distance", group="pct_mlops.distances", produces=Distance)
