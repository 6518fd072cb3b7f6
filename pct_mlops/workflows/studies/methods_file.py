"""Reads the methods of a sweep from a file: a name for each row of the table, and the values that make its recipe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pct_mlops.config import Recipe, unknown
from pct_mlops.config.yaml_files import load_mapping
from pct_mlops.errors import ConfigError

MAX_BYTES = 100_000
MAX_METHODS = 100
# A name is a cell of a table, and a tag of a run.
NAME = re.compile(r"[^\s|][^\n\r\t|]{0,59}")
HOW = "write 'NAME: [KEY=VALUE, ...]', or 'NAME: {mean_of: OTHER}' for two models deployed"


@dataclass(frozen=True)
class NamedMethod:
    """A row of the table with a name of the user's.

    Attributes:
        name: The name.
        recipe: The recipe that is trained, None where nothing is trained.
        mean_of: The row whose models are averaged with production, so that both are deployed. "" for a training.
    """

    name: str
    recipe: Recipe | None
    mean_of: str = ""


def read_methods(file: str | Path, recipe: str | Path, overrides: Sequence[str] = ()) -> list[NamedMethod]:
    """Read a file of methods.

    Args:
        file: A YAML file of 'NAME: [KEY=VALUE, ...]' lines.
        recipe: The recipe file that the values change.
        overrides: Changes of the recipe that all methods share. A method's own values come last.

    Raises:
        ConfigError: A line is not of this form, a value does not fit the recipe, or `mean_of` names no training.
    """
    rows = load_mapping(Path(file), "list of methods", MAX_BYTES)
    if len(rows) > MAX_METHODS:
        raise ConfigError(f"{file} names {len(rows):,} methods, and {MAX_METHODS} are the most: leave some out.")
    found = [_method(name, value, file, recipe, overrides) for name, value in rows.items()]
    trained = [one.name for one in found if one.recipe is not None]
    for one in found:
        if one.mean_of and one.mean_of not in trained:
            raise unknown(f"method in mean_of of '{one.name}'", one.mean_of, trained)
    if found[0].mean_of:
        raise ConfigError(
            f"{file}: '{found[0].name}' stands first, and the others are compared with it: begin with a training."
        )
    _check_measure(Recipe.read(recipe, overrides), found)
    return found


def _method(name: object, value: Any, file: str | Path, recipe: str | Path, overrides: Sequence[str]) -> NamedMethod:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"{file}: {name!r} cannot name a method: give up to 60 characters in one line, without '|'.")
    if isinstance(value, dict) and set(value) == {"mean_of"} and isinstance(value["mean_of"], str):
        return NamedMethod(name, None, value["mean_of"])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ConfigError(f"{file}: the method '{name}' is not written as it should be: {HOW}.")
    try:
        return NamedMethod(name, Recipe.read(recipe, [*overrides, *value]))
    except ConfigError as error:
        raise ConfigError(f"{file}: the method '{name}' is not possible: {error}") from error


def _check_measure(recipe: Recipe, methods: Sequence[NamedMethod]) -> None:
    for method in methods:
        if method.recipe is not None:
            check_same_measure(recipe, method.recipe, f"The method '{method.name}'")


def check_same_measure(recipe: Recipe, other: Recipe, what: str) -> None:
    """Raise ConfigError for a recipe that changes what is measured, since its numbers would not compare."""
    same = (other.model_name, other.teacher.ref, other.seed) == (recipe.model_name, recipe.teacher.ref, recipe.seed)
    if not same or other.data.name != recipe.data.name or other.data.val_fraction != recipe.data.val_fraction:
        raise ConfigError(
            f"{what} changes what is measured (model_name, teacher.ref, seed, data.name or data.val_fraction): give it "
            "with --set, for all alike."
        )
