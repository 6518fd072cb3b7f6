"""Every classification model of torchvision, by its torchvision name, without its last layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pct_mlops.config import PctError

LARGE_INPUT = {"inception_v3": 299}


def names() -> list[str]:
    """Classification models that the installed torchvision offers."""
    from torchvision import models

    return models.list_models(module=models)


def build_backbone(name: str, image_shape: tuple[int, int, int], kwargs: dict[str, Any]) -> tuple[nn.Module, int]:
    """The named model with its classifier's last layer removed: images -> features [N, D], and D."""
    from torchvision import models

    if image_shape[0] != 3:
        raise PctError(
            f"{name} takes colour images, but the data set has {image_shape[0]} channel: "
            "use a small_resnet, for example model.name=small_resnet14."
        )
    if kwargs.get("aux_logits"):
        raise PctError(f"{name} is trained here without its auxiliary heads: leave aux_logits out of model.kwargs.")
    if name.startswith(("googlenet", "inception")):
        # torchvision's slow truncated-normal initialisation is opt-in; aux heads come with the training options.
        kwargs = {"aux_logits": False, "init_weights": False, **kwargs}
    try:
        network = models.get_model(name, weights=None, **kwargs)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise PctError(f"Invalid model.kwargs for {name} ({error}): give what torchvision's {name} takes.") from error
    backbone, num_features = _without_head(network)
    _check_image(name, backbone, image_shape)
    return backbone, num_features


def _check_image(name: str, backbone: nn.Module, image_shape: tuple[int, int, int]) -> None:
    """PctError when images of this size do not pass through; on the meta device, where nothing is computed."""
    state = {key: value.to("meta") for key, value in [*backbone.named_parameters(), *backbone.named_buffers()]}
    image = torch.empty(1, *image_shape, device="meta")
    try:
        with torch.no_grad(), _evaluating(backbone):
            torch.func.functional_call(backbone, state, (image,))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise PctError(
            f"{name} does not take images of {image_shape[1]}x{image_shape[2]} ({reason}): set data.image_size to a "
            f"size that it takes; most were made for {LARGE_INPUT.get(name, 224)}."
        ) from error


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    network.eval()
    try:
        yield
    finally:
        network.train()


def _without_head(network: nn.Module) -> tuple[nn.Module, int]:
    if type(network).__name__ == "SqueezeNet":
        return _SqueezeFeatures(network), 512
    path, last = [(path, module) for path, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    parent = network.get_submodule(path.rpartition(".")[0])
    _replace(parent, path.rpartition(".")[2])
    return network, last.in_features


def _replace(parent: nn.Module, child: str) -> None:
    if isinstance(parent, nn.Sequential):
        parent[int(child) if child.isdigit() else list(dict(parent.named_children())).index(child)] = nn.Identity()
    else:
        setattr(parent, child, nn.Identity())


class _SqueezeFeatures(nn.Module):
    """SqueezeNet classifies by a convolution before the pool; here the pooled map feeds a linear head instead."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.features: Callable[[Tensor], Tensor] = network.features
        self.dropout = network.classifier[0]
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.dropout(self.features(images))).flatten(1)
