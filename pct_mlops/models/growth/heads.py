"""Grows the heads of a classifier: columns follow the features, and rows follow the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pct_mlops.models.classifier import Classifier
from pct_mlops.models.growth.channels import spread_weight
from pct_mlops.models.growth.trunk import Unit
from pct_mlops.models.growth.writer import Writer
from pct_mlops.models.heads import CosineHead


def grow_heads(writer: Writer, source: Classifier, model: Classifier, features: Tensor, maps: Sequence[Tensor]) -> None:
    """Grow the main head, and the auxiliary heads that both models have.

    Auxiliary heads that only the new model has stay fresh, because they take no part in evaluation.

    Args:
        writer: Takes the new values.
        source: The old model.
        model: The new model.
        features: Channel map of the features that the head takes.
        maps: Channel maps after each stage of the backbone.

    Raises:
        ValueError: The heads cannot give the same logits.
    """
    old, new = source.architecture, model.architecture
    shared = _same_heads(source, model)
    if old.classifier != new.classifier:
        raise ValueError(f"its classifier is {new.classifier} instead of {old.classifier}: set model.new_head=true")
    if old.aux_eval != new.aux_eval or (old.aux_eval != "main" and not shared):
        raise ValueError(
            f"the old model is evaluated with model.aux_eval={old.aux_eval}: choose it, and the same heads"
        )
    if old.classifier == "cosine":
        _check_cosine(source, model, features)
    rows = known_rows(old.class_names, new.class_names)
    grow_head(writer, source.head, model.head, features, rows)
    for place, (before, after) in enumerate(zip(source.aux_heads, model.aux_heads, strict=True) if shared else ()):
        if isinstance(before, nn.Linear | CosineHead):
            grow_head(writer, before, after, features, rows)
        else:
            _grow_inception(writer, before, after, maps[place - len(model.aux_heads)], rows)


def known_rows(old: Sequence[str], new: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the rows of the new head whose classes the old head knows, and the old head's rows of these classes."""
    places = {name: row for row, name in enumerate(old)}
    found = [(row, places[name]) for row, name in enumerate(new) if name in places]
    rows = torch.tensor(found, dtype=torch.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def grow_head(writer: Writer, old: nn.Module, new: nn.Module, features: Tensor, rows: tuple[Tensor, Tensor]) -> None:
    """Grow a linear or cosine head. Rows of classes that the old head does not know stay as they are."""
    own, given = rows
    values = old.state_dict()
    for key, target in new.state_dict(keep_vars=True).items():
        grown = target.detach().clone()
        if key not in values:  # a head without bias adds nothing
            grown[own] = 0
        elif values[key].dim() > 1:
            grown[own] = spread_weight(values[key], given, features, 1, writer.generator).to(grown)
        else:
            grown[own] = values[key][given].to(grown)
        writer.write(target, grown)


def _same_heads(source: Classifier, model: Classifier) -> bool:
    """Tell whether both models have auxiliary heads of the same kinds, and of kinds that can grow."""
    from torchvision.models.googlenet import InceptionAux

    old, new = ([type(head) for head in part.aux_heads] for part in (source, model))
    return old == new and all(issubclass(kind, nn.Linear | CosineHead | InceptionAux) for kind in new)


def _check_cosine(source: Classifier, model: Classifier, features: Tensor) -> None:
    """Raise ValueError where cosines would change, because replicas change the norms of features and class weights."""
    if source.architecture.temperature != model.architecture.temperature:
        raise ValueError(f"set model.temperature={source.architecture.temperature}, as the old model has it")
    if len(features) != source.num_features:
        raise ValueError(
            "a cosine classifier on more features gives other cosines: set "
            f"model.embedding_dim={source.num_features}, or model.new_head=true"
        )


def _grow_inception(
    writer: Writer, old: nn.Module, new: nn.Module, inputs: Tensor, rows: tuple[Tensor, Tensor]
) -> None:
    """Grow an auxiliary head of Inception's kind, whose inner widths are fixed."""
    before, after = (_unit(head) for head in (old, new))
    writer.place = "an auxiliary head"
    writer.grow_unit(before, after, inputs, torch.arange(before.conv.out_channels))
    hidden, wider = (head.get_submodule("fc1").state_dict(keep_vars=True) for head in (old, new))
    for key, values in hidden.items():
        writer.write(wider[key], values)
    last = old.get_submodule("fc2")
    grow_head(writer, last, new.get_submodule("fc2"), torch.arange(last.get_parameter("weight").shape[1]), rows)


def _unit(head: Any) -> Unit:
    return Unit(head.conv.conv, head.conv.bn)
