"""Reads the model that the trainings of a study are measured against."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from pct_mlops.config import Recipe
from pct_mlops.config.commands import train_command
from pct_mlops.errors import ConfigError, PctError, RegistryNotFoundError
from pct_mlops.predictions import Predictions
from pct_mlops.registry import PRODUCTION, Registry, Version
from pct_mlops.workflows.runtime.model_weights import is_checkpoint
from pct_mlops.workflows.runtime.references import version_predictions


@dataclass(frozen=True)
class Old:
    """Version that all trainings are measured against.

    `share` is its accuracy on val, None where it is not needed. `val_digest` is that of its table on val, "" where
    trainings are not measured on it. `class_names` are those of its tables, by split: they say what the labels in the
    digests mean. `production` is the version in production, "" where there is none. It is another one where the recipe
    names a version in teacher.ref.
    """

    uri: str
    version: int
    digest: str
    num_examples: int
    accuracy: float
    share: float | None
    val_digest: str = ""
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    production: str = ""


def old_version(recipe: Recipe, registry: Registry, purpose: str) -> Version:
    """Return the version that the recipe's teacher.ref names, else production.

    A reference means what it means to a training, but a checkpoint is refused because it has no stored predictions.
    Without production, the error says how to make a first baseline.
    """
    name, reference = recipe.model_name, recipe.teacher.ref or PRODUCTION
    if is_checkpoint(reference):
        raise ConfigError(
            f"{purpose} measures flips against a registered version, and teacher.ref={reference} is a checkpoint: "
            f"name a version, for example {name}/1, or leave it out for production."
        )
    if reference != PRODUCTION:
        return registry.resolve(f"{name}@{reference}" if reference.isidentifier() else reference)
    version = registry.find(name, PRODUCTION)
    if version is None:
        raise RegistryNotFoundError(
            f"{purpose} measures flips against the production version of {name}, and there is none: make a first "
            f"baseline with {train_command()} and then 'pct gate {name}@candidate --policy FILE --promote'."
        )
    return version


def old_tables(registry: Registry, version: Version) -> dict[str, Predictions]:
    """Return the stored predictions of the old model on test and, where it has them, on val."""
    tables = {"test": version_predictions(registry, version, "test")}
    # Only the controls need those on val. They raise an error of their own when the table is missing.
    with contextlib.suppress(PctError):
        tables["val"] = version_predictions(registry, version, "val")
    return tables
