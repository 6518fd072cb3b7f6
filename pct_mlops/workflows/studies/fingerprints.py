"""Fingerprints the data and weights that recipes refer to.

A finished run is reused only if they are unchanged.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.config import FileClasses, Recipe
from pct_mlops.errors import NotComparableError, TableError
from pct_mlops.predictions import digest_of
from pct_mlops.workflows.runtime.distributed import on_all
from pct_mlops.workflows.runtime.model_weights import architecture_of, fetch_weights
from pct_mlops.workflows.runtime.session import Session
from pct_mlops.workflows.studies.old_model import Old
from pct_mlops.workflows.studies.plan import Member, with_contents
from pct_mlops.workflows.training.inputs import Inputs, read_inputs
from pct_mlops.workflows.training.sample_weights import tables_of

if TYPE_CHECKING:
    from pct_mlops.data import Split, Splits


def first_inputs(members: Sequence[Member], old: Old, session: Session) -> list[Member]:
    """Read what the members' recipes refer to, and return the members with keys that cover it.

    Everything that can be wrong with recipe or data raises PctError here, before anything is written. Relabelled data
    is retrained, because it changes the keys.
    """
    read: dict[str, Inputs] = {}
    weights: dict[tuple[str, str, str], str] = {}
    found = []
    for member in members:
        recipe = member.recipe
        # Start and seeds change nothing that is read here.
        model = recipe.model.model_copy(update={"init": None})
        parts = recipe.data, model, recipe.optim, tables_of(recipe.objective)
        if repr(parts) not in read:
            read[repr(parts)] = on_all(session.accelerator, partial(_checked, recipe, old, session))
        inputs = read[repr(parts)]
        models = (repr(parts), recipe.teacher.model_dump_json(), recipe.model.model_dump_json())
        if models not in weights:
            weights[models] = _models(recipe, inputs.splits, session)
        found.append(with_contents(member, inputs.digest, weights[models], old.digest))
    return found


def check_examples(splits: Splits, old: Old) -> None:
    """Raise NotComparableError unless the splits that are measured hold the examples that the old model was scored on.

    Call it before the first training, because it would otherwise fail hours later.
    """
    for split, digest in ((splits.test, old.digest), (splits.val, old.val_digest)):
        if digest and _digest(split, splits.class_names, old.class_names.get(split.name)) != digest:
            raise NotComparableError(
                f"The recipe's {split.name} examples are not those that {old.uri} was scored on: "
                f"choose the data of that version, or score it on these with 'pct score --split {split.name}'."
            )


def _digest(split: Split, class_names: Sequence[str], of_table: Sequence[str] | None) -> str:
    """Return the digest of the split under the classes of a stored table, whose order may be another one.

    Return "" where the table does not have the classes of the split.
    """
    import numpy as np
    import pyarrow as pa

    ids, labels = split.sample_ids, split.labels.numpy()
    if of_table and tuple(of_table) != tuple(class_names):
        places = {name: place for place, name in enumerate(of_table)}
        if len(places) < len(of_table) or not places.keys() >= set(class_names):
            return ""
        labels = np.array([places[name] for name in class_names], np.int32)[labels]
        class_names = of_table
    order = sorted(range(len(ids)), key=lambda row: ids[row].encode())
    columns = [pa.array([ids[row] for row in order], pa.string()), pa.array(labels[np.array(order)], pa.int32())]
    return digest_of([pa.record_batch(columns, ["sample_id", "label"])], class_names)


def _checked(recipe: Recipe, old: Old, session: Session) -> Inputs:
    inputs = read_inputs(recipe, session.accelerator)
    check_examples(inputs.splits, old)
    return inputs


def _models(recipe: Recipe, splits: Splits, session: Session) -> str:
    """Return a digest of the models and the table that a recipe refers to.

    Registered versions are left out: they keep their weights, and the recipe holds their numbers.
    """
    teacher, found = recipe.teacher, hashlib.sha256()
    model = recipe.model
    named = [
        (teacher.ref, None, FileClasses(teacher.classes, "teacher.classes")),
        *((part.ref, part.arch, FileClasses(part.classes, "classes in teacher.refs")) for part in teacher.refs),
        (
            recipe.model.starts_from,
            recipe.model.init_arch,
            FileClasses(recipe.model.init_classes, "model.init_classes"),
        ),
    ]
    for reference, arch, classes in named:
        if reference and (os.path.exists(reference) or not reference.rpartition("/")[2].isdigit()):
            plain = architecture_of(recipe.model, splits, arch)
            with_heads = not (reference == model.starts_from and model.new_head)
            weights = fetch_weights(
                reference, recipe.model_name, session, plain, with_heads=with_heads, classes=classes
            )
            found.update(weights.digest.encode())
    if teacher.table is not None:
        found.update(on_all(session.accelerator, partial(_content, teacher.table)))
    return found.hexdigest()


def _content(table: Path) -> bytes:
    try:
        return hashlib.sha256(table.read_bytes()).digest()
    except OSError as error:
        raise TableError(f"{table} cannot be read ({error.strerror}): correct teacher.table.") from error
