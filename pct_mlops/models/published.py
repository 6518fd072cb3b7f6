"""Reads state dicts in torchvision's layout, and the weights that torchvision publishes."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pct_mlops.errors import ConfigError, DataError, reason_of
from pct_mlops.models.classifier import Classifier
from pct_mlops.models.families import split_name
from pct_mlops.models.files import heads_of, is_head, load_weights_into
from pct_mlops.models.wrappers import unwrapped

# torchvision renames these while it loads: parts of DenseNet and of vision transformers once had other names.
DENSE = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")
TRANSFORMER = re.compile(r"^(.*\.mlp)\.linear_([12])(\..*)$")


def to_our_names(model: Classifier, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a torchvision network to the names that they have in `model`.

    The last linear layer becomes `head`, and all else goes below `backbone`. Prefixes of wrappers, such as `module.` of
    data-parallel training, are removed. Normalisation stays the model's own. A head that was trained without bias gets
    one of zeros.
    """
    own = model.state_dict()
    filled = {"mean": own["mean"], "std": own["std"], **unwrapped(state, own.keys(), partial(_renamed, model))}
    if "head.weight" in filled and "head.bias" in own and "head.bias" not in filled:
        filled["head.bias"] = torch.zeros_like(own["head.bias"])
    return filled


def _renamed(model: Classifier, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights, unless they have our names already."""
    if any(key.startswith("backbone.") for key in state):
        return dict(state)
    return {name: value for key, value in state.items() if (name := _our_name(model, key)) is not None}


def _our_name(model: Classifier, key: str) -> str | None:
    """Return the name that a weight has in `model`, or None when the model has no place for it."""
    key = DENSE.sub(r"\1\2", key)
    key = TRANSFORMER.sub(lambda found: f"{found[1]}.{3 * int(found[2]) - 3}{found[3]}", key)
    places = dict(model.names)
    if model.architecture.embedding_dim:
        places["feat"] = "embedding"  # the research code's name
    for part, place in places.items():
        if key.startswith(part + "."):
            return None if place is None else place + key.removeprefix(part)
    return f"backbone.{key}"


def load_pretrained(model: Classifier, weights_name: str) -> bool:
    """Fill the model with weights that torchvision publishes.

    The head is loaded only when the model has exactly the classes of the weights, in their order, and a plain linear
    head on the backbone's features. Otherwise it stays as it is.
    The model takes over the normalisation with which the weights were trained.

    Args:
        model: the classifier to fill, in place.
        weights_name: torchvision's name, for example DEFAULT or IMAGENET1K_V1.

    Returns:
        True when the head was loaded.

    Raises:
        PctError: the name is unknown, the weights do not fit, or the file is missing and cannot be fetched.
    """
    architecture = model.architecture
    weights = _find(model, weights_name)
    state = to_our_names(model, _fetch(weights, architecture.name))
    own = model.state_dict()
    whole = architecture.class_names == tuple(weights.meta["categories"]) and "head.weight" in state
    whole = whole and architecture.classifier == "linear" and architecture.embedding_dim is None
    if not whole:
        state = {key: value for key, value in state.items() if not is_head(key)}
    embedding = {key: value for key, value in own.items() if key.startswith("embedding.")}
    advice = "set model.kwargs and data.image_size as these weights need them"
    load_weights_into(model, {**embedding, **heads_of(own), **state}, f"The file of {weights}", advice)
    _normalise_like(model, weights)
    return whole


def _find(model: Classifier, weights_name: str) -> Any:
    """Return the member of torchvision's enumeration for this network that has this name."""
    from torchvision import models

    name = model.architecture.name
    base, _ = split_name(name)
    if base not in models.list_models(module=models):
        raise ConfigError(f"There are no published weights of {name}: leave model.weights out to train from scratch.")
    known = models.get_model_weights(base).__members__
    member = weights_name.rpartition(".")[2]
    if member not in known:
        raise ConfigError(f"There are no weights '{weights_name}' of {name}: choose one of {', '.join(known)}.")
    return known[member]


def _fetch(weights: Any, name: str) -> Mapping[str, Tensor]:
    """Read the weights from the folder of torch.hub, after a download if need be. Only tensors are unpickled."""
    try:
        return weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        file = weights.url.rpartition("/")[2]
        raise DataError(
            f"The weights {weights.name} of {name} cannot be fetched ({reason_of(error)}): download {file} on a "
            f"machine with network and put it into {torch.hub.get_dir()}/checkpoints (the folder is "
            "$TORCH_HOME/hub/checkpoints), or leave model.weights out to train from scratch."
        ) from error


def _normalise_like(model: Classifier, weights: Any) -> None:
    """Take over mean and standard deviation of the images that the weights were trained on."""
    preset = weights.transforms()
    mean, std = tuple(preset.mean), tuple(preset.std)
    if getattr(model.backbone, "transform_input", None) is False:
        # torchvision's published GoogLeNet and Inception v3 turn such images into (image - 0.5) / 0.5 themselves. This
        # backbone does not, so that the model normalises in this way.
        mean = std = (0.5, 0.5, 0.5)
    model.architecture = model.architecture.model_copy(update={"mean": mean, "std": std})
    model.mean.copy_(torch.tensor(mean).view_as(model.mean))
    model.std.copy_(torch.tensor(std).view_as(model.std))
