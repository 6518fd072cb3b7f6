"""Distances between features: fa (alignment) and rp (random projections)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from pct_mlops.errors import ConfigError
from pct_mlops.losses.distance import DISTANCES, Binding, Distance
from pct_mlops.losses.gather import gather_rows

if TYPE_CHECKING:
    from pct_mlops.models.output import ModelOutput


@DISTANCES.register("fa")
@dataclass(frozen=True)
class FA(Distance):
    """Feature alignment: how far the new model's features are from the old one's.

    mean_d (f_new - f_old)^2 over the first D features, D the smaller width. From the original code.

    Args:
        margin: how far examples of other classes should be apart, >= 0; of the contrastive form alone.
        contrastive: the mean over the examples j of the global batch of 1/2 d^2 for those of the same class and
            1/2 max(margin - d, 0)^2 for the others, with d the Euclidean distance of f_new,i to f_old,j (Hadsell et
            al., CVPR 2006, equation 4).

    Example:
        >>> import torch
        >>> from pct_mlops import FA, ModelOutput
        >>> logits, features = torch.zeros(1, 2), torch.tensor([[1.0, 3.0]])
        >>> FA()(ModelOutput(logits, features), ModelOutput(logits, torch.zeros(1, 2)), torch.tensor([0]))
        tensor([5.])
    """

    needs_features: ClassVar[bool] = True
    across_samples: ClassVar[bool] = True

    margin: float = Field(default=3.0, ge=0, allow_inf_nan=False)
    contrastive: bool = False

    @property
    def zero_at_equality(self) -> bool:
        """Plain: yes. Contrastive: others of one's class are at a distance, and those of other classes near."""
        return not self.contrastive

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Float32 [N]; contrastive: this process's rows against the columns of all, memory N * global batch."""
        assert new.features is not None
        assert old.features is not None
        width = min(new.features.shape[1], old.features.shape[1])
        rows, columns = new.features[:, :width], old.features[:, :width]
        if not self.contrastive:
            return (rows - columns).square().mean(dim=1)
        columns, labels = gather_rows(columns), gather_rows(target)
        squared, distance = _pairwise(rows, columns)
        pairs = torch.where(target[:, None] == labels, squared, functional.relu(self.margin - distance).square()) / 2
        taking_part = labels >= 0
        return pairs.masked_fill(~taking_part, 0.0).sum(dim=1) / taking_part.sum().clamp(min=1)


def _pairwise(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances and distances [N, M] of rows [N, D] to columns [M, D], by a product: no [N, M, D]."""
    centre = columns.mean(dim=0)  # distances are the same around any origin, rounding is smallest around this one
    rows, columns = rows - centre, columns - centre
    lengths = rows.square().sum(dim=1)[:, None] + columns.square().sum(dim=1)
    squared = (lengths - 2 * rows @ columns.T).clamp(min=0)
    apart = squared > 0  # the slope of a root at 0 is infinite; features that coincide pull nowhere
    return squared, squared.where(apart, torch.ones_like(squared)).sqrt().masked_fill(~apart, 0.0)


@DISTANCES.register("rp")
@dataclass(frozen=True)
class RP(Distance):
    """Mean squared difference of random projections of the new and the old model's features.

    mean_k (W_new f_new - W_old f_old)_k^2, k = 1 .. dim_out, from the original code: entries of both W are drawn from
    N(0, 1 / dim_out), W_old stays, W_new is trained along. Feature widths of the two models may differ.
    `bind` draws them from torch's generator: seed it alike on every process and before a resume. `module` then holds
    both projections, the old one as buffers, and is None where nothing is trained.

    Args:
        dim_out: rows of both projections, >= 1.
        share: W_new = W_old, so that nothing is trained; widths must agree.
        freeze_new: W_new stays as drawn.
        normalize: each feature's weights [dim_out] in W are scaled to length 1 first.
        bias: both projections add one.

    Example:
        >>> import torch
        >>> from pct_mlops import RP, Binding, ModelOutput
        >>> distance = RP(share=True).bind(Binding(num_classes=2, new_width=3, old_width=3))
        >>> output = ModelOutput(torch.zeros(1, 2), torch.ones(1, 3))
        >>> distance(output, output, torch.tensor([0]))
        tensor([0.])
    """

    needs_features: ClassVar[bool] = True
    _projections: ClassVar[_Projections | None] = None

    dim_out: int = Field(default=128, ge=1)
    share: bool = False
    freeze_new: bool = False
    normalize: bool = False
    bias: bool = False

    @property
    def zero_at_equality(self) -> bool:
        """Only where one projection serves both sides."""
        return self.share

    @property
    def module(self) -> nn.Module | None:
        """Both projections when the new one is trained."""
        projections = self._projections
        return projections if projections is not None and any(True for _ in projections.parameters()) else None

    def bind(self, binding: Binding) -> RP:
        """A copy that owns its projections; PctError when the old model has no features or widths do not fit."""
        new_width, old_width = binding.new_width, binding.old_width
        if old_width is None:
            raise ConfigError(
                "The distance rp compares features, but the old model returns none: choose a distance on logits, "
                "or a teacher with penultimate features."
            )
        if self.share and new_width != old_width:
            raise ConfigError(
                f"rp: with share one projection serves both models, but the new model's features are {new_width} wide "
                f"and the old one's {old_width}: leave share out, or set model.embedding_dim to {old_width}."
            )
        old = self._draw(old_width)
        new = old if self.share else self._draw(new_width)
        return self.owning(_projections=_Projections(new, old, train_new=not (self.share or self.freeze_new)))

    def _draw(self, width: int) -> nn.Linear:
        projection = nn.Linear(width, self.dim_out, bias=self.bias)
        nn.init.normal_(projection.weight, std=self.dim_out**-0.5)
        if self.normalize:
            with torch.no_grad():
                projection.weight.copy_(functional.normalize(projection.weight, dim=0))
        return projection

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Float32 [N]; ValueError before `bind`, or when features are not as wide as was said there."""
        if self._projections is None:
            raise self.unbound()
        assert new.features is not None
        assert old.features is not None
        return self._projections.to(target.device)(new.features, old.features)


class _Projections(nn.Module):
    """Two linear maps; what is not trained is a buffer, so that parameters() are those of an optimizer."""

    def __init__(self, new: nn.Linear, old: nn.Linear, *, train_new: bool) -> None:
        super().__init__()
        self.old = _as_buffers(old)
        self.new = new if train_new else _as_buffers(new)

    def forward(self, new: Tensor, old: Tensor) -> Tensor:
        """[N] from features [N, D_new] and [N, D_old]."""
        widths = new.shape[1], old.shape[1]
        if widths != (self.new.in_features, self.old.in_features):
            raise ValueError(
                f"features should be {self.new.in_features} and {self.old.in_features} wide, as rp was bound to, "
                f"but they are {widths[0]} and {widths[1]}"
            )
        return (self.new(new) - self.old(old)).square().mean(dim=1)


def _as_buffers(linear: nn.Linear) -> nn.Linear:
    for name, parameter in list(linear.named_parameters()):
        delattr(linear, name)
        linear.register_buffer(name, parameter.detach())
    return linear
