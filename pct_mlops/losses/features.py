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
    """Feature alignment: mean squared difference of the new and the old model's features.

    mean_d (f_new - f_old)^2 over the first D features, D the smaller width. From the original code.

    Args:
        margin: how far examples of other classes should be apart, >= 0. Only the contrastive form uses it.
        contrastive: compare with every example j of the global batch instead. The value is the mean over j of 1/2 d^2
            for the same class and 1/2 max(margin - d, 0)^2 for other classes, with d the Euclidean distance of f_new,i
            to f_old,j (Hadsell et al., CVPR 2006, equation 4).

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
        """True for the plain form. The contrastive one compares different examples, even where both models agree."""
        return not self.contrastive

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return float32 [N].

        The contrastive form compares the rows of this process with the columns of all processes. Its memory grows with
        N * global batch.
        """
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
    """Compute squared distances and distances [N, M] of rows [N, D] to columns [M, D].

    A matrix product keeps it from making a tensor [N, M, D].
    """
    centre = columns.mean(dim=0)  # any origin gives the same distances, and this one rounds least
    rows, columns = rows - centre, columns - centre
    lengths = rows.square().sum(dim=1)[:, None] + columns.square().sum(dim=1)
    squared = (lengths - 2 * rows @ columns.T).clamp(min=0)
    apart = squared > 0  # the slope of a root at 0 is infinite, so equal features get gradient 0
    return squared, squared.where(apart, torch.ones_like(squared)).sqrt().masked_fill(~apart, 0.0)


@DISTANCES.register("rp")
@dataclass(frozen=True)
class RP(Distance):
    """Mean squared difference of random projections of the new and the old model's features.

    mean_k (W_new f_new - W_old f_old)_k^2, k = 1 .. dim_out: from the original code. Entries of both W are drawn from
    N(0, 1 / dim_out). W_old is frozen, and W_new is trained with the model. Feature widths of both may differ.
    `bind` draws both W from torch's generator: seed it alike on every process and before a resume. `module` then holds
    both projections, the old one as buffers. It is None where nothing is trained.

    Args:
        dim_out: rows of both projections, >= 1.
        share: use W_old as W_new too, so that nothing is trained. Feature widths must agree.
        freeze_new: keep W_new as it was drawn.
        normalize: scale each feature's weights [dim_out] in W to length 1 after drawing them.
        bias: let both projections add a bias.

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
        """True when one projection serves both models."""
        return self.share

    @property
    def module(self) -> nn.Module | None:
        """Both projections when the new one is trained, else None."""
        projections = self._projections
        return projections if projections is not None and any(True for _ in projections.parameters()) else None

    def bind(self, binding: Binding) -> RP:
        """Return a copy that owns its projections.

        Raise PctError when the old model has no features, or when `share` is set and the widths differ.
        """
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
        """Return float32 [N].

        Raise ValueError before `bind`, or when features have another width than `bind` was told.
        """
        if self._projections is None:
            raise self.unbound()
        assert new.features is not None
        assert old.features is not None
        return self._projections.to(target.device)(new.features, old.features)


class _Projections(nn.Module):
    """Two linear maps. A map that is not trained consists of buffers, so that parameters() holds only trained ones."""

    def __init__(self, new: nn.Linear, old: nn.Linear, *, train_new: bool) -> None:
        super().__init__()
        self.old = _as_buffers(old)
        self.new = new if train_new else _as_buffers(new)

    def forward(self, new: Tensor, old: Tensor) -> Tensor:
        """Return [N] from features [N, D_new] and [N, D_old]."""
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
