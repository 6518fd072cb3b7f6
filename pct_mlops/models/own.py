"""Builds architectures from a user's own code, and checks what that code returns.

A builder is an entry point of pct_mlops.architectures, or code that a recipe names (model.name: my_pkg.models:build).
It receives one argument, the Architecture. This holds `class_names`, `image_shape` (C, H, W), `kwargs` (those of
model.kwargs) and the rest of the record. The builder returns the network without its last layer, in one of two forms:

- An nn.Module that maps images [N, C, H, W] to features [N, D]. Its attribute `num_features` is the integer D.
- A Body, for a network with auxiliary heads, or with dropout before its last layer. `without_head` makes a Body from a
  whole classifier, for example one of timm's.

Normalisation, embedding, head and dropout are added around it, from the recipe. The last layer is left out because
warm starts, new classes, teachers, losses on features and mixed heads all need features and head apart.
The record of a version holds the builder's name and arguments, but no code. To rebuild the model, install the package
that has the builder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pct_mlops.config import Catalog
from pct_mlops.errors import ConfigError, reason_of
from pct_mlops.models.architecture import Architecture
from pct_mlops.models.classifier import Body
from pct_mlops.models.families import GROUP, model_names

ARCHITECTURES: Catalog[Body | nn.Module] = Catalog(
    "architecture", group=GROUP, produces=(Body, nn.Module), reserved=model_names
)


def build_body(architecture: Architecture) -> Body:
    """Call the builder that the architecture names, and check the Body that it returns.

    Raise PctError when it does not fit.
    """
    body = as_body(ARCHITECTURES.call(architecture.name, architecture), architecture.name)
    check_features(body, architecture)
    return body


def as_body(made: Body | nn.Module, name: str) -> Body:
    """Turn the result of a builder into a Body.

    Raise PctError when it does not say how wide its features are.
    """
    if isinstance(made, Body):
        return made
    width = getattr(made, "num_features", None)
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise ConfigError(
            f"The architecture {name} gave a {type(made).__name__} without an integer num_features: return the network "
            "without its last layer and set num_features, or return pct_mlops.models.without_head(network)."
        )
    return Body(made, width)


def check_features(body: Body, architecture: Architecture) -> None:
    """Raise PctError unless the backbone maps two images to features [2, D] and to the maps of the auxiliary heads.

    A backbone without maps passes too: its auxiliary heads then take the features.
    """
    images = torch.zeros(2, *architecture.image_shape)
    first = next(body.backbone.parameters(), None)
    if first is not None:
        images = images.to(first.device)
    was_training = body.backbone.training
    body.backbone.eval()
    try:
        with torch.no_grad():
            found = body.backbone(images)
    except Exception as error:
        raise ConfigError(
            f"The architecture {architecture.name} does not take images of {architecture.image_shape} "
            f"({reason_of(error)}): set data.image_size to a size that it takes, or correct it."
        ) from error
    finally:
        body.backbone.train(was_training)
    features, *maps = found if isinstance(found, tuple) else (found,)
    shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
    if shape != (2, body.num_features) or len(maps) not in (0, len(body.aux_heads)):
        raise ConfigError(
            f"The architecture {architecture.name} gives {shape} and {len(maps)} map(s) for two images, but "
            f"promises (2, {body.num_features}) and {len(body.aux_heads)}: pool, flatten, or leave out the last layer."
        )
