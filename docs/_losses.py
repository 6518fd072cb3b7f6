"""Makes the pages on losses, data sets and architectures, from the catalogues that build them."""

from __future__ import annotations

import dataclasses
from typing import Any

import _markdown as md
import yaml
from pydantic_core import PydanticUndefined


def _parameters(kind: type) -> str:
    if not dataclasses.is_dataclass(kind):
        return ""
    rows = []
    for field in dataclasses.fields(kind):
        default = field.default
        inner = getattr(default, "default", default)  # pydantic's Field around the value
        made = getattr(default, "default_factory", None)
        value = made() if made else inner
        absent = value is dataclasses.MISSING or value is PydanticUndefined
        rows.append((md.code(field.name), "required" if absent else md.code(_yaml(value))))
    return md.table(("parameter", "default"), rows) if rows else ""


def _yaml(value: Any) -> str:
    """Return a value as one would write it in a recipe, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def losses_page() -> str:
    """Return the page on presets, distances with their formulas, focuses, and the objective that joins them."""
    from pct_mlops.losses import DISTANCES, FOCUSES, PRESETS, Objective

    parts = [
        "# Losses",
        "`--loss NAME` (or `objective.loss`) names a preset. A preset is data: a distance to the old model, a focus "
        "that weighs the examples, and how both join the cross-entropy. Each number can be changed: "
        "`--set objective.mix=0.7 --set objective.distance.margin=0.3`. Notation: `z` are logits, `f` features, `y` is "
        "the target, `C` the number of classes, `N` that of examples; `old` is the frozen teacher, `new` the model in "
        "training.",
        "## Presets",
    ]
    for name, preset in PRESETS.items():
        rest = {key: value for key, value in preset.items() if key != "summary"}
        parts += [f"### {md.code(name)}", md.escaped(preset["summary"])]
        if rest:
            parts.append(md.fenced("\n".join(f"{key}: {_yaml(value)}" for key, value in rest.items()), "yaml"))
    parts += ["## The objective", md.prose(Objective.__doc__), "## Distances"]
    for name in DISTANCES:
        parts += [f"### Distance {md.code(name)}", md.prose(DISTANCES[name].__doc__), _parameters(DISTANCES[name])]
    parts += ["## Focuses", "A focus weighs each example by `base + scale * 1[condition]`, unless it says otherwise."]
    for name in FOCUSES:
        parts += [f"### Focus {md.code(name)}", md.prose(FOCUSES[name].__doc__), _parameters(FOCUSES[name])]
    return "\n\n".join(part for part in parts if part)


def data_page() -> str:
    """Return the page on data sets with their docstrings, and on architectures by name."""
    from pct_mlops.data import DATASETS
    from pct_mlops.models import model_names, summary

    parts = ["# Data and models", "## Data sets", "`data.name` in a recipe."]
    for name in DATASETS:
        parts += [f"### {md.code(name)}", md.prose(DATASETS[name].__doc__)]
    groups: dict[str, list[str]] = {}
    for name in model_names():
        groups.setdefault(summary(name), []).append(name)
    parts += ["## Architectures", "`model.name` in a recipe, or `--arch`."]
    rows = [(md.escaped(said), ", ".join(map(md.code, names))) for said, names in sorted(groups.items())]
    parts.append(md.table(("what", "names"), rows))
    return "\n\n".join(parts)
