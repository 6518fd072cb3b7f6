"""Weights of classes and of single examples: checked, brought into order, and picked by index. Nothing reads files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pct_mlops.errors import DataError


class OnDevice:
    """A constant tensor and its copy where it was asked for last: one transfer a run, not one a step."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def at(self, device: torch.device) -> Tensor:
        """The tensor on `device`."""
        if self._tensor.device != device:
            self._tensor = self._tensor.to(device)
        return self._tensor


def flat_weights(values: Any, one_for: str) -> Tensor:
    """Finite numbers >= 0 as float32 [len]; ValueError says what to give, `one_for` what each of them is for."""
    try:
        weights = torch.as_tensor(values, dtype=torch.float32).detach()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"give one number for each {one_for}") from None
    if weights.ndim != 1 or not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise ValueError(f"give a flat list of finite numbers >= 0, one for each {one_for}")
    return weights


def check_index(index: Tensor | None, target: Tensor, what: str) -> Tensor:
    """The batch's index; ValueError without it, or with one that is not int64 [N]."""
    if index is None or index.shape != target.shape or index.dtype != torch.int64:
        raise ValueError(f"{what} needs index int64 {tuple(target.shape)}: pass Batch.index")
    return index


def align_weights(table: Mapping[str, float], sample_ids: Sequence[str]) -> list[float]:
    """Weights keyed by sample_id in the order of `sample_ids`, for focus likelihood; PctError when one is missing."""
    missing = [sample_id for sample_id in sample_ids if sample_id not in table]
    if missing:
        raise DataError(
            f"The table of weights lacks {len(missing)} of {len(sample_ids)} training samples, "
            f"the first is '{missing[0]}': add them, or train on the samples that it has."
        )
    return [table[sample_id] for sample_id in sample_ids]


def balanced_weights(counts: Sequence[int] | Tensor) -> tuple[float, ...]:
    """Class weights inverse to the number of examples, with mean 1, from int [C]; a class without any gets 0.

    The mean is over the classes that have examples. PctError when none has.
    """
    given = torch.as_tensor(counts, dtype=torch.float64)
    inverse = torch.where(given > 0, 1 / given.clamp(min=1), 0.0)
    if not bool((given > 0).any()):
        raise DataError("Class weights cannot be balanced on a training split without examples: give numbers instead.")
    return tuple((inverse * (given > 0).sum() / inverse.sum()).tolist())
