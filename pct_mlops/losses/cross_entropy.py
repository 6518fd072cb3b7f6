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

# torch would take -100 for a target to pass over in silence, also on devices where nobody looks at targets first.
NOTHING = torch.iinfo(torch.int64).min


class WeightedValues(NamedTuple):
    """Per-sample values [N] with their weights already in them, and those weights [N]; None where all weigh 1."""

    values: Tensor
    weights: Tensor | None


class CrossEntropy:
    """Cross-entropy of every head of the new model, per sample.

    softmax: -sum_c t_c log p_c. binary: the mean over classes of the binary cross-entropy of each logit with t_c.
    t is the one-hot target, or `soft` [N, C], the shares of a mixed image; label smoothing s makes it
    (1 - s) t + s / C. Auxiliary heads add their own.

    class_weights w, as in torch.nn.functional.cross_entropy: softmax weighs each class's term by w_c; binary weighs
    the whole sample. The sample's weight, by whose sum over the batch a mean is divided, is w_y; for soft targets
    sum_c w_c t_c before smoothing, so that a one-hot `soft` is the same as a hard target (torch divides by N there).
    example_weights: float32 [num_examples], picked by the batch's `index`, multiply value and weight alike.
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
        """Float32 values and weights from float logits [N, C], int64 [N], float [N, C], int64 [N]."""
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
    """PctError unless there is one weight for each class."""
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
