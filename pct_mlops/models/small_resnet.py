"""Residual networks for small images: a 3x3 stem without max-pool (He et al., arXiv 1512.03385, section 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from pct_mlops.errors import ConfigError
from pct_mlops.models.architecture import Architecture
from pct_mlops.models.classifier import Body

# Blocks per stage. The number in the name counts the weighted layers: two per block, the stem and the head.
DEPTHS: dict[str, tuple[int, ...]] = {
    "small_resnet8": (1, 1, 1),
    "small_resnet14": (2, 2, 2),
    "small_resnet20": (3, 3, 3),
    "small_resnet32": (5, 5, 5),
    "small_resnet56": (9, 9, 9),
    "small_resnet18": (2, 2, 2, 2),
    "small_resnet34": (3, 4, 6, 3),
}


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(8, channels), channels)


# Batch norm sees the examples of one process only. Group norm makes results independent of the number of processes.
NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "group": _group_norm}


class SmallResNet(nn.Module):
    """ResNet body for small images: images [N, C_in, H, W] -> features [N, D] with D = width * 2^(stages - 1).

    Every stage but the first halves H and W. After `return_maps()` the features are followed by the maps of the last
    two stages, [N, D / 2, ...] and [N, D, ...].
    """

    def __init__(
        self, blocks: Sequence[int], in_channels: int, width: int = 16, norm: str = "batch", stem_stride: int = 1
    ) -> None:
        super().__init__()
        # torchvision takes seconds to import, so it is imported only when a model is built.
        from torchvision.models.resnet import BasicBlock, conv1x1, conv3x3

        if min(width, stem_stride) < 1:
            raise ValueError("width and stem_stride should be 1 or more")
        make_norm = NORMS[norm]
        layers: list[nn.Module] = [conv3x3(in_channels, width, stem_stride), make_norm(width), nn.ReLU(inplace=True)]
        channels = width
        self.stage_ends: list[int] = []
        self.map_layers: tuple[int, ...] = ()
        for stage, count in enumerate(blocks):
            planes = width * 2**stage
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                shortcut = None
                if stride != 1 or channels != planes:
                    shortcut = nn.Sequential(conv1x1(channels, planes, stride), make_norm(planes))
                layers.append(BasicBlock(channels, planes, stride, shortcut, norm_layer=make_norm))
                channels = planes
            self.stage_ends.append(len(layers) - 1)
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.num_features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def return_maps(self) -> None:
        """Make `forward` return the maps as well, from now on."""
        self.map_layers = tuple(self.stage_ends[-2:])

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return features [N, D], alone or followed by the maps."""
        if not self.map_layers:
            return self.layers(images)
        values, maps = images, []
        for index, layer in enumerate(self.layers):
            values = layer(values)
            if index in self.map_layers:
                maps.append(values)
        return values, *maps


def build_small_body(base: str, variant: str, architecture: Architecture) -> Body:
    """Build the named network, plain or as one of families.VARIANTS.

    Raise PctError for wrong arguments.
    """
    kwargs = dict(architecture.kwargs)
    options = {"dropout": kwargs.pop("dropout_aux")} if variant == "aux" and "dropout_aux" in kwargs else {}
    aux_heads: tuple[nn.Module, ...] = ()
    try:
        network = SmallResNet(DEPTHS[base], architecture.image_shape[0], **kwargs)
        if variant == "aux":
            from pct_mlops.models.residual import inception_heads

            network.return_maps()
            # With group norm no part may depend on the rest of the batch, and that includes the auxiliary heads.
            norm = _group_norm if kwargs.get("norm") == "group" else None
            aux_heads = inception_heads(network.num_features, architecture.num_classes, norm=norm, **options)
        elif variant == "stodepth":
            from pct_mlops.models.residual import add_stochastic_depth

            add_stochastic_depth(network)
    except (TypeError, KeyError, ValueError, RuntimeError, ZeroDivisionError) as error:
        takes = "width, norm (batch or group)" + (", dropout_aux" if variant == "aux" else "") + " and stem_stride"
        raise ConfigError(f"Invalid model.kwargs for {architecture.name} ({error}): it takes {takes}.") from error
    return Body(network, network.num_features, aux_heads, num_branches=2 if variant == "mb" else 0)
