"""Additions to residual networks: maps of inner layers, classifiers on these maps, and stochastic depth.

This module imports torchvision, which takes seconds: import it only where a model is built.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.googlenet import InceptionAux
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import StochasticDepth

LAST_SURVIVAL = 0.5


class TappedResNet(nn.Module):
    """A ResNet without its last layer: images -> (features [N, D], map after layer3, map after layer4).

    The parts keep their names, so that weights of the plain network fit.
    """

    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module
    avgpool: nn.Module

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        for name, part in network.named_children():
            self.add_module(name, part)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features and the two maps."""
        stem = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        third = self.layer3(self.layer2(self.layer1(stem)))
        fourth = self.layer4(third)
        return torch.flatten(self.avgpool(fourth), 1), third, fourth


class _ConvNorm(nn.Module):
    """Convolution, norm and ReLU, as torchvision's part of that kind, but with any norm."""

    def __init__(self, norm: Callable[[int], nn.Module], in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=False)
        self.bn = norm(out_channels)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(maps)))


def inception_heads(
    num_features: int, num_classes: int, *, dropout: float = 0.7, norm: Callable[[int], nn.Module] | None = None
) -> tuple[nn.Module, nn.Module]:
    """Build classifiers for the maps of the last two stages, [N, D / 2, h, w] and [N, D, h, w] -> logits [N, C].

    They are GoogLeNet's: a pool to 4x4, a 1x1 convolution to 128 channels, 1024 hidden units and dropout (Szegedy et
    al., arXiv 1409.4842, section 5). `norm` replaces the batch norm that torchvision adds.
    """
    first, second = (
        InceptionAux(channels, num_classes, conv_block=partial(_ConvNorm, norm) if norm else None, dropout=dropout)
        for channels in (num_features // 2, num_features)
    )
    for head in (first, second):
        nn.init.kaiming_normal_(head.conv.conv.weight, mode="fan_out", nonlinearity="relu")
    return first, second


class StochasticBlock(nn.Module):
    """A residual block of torchvision that skips its branch for some examples in training.

    For the other examples the branch is divided by its survival, so that evaluation needs no correction. Source: Huang
    et al., arXiv 1603.09382, which has no such scale in training. The parts keep their names, so that weights of the
    plain block fit.
    """

    conv1: nn.Module
    bn1: nn.Module
    conv2: nn.Module
    bn2: nn.Module
    conv3: nn.Module
    bn3: nn.Module
    relu: nn.Module
    downsample: nn.Module

    def __init__(self, block: BasicBlock | Bottleneck, survival: float) -> None:
        super().__init__()
        for name, part in block.named_children():
            self.add_module(name, part)
        self.shortcut = block.downsample is not None
        self.bottleneck = isinstance(block, Bottleneck)
        self.depth = StochasticDepth(1 - survival, "row")

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps [N, ...] of the block."""
        shortcut = self.downsample(maps) if self.shortcut else maps
        branch = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(maps)))))
        if self.bottleneck:
            branch = self.bn3(self.conv3(self.relu(branch)))
        return self.relu(shortcut + self.depth(branch))


def survivals(num_blocks: int) -> list[float]:
    """Return the probability of each block to take part: 1 for the first to 0.5 for the last, in equal steps."""
    return [1 - (1 - LAST_SURVIVAL) * block / max(num_blocks - 1, 1) for block in range(num_blocks)]


def add_stochastic_depth(network: nn.Module) -> None:
    """Replace every residual block of `network` by a StochasticBlock, in place."""
    found = [
        (parent, name, block)
        for parent in network.modules()
        for name, block in parent.named_children()
        if isinstance(block, BasicBlock | Bottleneck)
    ]
    for (parent, name, block), survival in zip(found, survivals(len(found)), strict=True):
        setattr(parent, name, StochasticBlock(block, survival))
