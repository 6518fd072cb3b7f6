"""Defines a distance of our own: quadratic for small differences of the logits, linear for large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch.nn import functional

from pct_mlops.losses import Distance

if TYPE_CHECKING:
    from torch import Tensor

    from pct_mlops.models import ModelOutput


@dataclass(frozen=True)
class Huber(Distance):
    """Huber's loss between the logits: outliers pull less than in l2.

    mean_c h(z_new - z_old) with h(d) = d^2 / 2 up to |d| = delta and delta * (|d| - delta / 2) beyond (Huber 1964).
    """

    delta: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return the distance of each example, float32 [N], from logits [N, C].

        The base class takes care of precision, shapes and the frozen old model.
        """
        return functional.huber_loss(new.logits, old.logits, reduction="none", delta=self.delta).mean(dim=1)
