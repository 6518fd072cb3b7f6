"""The objective's own cross-entropy: softmax or binary, hard or soft targets, weights of classes and examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pct_mlops.errors import ConfigError
from pct_mlops.losses.weights import OnDevice, check_index

if TYPE_CHECKING:
    from pct_mlops.models.output import ModelOutput

# torch ignores targets of -100 unless it is told otherwise. Targets are checked on the CPU alone, so on a GPU such an
# example would drop out silently. No target has this value.
NOTHING = torch.iinfo(torch.int64).min


class WeightedValues(NamedTuple):
    """Values of the examples [N] with their weights already in them, and those weights [N].

    `weights` is None where all weigh 1.
    """

    values: Tensor
    weights: Tensor | None


class CrossEntropy:
    """Cross-entropy of every head of the new model, one value per example.

    Kind "softmax" is -sum_c t_c log p_c. Kind "binary" is the mean over classes of the binary cross-entropy of each
    logit with t_c. Here t is the one-hot target, or `soft` [N, C], the label shares of a mixed image. Label smoothing s
    turns t into (1 - s) t + s / C. Auxiliary heads add their own cross-entropy.

    Class weights w act as in torch.nn.functional.cross_entropy: softmax multiplies the term of each class by w_c, and
    binary multiplies the whole value by the weight of the example.
    The weight of an example is w_y, or sum_c w_c t_c before smoothing for soft targets. A mean is divided by the sum of
    these weights over the batch. A one-hot `soft` therefore gives the same as a hard target (torch divides by N there).
    Example weights, float32 [num_examples], are picked by the batch's `index` and multiply both value and weight.
    """

    def __init__(
        self,
        kind: Literal["softmax", "binary"],
        label_smoothing: float,
        class_weights: Tensor | None,
        example_weights: Tensor | None,
    ) -> None:
        self._kind, self._label_smoothing = kind, label_smoothing
        self._class_weights = None if class_weights is None else OnDevice(class_weights)
        self._example_weights = None if example_weights is None else OnDevice(example_weights)

    def __call__(
        self, new: ModelOutput, target: Tensor, soft: Tensor | None = None, index: Tensor | None = None
    ) -> WeightedValues:
        """Return float32 values and weights [N].

        Takes float logits [N, C], `target` int64 [N], `soft` float [N, C] and `index` int64 [N].
        """
        device = target.device
        class_weights = None if self._class_weights is None else self._class_weights.at(device)
        if class_weights is not None:
            check_num_weights(len(class_weights), new.logits.shape[1])
        one_of = self._softmax if self._kind == "softmax" else self._binary
        targets = target if soft is None else _checked(soft, new.logits)
        heads = [one_of(logits.float(), targets, class_weights) for logits in (new.logits, *new.aux)]
        values, weights = torch.stack(heads).sum(dim=0), None
        if class_weights is not None:
            weights = class_weights[target] if soft is None else targets @ class_weights
        if self._example_weights is not None:
            of_example = self._example_weights.at(device)[check_index(index, target, "ce_weights")]
            values, weights = values * of_example, of_example if weights is None else weights * of_example
        return WeightedValues(values, weights)

    def _softmax(self, logits: Tensor, targets: Tensor, class_weights: Tensor | None) -> Tensor:
        return functional.cross_entropy(
            logits,
            targets,
            weight=class_weights,
            reduction="none",
            label_smoothing=self._label_smoothing,
            ignore_index=NOTHING,
        )

    def _binary(self, logits: Tensor, targets: Tensor, class_weights: Tensor | None) -> Tensor:
        num_classes, smoothing = logits.shape[1], self._label_smoothing
        shares = targets if targets.ndim == 2 else functional.one_hot(targets, num_classes).to(logits.dtype)
        smoothed = (1 - smoothing) * shares + smoothing / num_classes
        values = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none").mean(dim=1)
        return values if class_weights is None else values * (shares @ class_weights)


def check_num_weights(num_weights: int, num_classes: int) -> None:
    """Raise PctError unless there is one weight for each class."""
    if num_weights != num_classes:
        raise ConfigError(
            f"objective.class_weights has {num_weights} numbers, but there are {num_classes} classes: "
            "give one for each class."
        )


def _checked(soft: Tensor, logits: Tensor) -> Tensor:
    if soft.shape != logits.shape or not soft.is_floating_point():
        shape = tuple(logits.shape)
        raise ValueError(f"soft targets should be float {shape}, but they are {soft.dtype} {tuple(soft.shape)}")
    return soft.float()
