"""Changes classifiers that were built: mixes in old heads, freezes parts, and interpolates weights of two models."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pct_mlops.errors import ConfigError, DataError
from pct_mlops.models.classifier import Classifier
from pct_mlops.models.heads import CosineHead
from pct_mlops.models.logit_mean import LogitMean

# These say how a model predicts or trains, not what its weights are. Normalisation is compared by its tensors.
NOT_COMPARED = {"dropout", "aux_eval", "mean", "std"}


def fold_old_head(model: Classifier, old_head: nn.Linear, alpha: float) -> Classifier:
    """Return a copy whose linear head gives (1 - alpha) * head(f) + alpha * old_head(f[:, :D_old]).

    Here f are the features [N, D], and D_old <= D is the width that the old head takes. With alpha 1 only the old head
    counts. Source: Shen et al., CVPR 2020, arXiv 2003.11942.

    Raises:
        PctError: alpha is outside [0, 1], a head is not linear, the numbers of classes differ, the features are
            narrower than D_old, or several heads count in evaluation.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"The share of the old head is {alpha}: choose one between 0 and 1.")
    if model.architecture.aux_eval != "main":
        raise ConfigError(
            "The old head can be mixed into one head only, but this model predicts with several: set aux_eval=main."
        )
    mixed = copy.deepcopy(model)
    mixed.head = _mixed_head(model.head, old_head, alpha)
    return mixed


def use_old_head(model: Classifier, old_head: nn.Linear) -> None:
    """Replace the model's head by the old one, frozen, on the first D_old features.

    The model has no head of its own then. Raise PctError when the heads do not fit.
    """
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
    """Leave only the heads to train.

    All else keeps its weights and BatchNorm statistics, and its dropout is off. The dropout before the head stays on.
    """
    model.backbone.requires_grad_(False)
    model.embedding.requires_grad_(False)
    model.backbone_frozen = True
    model.train(model.training)


def reset_head(model: Classifier) -> None:
    """Draw the weights of the main and auxiliary heads again. Seed torch before the call."""
    for head in (model.head, *model.aux_heads):
        for part in head.modules():
            reset = getattr(part, "reset_parameters", None)
            if reset is not None:
                reset()


def reorder_classes(model: Classifier, class_names: Sequence[str]) -> None:
    """Put the outputs of all heads into the order of `class_names`, in place.

    Raise DataError unless these are the model's own class names, in any order.
    """
    known = model.architecture.class_names
    if sorted(known) != sorted(class_names):
        raise DataError("Classes can be reordered only among themselves: give the names that the model has.")
    rows = [known.index(name) for name in class_names]
    for head in (model.head, *model.aux_heads):
        # An auxiliary head may have layers of its own before the one that gives the logits.
        last = [part for part in head.modules() if isinstance(part, nn.Linear | CosineHead)][-1]
        with torch.no_grad():
            for values in last.parameters():
                values.copy_(values[rows])
    model.architecture = model.architecture.model_copy(update={"class_names": tuple(class_names)})


def interpolate_weights(old: Classifier, new: Classifier, a: float) -> Classifier:
    """Return a model with the weights a * old + (1 - a) * new.

    BatchNorm statistics are mixed likewise: estimate them again afterwards, see `reset_batchnorm`. Dropout and
    `aux_eval` are those of the new model. Source: Schumann et al., arXiv 2301.10546.

    Raises:
        PctError: the architectures differ, or `a` is outside [0, 1].
    """
    if not 0 <= a <= 1:
        raise ConfigError(f"The share of the old model's weights is {a}: choose one between 0 and 1.")
    for which, model in (("old", old), ("new", new)):
        if isinstance(model, LogitMean):
            raise DataError(
                f"The {which} model is the mean of {len(model.parts)} models, and only the weights of single ones can "
                f"be mixed: name two of its members ({', '.join(part.source for part in model.parts)})."
            )
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
    """Mix a share `a` of the old values into the new ones, in place.

    lerp is exact where both agree, and at both ends. Counters stay those of the new model.
    """
    for key, values in new.items():
        if values.is_floating_point():
            values.copy_(torch.lerp(values, old[key].to(values), a))


def batchnorm_layers(model: Classifier) -> list[_BatchNorm]:
    """Return the BatchNorm layers with running statistics that take part in evaluation.

    Those of auxiliary heads are among them only when `aux_eval` is not main.
    """
    parts: list[nn.Module] = [model.backbone, *(model.aux_heads if model.architecture.aux_eval != "main" else ())]
    layers = [layer for part in parts for layer in part.modules()]
    return [layer for layer in layers if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


def reset_batchnorm(model: Classifier) -> None:
    """Forget the running statistics of `batchnorm_layers`.

    From now on they are plain means over all batches that these layers see in training mode. To estimate them, put the
    model into evaluation mode and only these layers into training mode (`layer.train()`). Show it training images
    without gradient, and then put all of it into evaluation mode again.
    """
    for layer in batchnorm_layers(model):
        layer.reset_running_stats()
        layer.momentum = None
