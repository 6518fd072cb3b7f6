"""Grows a trained classifier into a larger one of its family that computes the same function."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pct_mlops.errors import ConfigError
from pct_mlops.models.classifier import Classifier
from pct_mlops.models.files import note_normalisation
from pct_mlops.models.growth.channels import ChannelGroups, channel_map, spread_weight
from pct_mlops.models.growth.heads import grow_heads
from pct_mlops.models.growth.trunk import Block, Trunk, read_trunk
from pct_mlops.models.growth.writer import Writer


def grow_classifier(
    model: Classifier,
    source: Classifier,
    *,
    with_heads: bool = True,
    generator: torch.Generator | None = None,
) -> None:
    """Give a freshly built model the function of a smaller trained one, in place.

    In evaluation its logits are those of `source`, up to the rounding of float32. In training they are too, where
    neither dropout nor stochastic depth is in the way. Classes are matched by name, and new ones keep their fresh
    weights. The normalisation is that of `source`. The weights inside of inserted blocks stay fresh.

    Sources: Chen et al., arXiv 1511.05641 (wider and deeper). An inserted block is the identity because its last norm
    has weight 0 (Goyal et al., arXiv 1706.02677, section 5.1) and its input is not negative.

    Args:
        model: The larger model, built from its own architecture.
        source: The smaller model.
        with_heads: When False, all heads stay as they are.
        generator: Draws which channels are replicated, and the shares of the replicas. By default it is torch's own.

    Raises:
        ConfigError: There is no such growth. The sentence says why, and the model is as it was.
    """
    for target, values in grown_weights(model, source, with_heads=with_heads, generator=generator):
        target.detach().copy_(values)
    note_normalisation(model)


def grown_weights(
    model: Classifier,
    source: Classifier,
    *,
    with_heads: bool = True,
    generator: torch.Generator | None = None,
) -> Iterable[tuple[Tensor, Tensor]]:
    """Return what `grow_classifier` would write: pairs of a tensor of the model and its new values.

    Raise ConfigError where there is no growth.
    """
    old, new = read_trunk(source.backbone), read_trunk(model.backbone)
    writer = Writer(generator or torch.default_generator)
    try:
        if old is None or new is None:
            raise ValueError("only small_resnets and torchvision's ResNets can grow")
        maps = _grow_trunk(writer, old, new)
        writer.write(model.mean, source.mean)
        writer.write(model.std, source.std)
        features = _grow_embedding(writer, source, model, maps[-1])
        if with_heads:
            grow_heads(writer, source, model, features, maps)
    except ValueError as error:
        names = (f"{part.name} {part.kwargs or ''}".strip() for part in (source.architecture, model.architecture))
        raise ConfigError("A {} cannot grow into a {}: {}.".format(*names, error)) from error
    return writer.written


def _grow_trunk(writer: Writer, old: Trunk, new: Trunk) -> list[Tensor]:
    """Grow stem and stages. Return the channel map after each stage."""
    if old.family != new.family:
        raise ValueError("a small_resnet and a ResNet of torchvision are built differently")
    if len(old.stages) != len(new.stages):
        raise ValueError(f"it has {len(new.stages)} stages instead of {len(old.stages)}, and a stage halves the map")
    images, wanted = old.stem.conv.in_channels, new.stem.conv.in_channels
    if images != wanted:
        raise ValueError(f"its images have {wanted} channel(s) instead of {images}")
    writer.place = "the stem"
    stream = writer.draw(old.stem, new.stem)
    writer.grow_unit(old.stem, new.stem, torch.arange(images), stream)
    maps = []
    for number, (before, after) in enumerate(zip(old.stages, new.stages, strict=True), 1):
        writer.place = f"stage {number}"
        stream = _grow_stage(writer, before, after, stream)
        maps.append(stream)
    return maps


def _grow_stage(writer: Writer, old: tuple[Block, ...], new: tuple[Block, ...], entering: Tensor) -> Tensor:
    """Grow the blocks that the old stage has, and make the identity of those behind them.

    Return the channel map after the stage. All blocks of a stage share it, because each adds to the channels of the one
    before. Inner channels of a block have maps of their own.
    """
    if old[0].kind != new[0].kind:
        raise ValueError(f"{writer.place} has {new[0].kind} instead of {old[0].kind}, which compute something else")
    if len(new) < len(old):
        raise ValueError(f"{writer.place} has {len(new)} block(s) instead of {len(old)}")
    leaving = entering
    if old[0].shortcut is not None:
        leaving = writer.draw(old[0].units[-1], new[0].units[-1])
    for before, after in zip(old, new, strict=False):
        _grow_block(writer, before, after, entering, leaving)
        entering = leaving
    for block in new[len(old) :]:
        norm = block.units[-1].norm
        if not isinstance(norm.weight, Tensor):
            raise ValueError(f"{writer.place} gets a block whose last norm has no weight that could be 0")
        for values in norm.parameters():
            writer.write(values, torch.zeros_like(values))
    return leaving


def _grow_block(writer: Writer, old: Block, new: Block, entering: Tensor, leaving: Tensor) -> None:
    if (old.shortcut is None) != (new.shortcut is None):
        raise ValueError(f"{writer.place} has another kind of shortcut")
    old_groups, new_groups = (max(unit.conv.groups for unit in block.units) for block in (old, new))
    inputs = entering
    for place, (before, after) in enumerate(zip(old.units, new.units, strict=True), 1):
        outputs = leaving
        if place < len(old.units):
            outputs = writer.draw(before, after, old_groups, new_groups)
        writer.grow_unit(before, after, inputs, outputs)
        inputs = outputs
    if old.shortcut is not None and new.shortcut is not None:
        writer.grow_unit(old.shortcut, new.shortcut, entering, leaving)


def _grow_embedding(writer: Writer, source: Classifier, model: Classifier, features: Tensor) -> Tensor:
    """Grow the embedding, and return the channel map of the features that the head takes.

    An embedding that the source does not have begins as the identity.
    """
    old, new = source.embedding, model.embedding
    if not isinstance(new, nn.Linear):
        if isinstance(old, nn.Linear):
            raise ValueError(f"it has no embedding: set model.embedding_dim to {old.out_features} or more")
        return features
    weight, bias = torch.eye(source.num_features), torch.zeros(source.num_features)
    if isinstance(old, nn.Linear):
        weight, bias = old.weight, old.bias
    try:
        outputs = channel_map(ChannelGroups(len(weight)), ChannelGroups(new.out_features), writer.generator)
    except ValueError:
        raise ValueError(f"model.embedding_dim should be {len(weight)} or more") from None
    writer.write(new.weight, spread_weight(weight, outputs, features, 1, writer.generator))
    writer.write(new.bias, bias.detach().cpu()[outputs])
    return outputs
