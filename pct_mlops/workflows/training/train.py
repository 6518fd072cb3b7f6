"""Trains a candidate against production, scores it and registers it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pct_mlops.config import Recipe
from pct_mlops.registry import TrainingRun, Version, training_run
from pct_mlops.workflows.runtime.distributed import main_process_logger, on_all
from pct_mlops.workflows.runtime.model_weights import is_checkpoint, weights_of
from pct_mlops.workflows.runtime.session import Session, open_session
from pct_mlops.workflows.training.components import build_parts
from pct_mlops.workflows.training.ensemble_members import train_members
from pct_mlops.workflows.training.inputs import Inputs, read_inputs
from pct_mlops.workflows.training.job import Trained, Training
from pct_mlops.workflows.training.register import publish
from pct_mlops.workflows.training.start_advice import start_advice
from pct_mlops.workflows.training.teacher import build_teacher, fetch_references

logger = main_process_logger(__name__)


def train(
    recipe: Recipe,
    *,
    tracking_uri: str | None = None,
    resume: bool = False,
) -> Version | None:
    """Run one recipe on all processes. Return the registered version on the main one, None on the others.

    Everything that can be wrong with recipe, data or registry raises PctError before the first step, and before
    anything is written. With `resume`, go on from the last checkpoint of the same recipe.
    """
    from pct_mlops.engine import make_accelerator

    accelerator = make_accelerator(recipe.engine)
    # A file may be readable for some of the processes only. What one alone cannot read ends them all.
    inputs = on_all(accelerator, lambda: read_inputs(recipe, accelerator))
    # A loss that needs a registered model finds none in a store that does not exist yet, so none is created for it.
    session = open_session(accelerator, tracking_uri, create=not _needs_version(inputs))
    complete = _prepare(inputs, session, resume)
    if session.registry is None:
        complete(None)
        return None
    record = inputs.model.architecture.model_dump(mode="json")
    advice = start_advice(session.registry, recipe.model_name, inputs.recipe.model, record)
    if advice:
        logger.info(advice)
    with training_run(session.registry, recipe.model_name, recipe.objective.loss) as run:
        run.log_params(flat(inputs.recipe.model_dump(mode="json")))
        version = publish(complete(run), run)
    logger.info(
        f"Registered {version.uri} ({recipe.objective.loss}, {recipe.model.name}) as {recipe.model_name}@candidate."
    )
    return version


def train_once(recipe: Recipe, session: Session, *, run: TrainingRun | None = None, resume: bool = True) -> Trained:
    """Train a recipe for an ensemble member or a sweep. Register nothing.

    A training that is complete already is found by its recipe and not repeated.
    """
    inputs = on_all(session.accelerator, lambda: read_inputs(recipe, session.accelerator))
    return _prepare(inputs, session, resume, own_folder=True)(run)


def _needs_version(inputs: Inputs) -> bool:
    """Tell whether the teacher is, or has among its members, a registered version and not only files."""
    teacher = inputs.recipe.teacher
    if not (inputs.objective.needs_teacher and teacher.names_old_models):
        return False
    references = [teacher.ref] if teacher.ref else [member.ref for member in teacher.refs]
    return not references or not all(is_checkpoint(reference) for reference in references)


def flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested keys into dotted ones."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _prepare(
    inputs: Inputs, session: Session, resume: bool, *, own_folder: bool = False
) -> Callable[[TrainingRun | None], Trained]:
    """Check everything that can be wrong, and return the function that does the rest. Call both on all processes."""
    from pct_mlops.engine import seed_everything

    recipe = inputs.recipe
    learns = inputs.objective.needs_teacher and recipe.teacher.kind == "models"
    references = []
    if learns:
        references = fetch_references(
            recipe.teacher,
            inputs.splits,
            session,
            loss=recipe.objective.loss,
            new=recipe.model,
            model_name=recipe.model_name,
        )
    if not (learns and recipe.teacher.num_members):
        teacher = build_teacher(references, inputs.splits) if references else None
        return Training(build_parts(inputs, session, teacher), session, resume, own_folder).complete
    # Members take hours. A copy of the new model stands in for them, so that what does not fit is found now.
    trial = replace(inputs, model=copy.deepcopy(inputs.model))
    stand_ins = [(weights_of(inputs.model, f"member {number}"), 1.0) for number in range(recipe.teacher.num_members)]
    build_parts(trial, session, build_teacher(references + stand_ins, inputs.splits), rehearse=True)

    def complete(run: TrainingRun | None) -> Trained:
        members = references + train_members(recipe, session, train_once)
        # Seed again, so that the noise is the same whether the members were trained now or before.
        seed_everything(recipe.seed.model + session.accelerator.process_index)
        parts = build_parts(inputs, session, build_teacher(members, inputs.splits))
        return Training(parts, session, resume, own_folder).complete(run)

    return complete
