"""Starts a model from the layers of another one that fit it, and leaves the rest fresh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pct_mlops.errors import ConfigError
from pct_mlops.models.classifier import Classifier
from pct_mlops.models.files import is_head, note_normalisation
from pct_mlops.models.growth.heads import grow_head, known_rows
from pct_mlops.models.growth.writer import Writer


class Taken(NamedTuple):
    """Result of a partial start.

    Attributes:
        num_taken: Numbers that were copied, those of the parameters alone.
        num_all: Numbers that the model has.
        left: Names of the parts of which nothing was copied, for example "backbone.layer4" or "head".
    """

    num_taken: int
    num_all: int
    left: tuple[str, ...]


def copy_fitting_layers(model: Classifier, source: Classifier, *, with_heads: bool = True) -> Taken:
    """Copy every layer whose tensors have the names and shapes of a layer of `source`, in place.

    A layer is taken whole or not at all, because a bias or a BatchNorm's mean is of no use without the weight beside
    it. Rows of the main head are matched by class name. Auxiliary heads are copied where the classes agree, and the
    normalisation where the images have equally many channels. Without `with_heads` all heads stay as they are.

    Raises:
        ConfigError: No layer of the backbone fits. The model is as it was.
    """
    theirs, same_classes = source.state_dict(), model.architecture.class_names == source.architecture.class_names
    layers = dict(_layers(model))
    taken = {
        name
        for name, layer in layers.items()
        if _fits(name, layer, theirs) and (not is_head(f"{name}.") or (with_heads and same_classes))
    }
    by_row = with_heads and not same_classes and _columns_fit(model.head, source.head)
    if not any(name.startswith("backbone.") and list(layers[name].parameters(recurse=False)) for name in taken):
        raise ConfigError(
            f"No layer of a {source.architecture.name} has the name and the shapes of one of this "
            f"{model.architecture.name}: leave model.init out, or choose a model that is more alike."
        )
    num_rows = _copy_rows(model, source) if by_row else 0
    with torch.no_grad():
        for name in taken:
            for key, values in _tensors(layers[name]):
                values.copy_(theirs[f"{name}.{key}" if name else key])
    note_normalisation(model)
    num_taken = sum(values.numel() for name in taken for values in layers[name].parameters(recurse=False))
    if num_rows:
        taken.add("head")
        num_taken += num_rows * sum(values[0].numel() for values in model.head.parameters())
    num_all = sum(values.numel() for values in model.parameters())
    with_weights = [name for name, layer in layers.items() if list(layer.parameters(recurse=False))]
    return Taken(num_taken, num_all, tuple(_untouched(with_weights, taken)))


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that hold tensors themselves, by name. The normalisation belongs to the one named ""."""
    for name, module in model.named_modules():
        if any(True for _ in _tensors(module)):
            yield name, module


def _tensors(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from layer.named_parameters(recurse=False)
    yield from layer.named_buffers(recurse=False)


def _fits(name: str, layer: nn.Module, theirs: Mapping[str, Tensor]) -> bool:
    keys = [(f"{name}.{key}" if name else key, values) for key, values in _tensors(layer)]
    return all(key in theirs and theirs[key].shape == values.shape for key, values in keys)


def _columns_fit(head: nn.Module, other: nn.Module) -> bool:
    return type(head) is type(other) and getattr(head, "in_features", None) == getattr(other, "in_features", 0)


def _copy_rows(model: Classifier, source: Classifier) -> int:
    """Copy the rows of the main head whose classes the source knows. Return how many there are."""
    rows = known_rows(source.architecture.class_names, model.architecture.class_names)
    writer = Writer(torch.Generator())
    grow_head(writer, source.head, model.head, torch.arange(model.num_features), rows)
    for target, values in writer.written:
        target.detach().copy_(values)
    return len(rows[0])


def _untouched(names: list[str], taken: set[str], depth: int = 1) -> list[str]:
    """Return the parts of which nothing was taken, by the shortest name that holds only such layers."""
    found: list[str] = []
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(".".join(name.split(".")[:depth]), []).append(name)
    for part, inside in groups.items():
        if not taken.intersection(inside):
            found.append(part)
        elif inside != [part]:
            found += _untouched([name for name in inside if name != part], taken, depth + 1)
    return found
