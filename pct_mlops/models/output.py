"""What every classifier returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ModelOutput(NamedTuple):
    """Logits [N, C], penultimate features [N, D] (None where there are none), auxiliary logits, each [N, C]."""

    logits: Tensor
    features: Tensor | None = None
    aux: tuple[Tensor, ...] = ()
