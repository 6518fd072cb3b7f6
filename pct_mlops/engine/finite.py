"""Stops a training that has diverged, before its weights are scored, selected or saved."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from pct_mlops.errors import TrainingError


class FiniteWeights:
    """The parameters and buffers of a training that are finite at its start. They must stay so.

    Others are left alone: an attention mask, for example, holds -inf.
    """

    def __init__(self, *modules: nn.Module) -> None:
        self._modules = modules
        # Names, because a checkpoint that is loaded may bring other tensors.
        self._left_alone = {name for name, tensor in self._named() if not _is_finite(tensor)}

    @torch.no_grad()
    def check(self, accelerator: Accelerator, epoch: int, step: int, lr: float) -> None:
        """Raise TrainingError on all processes where a weight of one is not finite. Call it on all of them."""
        tensors = [tensor for name, tensor in self._named() if name not in self._left_alone]
        # One norm over all weights is read, and each weight only where its squares are too large for it.
        broken = not bool(get_total_norm(tensors).isfinite()) and not all(map(_is_finite, tensors))
        bad = accelerator.reduce(torch.tensor(float(broken), device=accelerator.device), reduction="sum")
        if bool(bad > 0):
            raise diverged("the weights were not finite after", epoch, step, lr)

    def _named(self) -> Iterator[tuple[tuple[int, str], Tensor]]:
        for number, module in enumerate(self._modules):
            for name, tensor in chain(module.named_parameters(), module.named_buffers()):
                if tensor.is_floating_point():
                    yield (number, name), tensor


def _is_finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())


def diverged(what: str, epoch: int, step: int, lr: float) -> TrainingError:
    """Return the error of a training that cannot go on. `epoch` counts from 0 and `step` from 1."""
    return TrainingError(
        f"Training diverged: {what} epoch {epoch + 1}, step {step} (lr {lr:.3g}); start again with a lower optim.lr or "
        "a longer optim.warmup_epochs, because --resume only repeats the same steps from the last good checkpoint."
    )
