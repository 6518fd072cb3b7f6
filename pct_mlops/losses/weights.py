"""Checks, orders and picks weights of classes and of single examples. Nothing here reads files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pct_mlops.errors import DataError


class OnDevice:
    """A constant tensor that stays on the device of its last use, so that a run moves it once, not at every step."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def at(self, device: torch.device) -> Tensor:
        """Return the tensor on `device`."""
        if self._tensor.device != device:
            self._tensor = self._tensor.to(device)
        return self._tensor


def flat_weights(values: Any, one_for: str) -> Tensor:
    """Convert a list of finite numbers >= 0 to float32 [len].

    Raise ValueError for anything else. `one_for` says in that error what each number is for.
    """
    try:
        weights = torch.as_tensor(values, dtype=torch.float32).detach()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"give one number for each {one_for}") from None
    if weights.ndim != 1 or not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise ValueError(f"give a flat list of finite numbers >= 0, one for each {one_for}")
    return weights


def check_index(index: Tensor | None, target: Tensor, what: str) -> Tensor:
    """Return the batch's index.

    Raise ValueError when it is missing or is not int64 [N]. `what` names in that error the part that needs it.
    """
    if index is None or index.shape != target.shape or index.dtype != torch.int64:
        raise ValueError(f"{what} needs index int64 {tuple(target.shape)}: pass Batch.index")
    return index


def align_weights(table: Mapping[str, float], sample_ids: Sequence[str]) -> list[float]:
    """Return the weights of a table by sample_id, in the order of `sample_ids`.

    The focus likelihood takes them so. Raise PctError when a sample_id has no weight.
    """
    missing = [sample_id for sample_id in sample_ids if sample_id not in table]
    if missing:
        raise DataError(
            f"The table of weights lacks {len(missing)} of {len(sample_ids)} training examples, "
            f"the first is '{missing[0]}': add them, or train on the examples that it has."
        )
    return [table[sample_id] for sample_id in sample_ids]


def balanced_weights(counts: Sequence[int] | Tensor) -> tuple[float, ...]:
    """Return class weights inverse to the number of examples, from counts int [C].

    Their mean over the classes that have examples is 1. A class without examples gets 0.
    Raise PctError when no class has examples.
    """
    given = torch.as_tensor(counts, dtype=torch.float64)
    inverse = torch.where(given > 0, 1 / given.clamp(min=1), 0.0)
    if not bool((given > 0).any()):
        raise DataError("Class weights cannot be balanced on a training split without examples: give numbers instead.")
    return tuple((inverse * (given > 0).sum() / inverse.sum()).tolist())
