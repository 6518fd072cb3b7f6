"""Tells which parts of a recipe are plugins, where their code is, and which version of it is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pct_mlops.config import Recipe


def plugins_of(recipe: Recipe) -> dict[str, str]:
    """Map each part that a plugin brings to its origin: 'distance smooth' -> 'own_loss:Smooth (own-loss 0.1)'.

    Most recipes have none. The version is that of the installed distribution. Code on PYTHONPATH alone has none, and an
    editable installation keeps its number while its code changes.
    """
    from pct_mlops.data import DATASETS
    from pct_mlops.losses import DISTANCES, FOCUSES, PRESETS
    from pct_mlops.models import ARCHITECTURES

    objective = recipe.objective
    losses = [] if objective.loss in PRESETS else [objective.loss]
    # The words are part of the digests of finished trainings, which are found again by them.
    named = (
        ("dataset", DATASETS, [recipe.data.name]),
        ("architecture", ARCHITECTURES, [recipe.model.name]),
        ("distance", DISTANCES, [*losses, *_names(objective.distance)]),
        ("focus", FOCUSES, [*_names(objective.focus)]),
    )
    found = {}
    for kind, catalog, names in named:
        for name in names:
            plugin = catalog.plugin(name)
            if plugin is not None:
                found[f"{kind} {name}"] = plugin.origin
    return found


def _names(spec: Any) -> Iterator[str]:
    """Yield every name in a distance or focus, including those inside a sum or a shuffled focus."""
    if isinstance(spec, Mapping):
        if isinstance(spec.get("name"), str):
            yield spec["name"]
        for value in spec.values():
            yield from _names(value)
    elif isinstance(spec, list | tuple):
        for value in spec:
            yield from _names(value)
