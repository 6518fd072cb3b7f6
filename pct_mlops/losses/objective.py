"""The objective: cross-entropy plus the weighted distance to the old model, and the only place that reduces losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn

from pct_mlops.errors import ConfigError
from pct_mlops.losses.cross_entropy import CrossEntropy, WeightedValues, check_num_weights
from pct_mlops.losses.distance import (
    Binding,
    Distance,
    OutputLike,
    as_output,
    check_shapes,
    check_targets,
    full_precision,
)
from pct_mlops.losses.focuses import AllExamples, Focus
from pct_mlops.losses.gather import mean_over_processes
from pct_mlops.losses.weights import OnDevice, flat_weights

if TYPE_CHECKING:
    from pct_mlops.models.output import ModelOutput


class LossTerms(NamedTuple):
    """The scalar to minimise, and its parts for each example.

    Attributes:
        total: the scalar, float32, whose gradient reaches the new model alone.
        cross_entropy: [N], multiplied by the weights of classes and examples.
        distance: [N].
        focus: [N], without gradient.

    Example:
        >>> import torch
        >>> from pct_mlops import L2, Objective
        >>> terms = Objective(L2(), weight=1.0)(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([0]))
        >>> round(float(terms.total), 4), terms.distance, terms.focus
        (1.1931, tensor([0.5000]), tensor([1.]))
    """

    total: Tensor
    cross_entropy: Tensor
    distance: Tensor
    focus: Tensor


@dataclass(frozen=True)
class Objective:
    """CE + weight * mean(focus * distance), or (1 - mix) * CE + mix * mean(focus * distance).

    Yan et al., arXiv 2011.09161, equation 4. A `mix` has the same direction as weight = mix / (1 - mix), on another
    overall scale. Give one of them, or neither where there is no distance.

    CE is over all classes and every head. Where examples have weights, CE is the weighted sum over the global batch
    divided by the sum of the weights there, as in torch's reduction "mean". Weights do not change the distance.

    Mixed images (`soft`): CE takes the shares of the labels. The distance compares both models' outputs on the same
    mixed image. Distance and focus take `target`, the label with the larger share.

    With `known_classes` the distance sees the new logits of these classes only. Examples of other classes take no part
    in it: their distance and focus are 0, and no example is compared with them. The mean is still over the whole batch.
    The focus takes each model's prediction over all of its classes. When the new model predicts a class that the old
    one does not know, on an example that the old one had right, that is a negative flip.

    Args:
        distance: the distance to the old model. None means cross-entropy alone.
        focus: weighs the distance of each example. None means that all weigh 1.
        weight: factor of the distance beside the cross-entropy.
        mix: share of the distance, in [0, 1].
        label_smoothing: of the cross-entropy, in [0, 1).
        class_weights: [C], of the cross-entropy.
        cross_entropy: "softmax", or "binary" for the mean over classes of binary cross-entropies.
        ce_weights: [num_examples], of the cross-entropy, picked by the batch's `index`.
        known_classes: the classes of the new model that the teacher knows too, in the order of the teacher's logits
            [N, K].

    Raises:
        ValueError: parts do not go together, for example both weight and mix, or a number is out of its range.
        PctError: weights are not numbers >= 0, or none is above 0.

    Example:
        >>> import torch
        >>> from pct_mlops import LDI, Objective
        >>> objective = Objective(LDI(margin=0.5), mix=0.5)
        >>> new, old = torch.tensor([[2.5, 0.0]], requires_grad=True), torch.zeros(1, 2)
        >>> terms = objective(new, old, torch.tensor([0]))
        >>> terms.total.backward()
        >>> round(terms.total.item(), 4)
        1.0394
    """

    distance: Distance | None = None
    focus: Focus | None = None
    weight: float | None = None
    mix: float | None = None
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | Tensor | None = None
    cross_entropy: Literal["softmax", "binary"] = "softmax"
    ce_weights: Sequence[float] | Tensor | None = field(default=None, repr=False, compare=False)
    known_classes: tuple[int, ...] | None = None
    _ce: CrossEntropy = field(init=False, repr=False, compare=False)
    _known: OnDevice | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.distance is None:
            if self.focus is not None or self.weight is not None or self.mix is not None:
                raise ValueError("an objective without a distance has no focus, weight or mix")
        elif (self.weight is None) == (self.mix is None):
            raise ValueError("an objective with a distance needs either weight or mix")
        elif self.focus is None:
            object.__setattr__(self, "focus", AllExamples())
        # Written so that NaN is refused too.
        if self.mix is not None and not 0 <= self.mix <= 1:
            raise ValueError(f"mix should be from 0 to 1, but is {self.mix}")
        if self.weight is not None and not 0 <= self.weight < math.inf:
            raise ValueError(f"weight should be a number from 0 up, but is {self.weight}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing should be from 0 to below 1, but is {self.label_smoothing}")
        class_weights = _weights_or_none(self.class_weights, "class_weights", "class")
        ce_weights = _weights_or_none(self.ce_weights, "ce_weights", "training example")
        known = _known_or_none(self.known_classes)
        # The class is frozen, so fields are set this way. Fields that are compared hold hashable values, not tensors.
        object.__setattr__(self, "class_weights", None if class_weights is None else tuple(class_weights.tolist()))
        object.__setattr__(self, "ce_weights", ce_weights)
        object.__setattr__(self, "_known", known)
        ce = CrossEntropy(self.cross_entropy, self.label_smoothing, class_weights, ce_weights)
        object.__setattr__(self, "_ce", ce)

    @property
    def needs_teacher(self) -> bool:
        """True when `old` must be given."""
        return any(part is not None and part.needs_teacher for part in (self.distance, self.focus))

    @property
    def needs_features(self) -> bool:
        """True when both models must return features."""
        return self.distance is not None and self.distance.needs_features

    @property
    def needs_old_head(self) -> bool:
        """True when it must be bound to the teacher's own classifier."""
        return self.distance is not None and self.distance.needs_old_head

    @property
    def needs_index(self) -> bool:
        """True when the batch's `index` must be given."""
        return self.ce_weights is not None or (self.focus is not None and self.focus.needs_index)

    @property
    def module(self) -> nn.Module | None:
        """The part that is trained along with the model, once bound, or None.

        Move, optimise, average and save it together with the model.
        """
        return None if self.distance is None else self.distance.module

    def bind(self, binding: Binding) -> Objective:
        """Return a copy whose distance knows both models.

        Raise PctError when the models do not fit the distance or the class weights.
        """
        if self.class_weights is not None:
            check_num_weights(len(self.class_weights), binding.num_classes)
        if self.distance is None:
            return self
        if self.known_classes is not None:
            binding = binding._replace(num_classes=len(self.known_classes))
        return replace(self, distance=self.distance.bind(binding))

    def __call__(
        self,
        new: OutputLike,
        old: OutputLike | None,
        target: Tensor,
        *,
        index: Tensor | None = None,
        soft: Tensor | None = None,
    ) -> LossTerms:
        """Compute the loss terms of a batch in float32. No gradient reaches `old`.

        Args:
            new: output of the model in training, or its logits [N, C]. Auxiliary heads add their own cross-entropy.
            old: output of the teacher, or its logits. May be None unless `needs_teacher`.
            target: classes, int64 [N].
            index: rows of the examples in the training split, int64 [N], where `needs_index`.
            soft: label shares of mixed images, float [N, C].

        Raises:
            ValueError: shapes differ, a target is no class, or the batch is empty.
            PctError: the teacher or features are missing.
        """
        new, old = as_output(new), None if old is None else as_output(old)
        check_shapes(new, None if self.known_classes is not None else old, target)
        check_targets(target, new.logits.shape[1], part_optional=False)
        if len(target) == 0:
            raise ValueError("the loss of an empty batch is undefined")
        with full_precision(new.logits):
            ce = self._ce(new, target, soft, index)
            if self.distance is None or self.focus is None:
                none, even = torch.zeros_like(ce.values), torch.ones_like(ce.values)
                return LossTerms(_mean(ce), ce.values, none, even)
            given = (index,) if self.focus.needs_index else ()
            if self.known_classes is None:
                distance, focus = self.distance(new, old, target), self.focus(new, old, target, *given)
            else:
                distance, focus = self._over_known(new, old, target, given)
            if not ce.values.shape == distance.shape == focus.shape:
                shapes = tuple(ce.values.shape), tuple(distance.shape), tuple(focus.shape)
                raise ValueError(f"cross-entropy, distance and focus should all be [N], but they are {shapes}")
            ce_share, distance_share = self._shares()
            total = ce_share * _mean(ce) + distance_share * (focus * distance).mean()
        return LossTerms(total, ce.values, distance, focus)

    def _shares(self) -> tuple[float, float]:
        if self.mix is not None:
            return 1.0 - self.mix, self.mix
        return 1.0, float(self.weight or 0.0)

    def _over_known(
        self, new: ModelOutput, old: ModelOutput | None, target: Tensor, given: tuple[Tensor | None, ...]
    ) -> tuple[Tensor, Tensor]:
        """Return distance and focus [N] over the known classes.

        `given` holds what the focus takes beside outputs and targets.
        """
        assert self.distance is not None
        assert self.focus is not None
        assert self._known is not None
        classes, num_classes = self._known.at(target.device), new.logits.shape[1]
        if max(self.known_classes or ()) >= num_classes:
            raise ValueError(f"known_classes should be below {num_classes}, but they are {self.known_classes}")
        position = torch.full((num_classes,), -1, device=target.device)
        position = position.scatter(0, classes, torch.arange(len(classes), device=target.device))[target]
        narrowed = new._replace(logits=new.logits.index_select(1, classes), aux=())
        # Examples of unknown classes go through too: processes that gather must bring equal numbers of rows.
        values = self.distance(narrowed, old, position)
        check_shapes(narrowed, old, position)
        wide = None if old is None else _widened(old, classes, num_classes)
        weights = self.focus(new, wide, target, *given)
        return values, weights.masked_fill(position < 0, 0.0)


def _mean(ce: WeightedValues) -> Tensor:
    """Return this process's part of the weighted mean over the global batch, 0 where all weigh 0.

    Averaging gradients over processes, as data-parallel training does, gives the gradient of that mean.
    """
    if ce.weights is None:
        return ce.values.mean()
    total = mean_over_processes(ce.weights.sum())
    return ce.values.sum() / total.masked_fill(total == 0, 1.0)


def _widened(old: ModelOutput, classes: Tensor, num_classes: int) -> ModelOutput:
    """Return the old output with logits [N, C], where classes that it does not know have -inf."""
    logits = old.logits.new_full((len(old.logits), num_classes), -torch.inf)
    return old._replace(logits=logits.index_copy(1, classes, old.logits.detach()), aux=())


def _weights_or_none(values: Sequence[float] | Tensor | None, key: str, one_for: str) -> Tensor | None:
    if values is None:
        return None
    try:
        weights = flat_weights(values, one_for)
    except ValueError as error:
        raise ConfigError(f"Invalid objective.{key}: {error}.") from None
    if not bool((weights > 0).any()):
        raise ConfigError(f"Invalid objective.{key}: at least one should be above 0.")
    return weights


def _known_or_none(classes: tuple[int, ...] | None) -> OnDevice | None:
    if classes is None:
        return None
    if not classes or min(classes) < 0 or len(set(classes)) < len(classes):
        raise ValueError(f"known_classes should be distinct classes of the new model, at least one, not {classes}")
    return OnDevice(torch.tensor(classes))
