"""Flip rates as metrics for torchmetrics, which add up over batches and processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from pct_mlops.metrics.rates import NO_EXAMPLES


class FlipMetric(Metric):
    """Base of the flip rates: counts over all batches, which are summed over processes.

    All rates keep the same counts, so that a MetricCollection updates one set for all of them.
    """

    is_differentiable = False
    higher_is_better: bool | None = False
    full_state_update = False

    num_examples: Tensor
    negative_flips: Tensor
    positive_flips: Tensor
    changed: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("num_examples", "negative_flips", "positive_flips", "changed"):
            self.add_state(name, default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, old: Tensor, new: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            old: the old model's class indices [N], or its scores [N, C], of which the highest counts.
            new: the new model's predictions, in either form.
            target: the target classes, as indices int64 [N].

        Raises:
            ValueError: shapes or types do not fit, or, on the CPU, an index is negative or a score is NaN. On a GPU the
                host would have to wait for the device at every batch, so values are not checked there.
        """
        before, after = _predicted("old", old), _predicted("new", new)
        if target.is_floating_point() or not before.shape == after.shape == target.shape:
            shapes = [f"{part.dtype} {tuple(part.shape)}" for part in (old, new, target)]
            raise ValueError(f"old, new and target should be class indices of the same [N], but they are {shapes}")
        if target.device.type == "cpu" and bool((target < 0).any()):
            raise ValueError("target should be classes from 0, but one is negative: leave such examples out")
        old_right, new_right = before == target, after == target
        self.num_examples += len(target)
        self.negative_flips += (old_right & ~new_right).sum()
        self.positive_flips += (~old_right & new_right).sum()
        self.changed += (before != after).sum()

    def _rate(self, count: Tensor) -> Tensor:
        if int(self.num_examples) == 0:
            raise ValueError(NO_EXAMPLES)
        return count / self.num_examples


class NegativeFlipRate(FlipMetric):
    """Share of examples that the old model gets right and the new one wrong, over batches and processes.

    NFR of Yan et al., arXiv 2011.09161.

    Args:
        **kwargs: options of torchmetrics.Metric, for example `dist_sync_on_step`.

    Raises:
        ValueError: `compute` was called before any example was counted.

    Example:
        >>> import torch
        >>> from pct_mlops.metrics import NegativeFlipRate
        >>> rate = NegativeFlipRate()
        >>> rate.update(old=torch.tensor([0, 1]), new=torch.tensor([0, 0]), target=torch.tensor([0, 1]))
        >>> rate.compute()
        tensor(0.5000)
    """

    def compute(self) -> Tensor:
        """Return the rate over all batches so far, a float32 scalar."""
        return self._rate(self.negative_flips)


class PositiveFlipRate(FlipMetric):
    """Share of examples that the old model gets wrong and the new one right, over batches and processes.

    Args:
        **kwargs: options of torchmetrics.Metric, for example `dist_sync_on_step`.

    Raises:
        ValueError: `compute` was called before any example was counted.

    Example:
        >>> import torch
        >>> from pct_mlops.metrics import PositiveFlipRate
        >>> rate = PositiveFlipRate()
        >>> rate.update(old=torch.tensor([0, 0]), new=torch.tensor([0, 1]), target=torch.tensor([0, 1]))
        >>> rate.compute()
        tensor(0.5000)
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """Return the rate over all batches so far, a float32 scalar."""
        return self._rate(self.positive_flips)


class Churn(FlipMetric):
    """Share of examples whose prediction changed, whether right or wrong, over batches and processes.

    Args:
        **kwargs: options of torchmetrics.Metric, for example `dist_sync_on_step`.

    Raises:
        ValueError: `compute` was called before any example was counted.

    Example:
        >>> import torch
        >>> from pct_mlops.metrics import Churn
        >>> rate = Churn()
        >>> rate.update(old=torch.tensor([0, 1]), new=torch.tensor([0, 2]), target=torch.tensor([0, 0]))
        >>> rate.compute()
        tensor(0.5000)
    """

    def compute(self) -> Tensor:
        """Return the rate over all batches so far, a float32 scalar."""
        return self._rate(self.changed)


def _predicted(name: str, given: Tensor) -> Tensor:
    """Return class indices [N] from indices [N] or scores [N, C]."""
    on_cpu = given.device.type == "cpu"
    if given.ndim == 2:
        if on_cpu and bool(given.isnan().any()):
            raise ValueError(f"{name} holds a score that is no number (NaN): no class is the highest there")
        return given.argmax(dim=1)
    if given.ndim != 1 or given.is_floating_point():
        raise ValueError(
            f"{name} should be class indices [N] or scores [N, C], but it is {given.dtype} {tuple(given.shape)}"
        )
    if on_cpu and bool((given < 0).any()):
        raise ValueError(f"{name} should be classes from 0, but one is negative: leave such examples out")
    return given
