"""What every distance between the old and the new model shares: checked shapes, float32, a frozen old model."""

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
    """What a distance may have to know of the two models before training.

    Args:
        num_classes: of the new model (`Objective.bind` narrows it to its known classes).
        new_width: columns of the new model's features.
        old_width: columns of the old one's; None: it has none, for instance an ensemble of unequal widths.
        old_head: the teacher's own classifier, its rows those of the teacher's logits; None when it has no linear one.

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
    """Wrap plain logits [N, C]; TypeError for what is neither a tensor nor a ModelOutput."""
    if isinstance(given, ModelOutput):
        return given
    if not isinstance(given, Tensor):
        raise TypeError(f"give a ModelOutput or a tensor of logits [N, C], not {type(given).__name__}")
    return ModelOutput(given)


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


def check_targets(target: Tensor, num_classes: int, *, part_optional: bool) -> None:
    """Refuse targets outside [0, num_classes), or below -1 where `part_optional`; ValueError names the first.

    Looked at on the CPU alone: on a GPU the host would wait for the device at every step. There the objective's
    cross-entropy fails on such a target by an assertion of the device, and a distance by itself takes any target below
    0 for one of -1. A compiled graph cannot look at values either.
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


def name_of(catalog: Catalog[Any], part: object) -> str:
    """The name under which the part's class is registered: what its user typed."""
    return catalog.name_of(part)


class Distance(ABC):
    """One value per sample: how far the new model's answer is from the old one's.

    `distance(new, old, target)` -> float32 [N], from a ModelOutput or plain logits [N, C] of each model and targets
    int64 [N]. A target of -1 marks a sample that takes no part: its value is 0, with gradient 0, and no other sample is
    compared with it. Unequal shapes and other targets that are no classes raise ValueError (see `check_targets`); a
    missing teacher or missing features raise PctError.
    A subclass writes `per_sample` and never has to think of precision, shapes or gradients into the old model.

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

    def __call__(self, new: OutputLike, old: OutputLike | None, target: Tensor) -> Tensor:
        """Float32 [N]."""
        if self.needs_teacher and old is None:
            raise ConfigError(f"The distance {name_of(DISTANCES, self)} needs a teacher: name it in teacher.ref.")
        new, old = as_output(new), None if old is None else as_output(old)
        check_shapes(new, old, target)
        check_targets(target, new.logits.shape[1], part_optional=True)
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
                raise ConfigError(
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
