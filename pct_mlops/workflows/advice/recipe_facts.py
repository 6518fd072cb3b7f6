"""Tells what a recipe would change against the version in production, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pct_mlops.config import ModelConfig, Recipe
from pct_mlops.errors import PctError
from pct_mlops.workflows.advice.change_facts import Change, ModelFacts, changes_between
from pct_mlops.workflows.advice.model_facts import SPLITS, FactsReader, architecture_text

if TYPE_CHECKING:
    from pct_mlops.data import Splits
    from pct_mlops.predictions import Predictions
    from pct_mlops.registry import Version

MAX_EXAMPLES = 5_000_000  # of a table whose labels are looked up one by one


@dataclass(frozen=True)
class RecipeChanges:
    """Changes that a recipe would make, and sentences on what could not be looked at."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()


def recipe_changes(recipe: Recipe, production: Version, reader: FactsReader) -> RecipeChanges:
    """Compare a recipe with what is recorded of production.

    Data of the user's own (data.root, or code) are read, because they may have grown under the same name. Data sets
    that come with the package are told by the keys of the recipe alone.
    """
    old, notes = reader.facts(production), []
    new = ModelFacts(
        classes=frozenset(recipe.data.classes) if recipe.data.classes else None,
        architecture=architecture_text(recipe.model.model_dump(mode="json")),
        data=recipe.data.model_dump(mode="json"),
    )
    relabelled, splits = 0, None
    if recipe.data.root is not None or ":" in recipe.data.name:
        try:
            splits = _load(recipe)
        except PctError as error:
            notes.append(f"The recipe's data cannot be read, so its keys alone were compared: {error}")
    if splits is not None:
        new = replace(new, classes=frozenset(splits.class_names), num_val=len(splits.val))
        tables = [reader.table(production, split) for split in SPLITS]
        relabelled = sum(_relabelled(table, splits) for table in tables if table is not None)
    if old.is_empty:
        notes.append(f"{production.uri} carries no recipe, so only classes and labels can be compared.")
    elif old.architecture and new.architecture != old.architecture:
        from pct_mlops.models.families import is_own

        record = reader.record(production)
        shape = splits.image_shape if splits is not None else record.get("image_shape")
        own = recipe.model.model_dump(mode="json")
        new = replace(new, num_weights=_num_weights(own, shape, old))
        # A registry elsewhere keeps the weights, but the record tells their number. Its code is not run.
        if old.num_weights is None and not is_own(str(record.get("name"))):
            old = replace(old, num_weights=_num_weights(record, record.get("image_shape"), old))
    return RecipeChanges(tuple(changes_between(old, new, relabelled=relabelled)), tuple(notes))


def _load(recipe: Recipe) -> Splits:
    # torch takes seconds to import, and most recipes need none of it here.
    from pct_mlops.data import load_data

    return load_data(recipe.data, recipe.seed.data)


def _relabelled(table: Predictions, splits: Splits) -> int:
    """Count the examples of a stored table that the data have under the same id with another label."""
    import pyarrow.parquet as pq

    if table.path is None or table.info.num_examples > MAX_EXAMPLES:
        return 0
    names = table.info.class_names
    try:
        columns = pq.read_table(table.path, columns=["sample_id", "label"]).to_pydict()
        before = {key: names[at] for key, at in zip(columns["sample_id"], columns["label"], strict=True)}
    except (OSError, ValueError, IndexError):
        return 0
    count = 0
    for split in (splits.train, splits.val, splits.test):
        labels = split.labels.tolist()
        count += sum(
            before.get(key, splits.class_names[at]) != splits.class_names[at]
            for key, at in zip(split.sample_ids, labels, strict=True)
        )
    return count


def _num_weights(record: Mapping[str, Any], shape: Any, old: ModelFacts) -> int | None:
    """Count weights and buffers of a model with production's number of classes. Return None where it is no model.

    The numbers are not made, only their shapes.

    Args:
        record: Architecture, as a recipe or a version has it.
        shape: Shape of its images.
        old: Facts of production.
    """
    import torch

    from pct_mlops.models import Architecture, build_model

    own = {key: record[key] for key in set(Architecture.model_fields) & set(ModelConfig.model_fields) & set(record)}
    names = tuple(map(str, range(max(2, len(old.classes or ())))))
    try:
        about = {"image_shape": shape, "mean": (0.5,) * shape[0], "std": (0.5,) * shape[0]}
        with torch.device("meta"):
            model = build_model(Architecture(**own, class_names=names, **about))
    except (PctError, RuntimeError, TypeError, ValueError):
        return None
    return sum(values.numel() for values in model.state_dict().values())
