"""GoogLeNet and Inception v3 with the maps that their auxiliary classifiers take.

This module imports torchvision, which takes seconds: import it only where a model is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.models.googlenet import GoogLeNet
from torchvision.models.inception import Inception3


class TappedGoogLeNet(GoogLeNet):
    """Images -> (features, maps for aux1 and aux2), in training and in evaluation, once its heads are taken off."""

    def train(self, mode: bool = True) -> TappedGoogLeNet:
        """Mode of the parts; torchvision asks the whole's own flag only whether the maps are wanted: always."""
        super().train(mode)
        self.training = True
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features [N, 1024], then the maps in the order in which they arise."""
        features, second, first = super().forward(images)
        return features, first, second


class TappedInception3(Inception3):
    """Images -> (features, map for AuxLogits), in training and in evaluation, once its heads are taken off."""

    def train(self, mode: bool = True) -> TappedInception3:
        """Mode of the parts; torchvision asks the whole's own flag only whether the map is wanted: always."""
        super().train(mode)
        self.training = True
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features [N, 2048] and the map."""
        return tuple(super().forward(images))


def tapped(
    name: str, head_names: Sequence[str], num_classes: int, kwargs: dict[str, Any]
) -> tuple[nn.Module, tuple[nn.Module, ...]]:
    """The network, which returns maps, and its auxiliary classifiers (map -> [N, C]) of these names, taken off it."""
    network: Any = {"googlenet": TappedGoogLeNet, "inception_v3": TappedInception3}[name](
        num_classes=num_classes, **kwargs
    )
    heads = tuple(getattr(network, head) for head in head_names)
    for head in head_names:
        setattr(network, head, nn.Identity())
    return network, heads
