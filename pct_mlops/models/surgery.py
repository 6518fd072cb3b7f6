"""Changes to a classifier that was built: old heads, frozen parts, weights between two models."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pct_mlops.errors import ConfigError, DataError
from pct_mlops.models.classifier import Classifier

# What says how a model answers or trains, not what its weights are; normalisation is compared by its tensors.
NOT_COMPARED = {"dropout", "aux_eval", "mean", "std"}


def fold_old_head(model: Classifier, old_head: nn.Linear, alpha: float) -> Classifier:
    """A copy whose linear head gives (1 - alpha) * head(f) + alpha * old_head(f[:, :D_old]); alpha 1: the old one only.

    f: features [N, D], D_old <= D the width that the old head takes. PctError for heads that are not linear, other
    class counts, narrower features, an alpha outside [0, 1], and for evaluation over several heads.
    Source: Shen et al., CVPR 2020, arXiv 2003.11942.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"The share of the old head is {alpha}: choose one between 0 and 1.")
    if model.architecture.aux_eval != "main":
        raise ConfigError(
            "The old head is mixed into one head, and this model answers with several: set aux_eval=main."
        )
    mixed = copy.deepcopy(model)
    mixed.head = _mixed_head(model.head, old_head, alpha)
    return mixed


def use_old_head(model: Classifier, old_head: nn.Linear) -> None:
    """Replace the model's head by the old one on the first D_old features, frozen: it has no head of its own then."""
    model.head = _mixed_head(model.head, old_head, 1.0).requires_grad_(False)


def _mixed_head(new: nn.Module, old: nn.Module, alpha: float) -> nn.Linear:
    if not (isinstance(new, nn.Linear) and isinstance(old, nn.Linear)):
        raise ConfigError("Only linear heads can be mixed: set model.classifier=linear for the old and the new model.")
    if new.out_features != old.out_features:
        raise DataError(
            f"The old head knows {old.out_features} classes and the new model {new.out_features}: "
            "the heads can be mixed only when both know the same classes."
        )
    if new.in_features < old.in_features:
        raise ConfigError(
            f"The old head takes {old.in_features} features and the new model has {new.in_features}: choose an "
            f"architecture that has at least as many, or set model.embedding_dim={old.in_features}."
        )
    mixed = nn.Linear(new.in_features, new.out_features, device=new.weight.device, dtype=new.weight.dtype)
    with torch.no_grad():
        mixed.weight.copy_((1 - alpha) * new.weight)
        mixed.weight[:, : old.in_features] += alpha * old.weight.to(new.weight)
        mixed.bias.copy_((1 - alpha) * _bias(new, mixed) + alpha * _bias(old, mixed))
    return mixed


def _bias(head: nn.Linear, like: nn.Linear) -> Tensor:
    return torch.zeros_like(like.bias) if head.bias is None else head.bias.to(like.bias)


def freeze_backbone(model: Classifier) -> None:
    """Leave only the heads to train: all else keeps its weights, BatchNorm statistics included, and drops nothing."""
    model.backbone.requires_grad_(False)
    model.embedding.requires_grad_(False)
    model.backbone_frozen = True
    model.train(model.training)


def reset_head(model: Classifier) -> None:
    """Draw the weights of the main and auxiliary heads anew. Seed torch before the call."""
    for head in (model.head, *model.aux_heads):
        for part in head.modules():
            reset = getattr(part, "reset_parameters", None)
            if reset is not None:
                reset()


def interpolate_weights(old: Classifier, new: Classifier, a: float) -> Classifier:
    """A model with the weights a * old + (1 - a) * new; BatchNorm statistics likewise, to be estimated anew afterwards.

    Dropout and the heads that count are the new model's. PctError when the architectures differ or `a` is outside
    [0, 1]. Source: Schumann et al., arXiv 2301.10546.
    """
    if not 0 <= a <= 1:
        raise ConfigError(f"The share of the old model's weights is {a}: choose one between 0 and 1.")
    differ = _differences(old, new)
    if differ:
        raise DataError(
            f"Weights can be mixed between models of one architecture only, and these differ in {'; '.join(differ)}: "
            "train the new model from the old one's weights (model.init)."
        )
    mixed = copy.deepcopy(new)
    _fill(mixed.state_dict(), old.state_dict(), a)
    return mixed


def _differences(old: Classifier, new: Classifier) -> list[str]:
    one, other = (
        model.architecture.model_dump(exclude=NOT_COMPARED)
        | {"mean": model.mean.flatten().tolist(), "std": model.std.flatten().tolist()}
        for model in (old, new)
    )
    return [f"{key} (old {_short(one[key])}, new {_short(other[key])})" for key in one if one[key] != other[key]]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fill(new: Mapping[str, Tensor], old: Mapping[str, Tensor], a: float) -> None:
    """In place; lerp is exact where both agree, and at both ends. Counters stay the new model's."""
    for key, values in new.items():
        if values.is_floating_point():
            values.copy_(torch.lerp(values, old[key].to(values), a))


def batchnorm_layers(model: Classifier) -> list[_BatchNorm]:
    """The BatchNorm layers with running statistics that have a part in evaluation: auxiliary heads' only if they do."""
    parts: list[nn.Module] = [model.backbone, *(model.aux_heads if model.architecture.aux_eval != "main" else ())]
    layers = [layer for part in parts for layer in part.modules()]
    return [layer for layer in layers if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


def reset_batchnorm(model: Classifier) -> None:
    """Forget their running statistics; from now on these are plain means over all batches seen in training mode.

    Put the model into evaluation and only these layers into training mode (`layer.train()`), show it training images
    without gradient, and put it into evaluation again.
    """
    for layer in batchnorm_layers(model):
        layer.reset_running_stats()
        layer.momentum = None
