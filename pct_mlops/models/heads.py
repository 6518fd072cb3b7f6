"""Heads: they turn features into logits, and the logits of several heads into one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from pct_mlops.models.architecture import Architecture


class CosineHead(nn.Module):
    """Head from features [N, D] to logits [N, C]: cosines of features and class weights, divided by the temperature."""

    def __init__(self, in_features: int, out_features: int, temperature: float) -> None:
        super().__init__()
        self.in_features, self.out_features, self.temperature = in_features, out_features, temperature
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the class weights again, as nn.Linear does."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [N, C] within 1 / temperature of zero."""
        return linear(normalize(features, dim=1), normalize(self.weight, dim=1)) / self.temperature


def make_head(architecture: Architecture, num_features: int) -> nn.Linear | CosineHead:
    """Build the head that the architecture asks for, on features of this width."""
    if architecture.classifier == "cosine":
        return CosineHead(num_features, architecture.num_classes, architecture.temperature)
    return nn.Linear(num_features, architecture.num_classes)


def combine(how: str, heads: Sequence[Tensor]) -> Tensor:
    """Combine the logits [N, C] of several heads: the first ("main"), their mean ("avg") or the largest ("max")."""
    if how == "main":
        return heads[0]
    stacked = torch.stack(tuple(heads))
    return stacked.mean(dim=0) if how == "avg" else stacked.amax(dim=0)
