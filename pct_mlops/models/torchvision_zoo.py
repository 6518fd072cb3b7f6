"""Builds every classification model of torchvision by its torchvision name, without its last layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from pct_mlops.errors import ConfigError, reason_of
from pct_mlops.models.architecture import Architecture
from pct_mlops.models.classifier import Body, Classifier, without_head

LARGE_INPUT = {"inception_v3": 299}
# Auxiliary classifiers that torchvision's weights include, in the order in which their maps arise.
OWN_AUX = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


@lru_cache
def torchvision_names() -> tuple[str, ...]:
    """Return the names of the classification models that the installed torchvision offers."""
    from torchvision import models

    return tuple(models.list_models(module=models))


@lru_cache
def torchvision_residual_names() -> tuple[str, ...]:
    """Return the names of those that torchvision builds from its ResNet class."""
    from torchvision import models

    return tuple(
        name for name in torchvision_names() if models.get_model_builder(name).__module__ == models.resnet.__name__
    )


def build_torchvision_body(base: str, variant: str, architecture: Architecture) -> Body:
    """Build the named model without its last layer, plain or as one of families.VARIANTS.

    Raise PctError when images are not in colour, or when torchvision refuses an argument.
    """
    name, channels = architecture.name, architecture.image_shape[0]
    if channels != 3:
        raise ConfigError(
            f"{name} takes colour images, but the data set has {channels} channel: "
            "use a small_resnet, for example model.name=small_resnet14."
        )
    try:
        return _variant(base, variant, architecture.num_classes, dict(architecture.kwargs))
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ConfigError(
            f"Invalid model.kwargs for {name} ({error}): give what torchvision's {base} takes."
        ) from error


def _variant(base: str, variant: str, num_classes: int, kwargs: dict[str, Any]) -> Body:
    from pct_mlops.models import residual

    if base in OWN_AUX:
        return _inception(base, num_classes, kwargs)
    options = {"dropout": kwargs.pop("dropout_aux")} if variant == "aux" and "dropout_aux" in kwargs else {}
    body = _headless(_network(base, kwargs))
    network, num_features, names = body.backbone, body.num_features, dict(body.names)
    if variant == "aux":
        heads = residual.inception_heads(num_features, num_classes, **options)
        # The names of the research code's files.
        names |= {"aux3": "aux_heads.0", "aux4": "aux_heads.1"}
        return Body(residual.TappedResNet(network), num_features, heads, dropout=body.dropout, names=names)
    if variant == "mb":
        names |= {"fc1": "aux_heads.0", "fc2": "aux_heads.1"}
    elif variant == "stodepth":
        residual.add_stochastic_depth(network)
    return Body(network, num_features, num_branches=2 if variant == "mb" else 0, dropout=body.dropout, names=names)


def _network(name: str, kwargs: dict[str, Any]) -> Any:
    from torchvision import models

    return models.get_model(name, weights=None, **kwargs)


def _inception(name: str, num_classes: int, kwargs: dict[str, Any]) -> Body:
    """Build GoogLeNet or Inception v3. With `aux_logits` their own auxiliary classifiers become heads."""
    from pct_mlops.models.inception import tapped

    # Both are off by default: auxiliary heads, and torchvision's truncated-normal initialisation, which is slow.
    kwargs = {"aux_logits": False, "init_weights": False, **kwargs}
    network, heads = (
        tapped(name, OWN_AUX[name], num_classes, kwargs) if kwargs["aux_logits"] else (_network(name, kwargs), ())
    )
    body = _headless(network)
    places = [f"aux_heads.{index}" if heads else None for index in range(len(OWN_AUX[name]))]
    names = {**body.names, **dict(zip(OWN_AUX[name], places, strict=True))}
    return replace(body, aux_heads=tuple(heads), names=names)


def check_images(name: str, model: Classifier, image_shape: tuple[int, int, int]) -> None:
    """Raise PctError when images of this size do not pass through the model.

    The model runs on the meta device, where nothing is computed.
    """
    state = {key: value.to("meta") for key, value in [*model.named_parameters(), *model.named_buffers()]}
    images = torch.empty(2, *image_shape, device="meta")
    # Evaluation mode is quicker. Auxiliary heads may take part in training only, and may need more pixels.
    model.train(bool(model.aux_heads))
    try:
        with torch.no_grad():
            torch.func.functional_call(model, state, (images,))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"{name} does not take images of {image_shape[1]}x{image_shape[2]} ({reason_of(error)}): set "
            f"data.image_size to a size that it takes; most were made for {LARGE_INPUT.get(name, 224)}."
        ) from error
    finally:
        model.train()


def _headless(network: nn.Module) -> Body:
    """Turn the network into a Body.

    Its dropout moves to the classifier's head, so that the features are taken before dropout.
    """
    if type(network).__name__ == "SqueezeNet":
        # Its classifier takes a ReLU before the mean, which a linear head on the mean cannot reproduce.
        squeeze = _SqueezeFeatures(network)
        return Body(squeeze, 512, dropout=squeeze.dropout, names={"classifier": None})
    return without_head(network)


class _SqueezeFeatures(nn.Module):
    """SqueezeNet up to its pooled map [N, 512], which feeds a linear head.

    SqueezeNet itself classifies by a convolution before the pool.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.features: Callable[[Tensor], Tensor] = network.features
        self.dropout: float = network.classifier[0].p
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.features(images)).flatten(1)
