"""The output of every classifier."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ModelOutput(NamedTuple):
    """Output of a classifier for a batch. Plain logits are taken wherever only these are needed.

    Args:
        logits: [N, C].
        features: penultimate features [N, D], or None where there are none.
        aux: logits of auxiliary heads, each [N, C].

    Example:
        >>> import torch
        >>> from pct_mlops import ModelOutput
        >>> ModelOutput(torch.zeros(2, 10)).features is None
        True
    """

    logits: Tensor
    features: Tensor | None = None
    aux: tuple[Tensor, ...] = ()
