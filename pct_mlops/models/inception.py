"""GoogLeNet and Inception v3 with the maps that their auxiliary classifiers take.

This module imports torchvision, which takes seconds: import it only where a model is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.models.googlenet import GoogLeNet
from torchvision.models.inception import Inception3


class _Tapped(nn.Module):
    def train(self, mode: bool = True) -> _Tapped:
        """Set the mode of all parts, but keep the flag of the network itself at True.

        torchvision uses that flag only to decide whether to return the maps, which are always needed here.
        """
        super().train(mode)
        self.training = True
        return self


class TappedGoogLeNet(_Tapped, GoogLeNet):
    """GoogLeNet that maps images to (features, map for aux1, map for aux2), once its heads are taken off.

    It does so in training and in evaluation.
    """

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return features [N, 1024], then the maps in the order in which they arise."""
        features, second, first = super().forward(images)
        return features, first, second


class TappedInception3(_Tapped, Inception3):
    """Inception v3 that maps images to (features, map for AuxLogits), once its heads are taken off.

    It does so in training and in evaluation.
    """

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return features [N, 2048] and the map."""
        return tuple(super().forward(images))


def tapped(
    name: str, head_names: Sequence[str], num_classes: int, kwargs: dict[str, Any]
) -> tuple[nn.Module, tuple[nn.Module, ...]]:
    """Build the network, and take its auxiliary classifiers of these names off it.

    Return the network, which gives features and maps, and the classifiers, which turn a map into logits [N, C].
    """
    network: Any = {"googlenet": TappedGoogLeNet, "inception_v3": TappedInception3}[name](
        num_classes=num_classes, **kwargs
    )
    heads = tuple(getattr(network, head) for head in head_names)
    for head in head_names:
        setattr(network, head, nn.Identity())
    return network, heads
