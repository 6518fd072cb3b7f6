"""Models trained first to be teachers together: independently seeded ones of the new architecture (ELODI)."""

from __future__ import annotations

from collections.abc import Callable

from pct_mlops.config import ObjectiveConfig, Recipe, TeacherConfig
from pct_mlops.errors import PctError
from pct_mlops.workflows.runtime.distributed import main_process_logger
from pct_mlops.workflows.runtime.model_weights import Weights, weights_of
from pct_mlops.workflows.runtime.session import Session
from pct_mlops.workflows.training.job import Trained

logger = main_process_logger(__name__)


def member_recipe(recipe: Recipe, number: int) -> Recipe:
    """Member `number` (from 1): the same model and data by cross-entropy alone, with weights and order of its own.

    Label smoothing and the like stay. `model.init` does not: members that start from one model are not independent.
    """
    plain = {"distance": None, "focus": None, "weight": None, "mix": None, "loss": "none"}
    objective = ObjectiveConfig(**{**recipe.objective.model_dump(), **plain})
    # Fresh views: a member is not distilled, so nothing has to be stored for it.
    data = recipe.data.model_copy(update={"views": None})
    seed = recipe.seed.model_copy(update={"model": number, "sampler": number})
    engine = recipe.engine.model_copy(update={"save_init": False})
    model = recipe.model.model_copy(update={"init": None, "new_head": False})
    parts = {
        "objective": objective,
        "model": model,
        "data": data,
        "seed": seed,
        "engine": engine,
        "teacher": TeacherConfig(),
    }
    return recipe.model_copy(update=parts)


def train_members(
    recipe: Recipe, session: Session, train_once: Callable[[Recipe, Session], Trained]
) -> list[tuple[Weights, float]]:
    """Train `recipe.teacher.num_members` models one after another, each on all processes; those complete are kept.

    Returns their weights, each with a share of 1. A member that diverges stops the whole with its number.
    """
    found = []
    num_members = recipe.teacher.num_members or 0
    for number in range(1, num_members + 1):
        logger.info(f"Member {number} of {num_members}:")
        try:
            trained = train_once(member_recipe(recipe, number), session)
        except PctError as error:
            raise error.reworded(f"Member {number} of the teacher: {error}") from error
        if not trained.num_epochs:
            logger.info(f"complete already in {trained.folder.name}, not trained again.")
        # Its folder is named after all that determines it, so the name tells one member from another.
        found.append((weights_of(trained.model, f"member:{trained.folder.name}"), 1.0))
    return found
