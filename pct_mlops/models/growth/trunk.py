"""Reads the residual networks that can grow as stem and stages of blocks, whatever their modules are called."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pct_mlops.models.growth.channels import ChannelGroups
from pct_mlops.models.small_resnet import SmallResNet


class Unit(NamedTuple):
    """A convolution and the norm that follows it."""

    conv: nn.Conv2d
    norm: nn.Module


class Block(NamedTuple):
    """A residual block. `shortcut` is None where the block adds its input as it is."""

    units: tuple[Unit, ...]
    shortcut: Unit | None

    @property
    def kind(self) -> str:
        """Name of such blocks in errors."""
        return "bottlenecks" if len(self.units) == 3 else "basic blocks"


class Trunk(NamedTuple):
    """A residual network from its images to its last map.

    `family` names the networks among which one can become another.
    """

    family: str
    stem: Unit
    stages: tuple[tuple[Block, ...], ...]


def read_trunk(backbone: nn.Module) -> Trunk | None:
    """Read a backbone as stem and stages. Return None for a network of which this module does not know the function.

    A subclass may compute something else, so only the classes themselves are known.
    """
    if type(backbone) is SmallResNet:
        layers, ends = list(backbone.layers), backbone.stage_ends
        starts = [3, *(end + 1 for end in ends[:-1])]  # before the blocks are convolution, norm and ReLU
        stages = [layers[start : end + 1] for start, end in zip(starts, ends, strict=True)]
        return _trunk("small_resnet", layers[0], layers[1], stages)
    if type(backbone).__name__ in ("ResNet", "TappedResNet"):  # torchvision takes seconds to import
        from torchvision.models.resnet import ResNet

        from pct_mlops.models.residual import TappedResNet

        if type(backbone) in (ResNet, TappedResNet):
            network: Any = backbone
            stages = [list(stage) for stage in (network.layer1, network.layer2, network.layer3, network.layer4)]
            return _trunk("torchvision", network.conv1, network.bn1, stages)
    return None


def _trunk(family: str, conv: Any, norm: nn.Module, stages: list[list[nn.Module]]) -> Trunk | None:
    from torchvision.models.resnet import BasicBlock, Bottleneck

    from pct_mlops.models.residual import StochasticBlock

    if not all(type(block) in (BasicBlock, Bottleneck, StochasticBlock) for stage in stages for block in stage):
        return None
    return Trunk(family, Unit(conv, norm), tuple(tuple(_block(block) for block in stage) for stage in stages))


def _block(block: Any) -> Block:
    units = [Unit(block.conv1, block.bn1), Unit(block.conv2, block.bn2)]
    if hasattr(block, "conv3"):
        units.append(Unit(block.conv3, block.bn3))
    shortcut = getattr(block, "downsample", None)  # a StochasticBlock without one lacks the attribute
    return Block(tuple(units), None if shortcut is None else Unit(shortcut[0], shortcut[1]))


def norm_of(norm: nn.Module) -> tuple[str, float | None]:
    """Return what must agree for two norms to compute the same: the kind, and the constant that avoids a division by 0.

    A synchronised batch norm is a batch norm.
    """
    if isinstance(norm, _BatchNorm):
        kind = "batch norm" if norm.track_running_stats else "batch norm without running statistics"
        return kind, norm.eps
    return ("group norm" if isinstance(norm, nn.GroupNorm) else type(norm).__name__), getattr(norm, "eps", None)


def groups_of(unit: Unit, num_groups: int = 1) -> ChannelGroups:
    """Return how the outputs of a unit are grouped: by its norm, or as a grouped convolution next to them wants it.

    Raise ValueError where both group them.
    """
    channels = unit.conv.out_channels
    if not isinstance(unit.norm, nn.GroupNorm):
        return ChannelGroups(channels, num_groups)
    if num_groups > 1:
        raise ValueError("its channels are grouped by convolutions and by group norm")
    return ChannelGroups(channels, unit.norm.num_groups, is_normalised=True)
