"""Makes the pages on recipes and policies: every key with its type, limits and default."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import _markdown as md
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

PLAIN: dict[Any, str] = {
    bool: "true or false", str: "text", int: "whole number", float: "number", Path: "path", Any: "anything",
}  # fmt: skip


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel], Any]]:
    """Yield each dotted key with its section and its field, depth first. Sections in lists have [] behind them."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key, model, field
        section, many = _section(field.annotation)
        if section is not None:
            yield from keys(section, f"{key}[]." if many else f"{key}.")


def _section(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for part in get_args(annotation):
        found, many = _section(part)
        if found is not None:
            return found, many or get_origin(annotation) is tuple
    return None, False


def _kind(annotation: Any) -> str:
    """Return a type in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(md.code(part) for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(part) for part in parts if part is not type(None)))
    if origin is tuple:
        return f"list of {_kind(parts[0])}"
    if origin is dict:
        return f"mapping of {_kind(parts[0])} to {_kind(parts[1])}"
    if hasattr(annotation, "__metadata__"):
        return _kind(parts[0])
    section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return "section" if section else PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limits(field: Any) -> str:
    """Return the bounds of a number, which pydantic keeps in the field."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    found = [(signs[name], getattr(item, name)) for item in field.metadata for name in signs if hasattr(item, name)]
    return ", ".join(f"{sign} {value:g}" for sign, value in found)


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is PydanticUndefined or isinstance(value, BaseModel) or value in ((), None):
        return ""
    return md.code({True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value)


def _sections(model: type[BaseModel], top: str) -> str:
    """Return a heading for each section with its docstring and a table of its keys."""
    groups: dict[str, list[tuple[str, type[BaseModel], Any]]] = {}
    for key, owner, field in keys(model):
        groups.setdefault(key.rpartition(".")[0], []).append((key, owner, field))
    parts = []
    for group, found in groups.items():
        rows = []
        for key, _, field in found:
            kind = ", ".join(filter(None, (_kind(field.annotation), _limits(field))))
            rows.append((md.code(key), kind, _default(field), md.escaped(field.description or "")))
        head = ("key", "value", "default", "meaning")
        if not any(row[3] for row in rows):
            head, rows = head[:3], [row[:3] for row in rows]
        title = f"## {md.code(group)}" if group else f"## {top}"
        parts += [title, md.prose(found[0][1].__doc__), md.table(head, rows)]
    return "\n\n".join(parts)


def recipe_page() -> str:
    """Return the page on every key of a recipe."""
    from pct_mlops.config import Recipe

    intro = (
        "A recipe is a YAML file. A key that does not exist is an error. Any key can be changed on the command line: "
        "`--set optim.lr=0.05`. What a loss takes under `objective.distance` and `objective.focus` stands in "
        "[Losses](losses.md)."
    )
    return f"# Recipe\n\n{intro}\n\n{_sections(Recipe, 'Top level')}"


def policy_page() -> str:
    """Return the page on every key of a policy."""
    from pct_mlops.config import Policy

    intro = (
        "A policy is a YAML file. [How to write one](../how-to/policy.md) shows one with every section; "
        "`pct policy check --schema` prints the JSON schema, for editors. Files that a policy names lie relative to it."
    )
    return f"# Policy\n\n{intro}\n\n{_sections(Policy, 'Top level')}"
