"""Trains the models that together become the teacher: independently seeded ones of the new architecture (ELODI)."""

from __future__ import annotations

from collections.abc import Callable

from pct_mlops.config import Recipe, TeacherConfig
from pct_mlops.errors import PctError
from pct_mlops.workflows.runtime.distributed import main_process_logger
from pct_mlops.workflows.runtime.model_weights import Weights, weights_of
from pct_mlops.workflows.runtime.session import Session
from pct_mlops.workflows.training.job import Trained

logger = main_process_logger(__name__)


def member_recipe(recipe: Recipe, number: int) -> Recipe:
    """Return the recipe of member `number` (from 1): the same model and data, cross-entropy alone, seeds of its own.

    Label smoothing and the like stay. `model.init` does not, because members that start from one model are not
    independent.
    """
    # Draw fresh views in every epoch: a member is not distilled, so no teacher outputs are stored for it.
    data = recipe.data.model_copy(update={"views": None})
    seed = recipe.seed.model_copy(update={"model": number, "sampler": number})
    engine = recipe.engine.model_copy(update={"save_init": False})
    start = {"init": None, "init_classes": None, "init_arch": None, "init_mode": "same", "new_head": False}
    model = recipe.model.model_copy(update=start)
    parts = {
        "objective": recipe.objective.of_loss("none"),
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
    """Train `recipe.teacher.num_members` models one after another, each on all processes.

    Members that an earlier start completed are kept. Return the weights of all, each with a share of 1. A member that
    fails stops the whole, and the error says its number.
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
        # The folder is named after all that determines the member, so the name tells one member from another.
        found.append((weights_of(trained.model, f"member:{trained.folder.name}"), 1.0))
    return found
