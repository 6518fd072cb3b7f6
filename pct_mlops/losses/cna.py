"""Contrastive neighbourhood alignment: it keeps the neighbours that examples have in the old model's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional

from pct_mlops.losses.distance import DISTANCES, Distance
from pct_mlops.losses.gather import gather_rows, process_rank

if TYPE_CHECKING:
    from pct_mlops.models.output import ModelOutput


@DISTANCES.register("cna")
@dataclass(frozen=True)
class CNA(Distance):
    """Contrastive loss that keeps each example close to its nearest neighbours in the old model's features.

    Zhu et al., arXiv 2201.01922. The positives of an example are its top_k nearest other examples in the global batch,
    by the cosine between old features. A batch with fewer others gives fewer positives.
    An example without positives has the value 0. Feature widths of the two models may differ.
    Examples that take no part (target -1) are neither positives nor negatives of others.
    Old features only choose the positives. Therefore the value is not zero where both models agree.

    Args:
        temperature: divides cosines in the softmax, > 0.
        top_k: number of positives of an example, >= 1.
        supervised: choose positives only among examples of the same class.
        summation: "out" is the mean over positives of -log softmax_{j != i}(cos_new(i, j) / temperature), "in" is -log
            of their summed probability.

    Example:
        >>> import torch
        >>> from pct_mlops import CNA, ModelOutput
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> output = ModelOutput(torch.zeros(3, 2), features)
        >>> CNA(temperature=1.0)(output, output, torch.tensor([0, 0, 1]))
        tensor([0.3146, 0.3424, 0.6446])
    """

    needs_features: ClassVar[bool] = True
    across_samples: ClassVar[bool] = True
    zero_at_equality: ClassVar[bool] = False

    temperature: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    top_k: int = Field(default=1, ge=1)
    supervised: bool = False
    summation: Literal["out", "in"] = "out"

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return float32 [N] for the rows of this process against the columns of all processes.

        Memory grows with N * global batch.
        """
        assert new.features is not None
        assert old.features is not None
        new_rows, old_rows = _directions(new.features), _directions(old.features)
        new_columns, old_columns, labels = gather_rows(new_rows), gather_rows(old_rows), gather_rows(target)
        num_rows, num_columns = len(new_rows), len(new_columns)
        if num_columns < 2:
            return new_rows.sum(dim=1) * 0.0
        own = torch.arange(num_rows, device=target.device) + process_rank() * num_rows
        itself = own[:, None] == torch.arange(num_columns, device=target.device)

        others = ~itself & (labels >= 0)
        candidates = others
        if self.supervised:
            candidates = others & (target[:, None] == labels)
        closeness = (old_rows @ old_columns.T).masked_fill(~candidates, -torch.inf)
        nearest = closeness.topk(min(self.top_k, num_columns - 1), dim=1).indices
        valid = candidates.gather(1, nearest)

        # A softmax over nothing but -inf is NaN. A row without any other example keeps its numbers: `valid` drops them.
        left_out = ~others & others.any(dim=1, keepdim=True)
        similarity = (new_rows @ new_columns.T / self.temperature).masked_fill(left_out, -torch.inf)
        log_probability = functional.log_softmax(similarity, dim=1).gather(1, nearest)
        return _out(log_probability, valid) if self.summation == "out" else _in(log_probability, valid)


def _directions(features: Tensor) -> Tensor:
    """Scale rows [N, D] to length 1.

    A row of zeros has no direction. It stays zero and gets the gradient 0, not 1 / epsilon.
    """
    length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    zero = length < 1e-12
    return (features / length.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)


def _out(log_probability: Tensor, valid: Tensor) -> Tensor:
    """Return the mean over positives of -log p, [N] from [N, K], and 0 where no positive is valid."""
    return -log_probability.masked_fill(~valid, 0.0).sum(dim=1) / valid.sum(dim=1).clamp(min=1)


def _in(log_probability: Tensor, valid: Tensor) -> Tensor:
    """Return -log of the sum over positives of p, [N] from [N, K], and 0 where no positive is valid."""
    some = valid.any(dim=1)
    # A row of nothing but -inf has no finite gradient. Such rows get zeros first and are dropped afterwards.
    terms = log_probability.masked_fill(~valid, -torch.inf).masked_fill(~some[:, None], 0.0)
    return torch.where(some, -terms.logsumexp(dim=1), torch.zeros_like(terms[:, 0]))
