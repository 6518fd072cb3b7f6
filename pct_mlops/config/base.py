"""Defines what every configuration object shares.

Objects are frozen, unknown keys are errors, and values are read from YAML.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pct_mlops.config.catalog import closest_first
from pct_mlops.config.yaml_files import PROBLEMS, load_mapping
from pct_mlops.errors import ConfigError

# `class_weights` for ImageNet's 21,841 classes take half of this.
MAX_RECIPE_BYTES = 1024**2


class Config(BaseModel):
    """A frozen section of a recipe or policy. A misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


C = TypeVar("C", bound=Config)


def _describe(kind: type[Config], error: ValidationError) -> str:
    """Return each problem with its dotted key. For an unknown key, add the closest keys that exist there."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "the file"
        if item["type"] == "extra_forbidden":
            names = ", ".join(closest_first(str(item["loc"][-1]), _keys_at(kind, item["loc"][:-1]))[:5])
            parts.append(f"unknown key '{where}'" + (f" (did you mean {names}?)" if names else ""))
        else:
            parts.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(parts)


def _keys_at(kind: Any, path: Iterable[Any]) -> list[str]:
    for part in path:
        # An index into a list adds no key: `_section` has already found what the list holds.
        if isinstance(part, int):
            continue
        field = getattr(kind, "model_fields", {}).get(part)
        if field is None:
            return []
        kind = _section(field.annotation)
    return list(getattr(kind, "model_fields", {}))


def _section(annotation: Any) -> Any:
    """Return the first section among the parts of `Section | None` or `tuple[Section, ...]`."""
    parts = [annotation, *get_args(annotation)]
    return next((part for part in parts if hasattr(part, "model_fields")), None)


def validate(kind: type[C], data: Any, source: str) -> C:
    """Check plain data against a configuration and return the object.

    Args:
        kind: The class of the configuration.
        data: What YAML gave, usually a mapping.
        source: The name of the file, for the error.

    Raises:
        ConfigError: The data does not fit. The message names the source and the key.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{source} should hold 'key: value' pairs, but it holds {type(data).__name__}.")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_describe(kind, error)}.") from error


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a recipe file as plain data. Raise ConfigError if it is missing, too large or not a YAML mapping."""
    return load_mapping(Path(path), "recipe", MAX_RECIPE_BYTES)


def apply_overrides(data: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a copy of `data` with 'dotted.key=value' overrides applied.

    Values are read as YAML: true, 0.1, [1, 2], null. A value that is not valid YAML is taken as text.
    """
    merged = dict(data)
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"'{item}' is not an override: write key=value, for example optim.lr=0.05.")
        *parents, last = key.strip().split(".")
        node = merged
        for parent in parents:
            child = node.get(parent)
            node[parent] = dict(child) if isinstance(child, dict) else {}
            node = node[parent]
        try:
            node[last] = yaml.safe_load(text)
        except PROBLEMS:
            node[last] = text
    return merged
