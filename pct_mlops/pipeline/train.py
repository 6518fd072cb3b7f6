"""Train a candidate against production, score it, register it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pct_mlops.config import Recipe
from pct_mlops.pipeline.processes import on_main
from pct_mlops.pipeline.publish import publish
from pct_mlops.pipeline.teacher import check_teacher, load_teacher
from pct_mlops.pipeline.training import Training
from pct_mlops.registry import Registry, Version, training_run

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pct_mlops.data import Splits, TrainLoader
    from pct_mlops.models import Classifier


def train(
    recipe: Recipe,
    *,
    tracking_uri: str | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> Version | None:
    """Run one recipe on all processes; the registered version on the main one, None on the others.

    Everything that can be wrong with recipe, data or registry is a PctError before the first step and before
    anything is written.
    """
    from pct_mlops.data import load_data
    from pct_mlops.engine import make_accelerator
    from pct_mlops.losses import build_objective

    objective = build_objective(recipe.objective)
    accelerator = make_accelerator(recipe.engine)
    splits = load_data(recipe.data, recipe.seed.data)
    model = _new_model(recipe, splits, accelerator)
    loader = _train_loader(recipe, splits, accelerator)
    # A loss that needs production has nothing to learn from in a store that is not there.
    registry = _open_registry(tracking_uri, create=not objective.needs_teacher, accelerator=accelerator)
    teacher = load_teacher(recipe, objective, registry, accelerator)
    if teacher is not None:
        check_teacher(teacher, splits.class_names, splits.image_shape)
    speak = say if accelerator.is_main_process else _silent
    training = Training(recipe, splits, objective, teacher, accelerator, resume, speak)
    if registry is None:
        training.fit(model, loader, None)
        training.score_best()
        return None
    with training_run(registry, recipe.model_name, recipe.objective.loss) as run:
        run.log_params(_flat(recipe.model_dump(mode="json")))
        training.fit(model, loader, run)
        best, logits = training.score_best()
        uri = teacher.uri if teacher else ""
        version = publish(recipe, best, splits, logits, run, step=training.best_step, teacher_uri=uri)
    say(f"Registered {version.uri} ({recipe.objective.loss}, {recipe.model.name}) as {recipe.model_name}@candidate.")
    return version


def _open_registry(tracking_uri: str | None, *, create: bool, accelerator: Accelerator) -> Registry | None:
    """The registry on the main process, None on the others; a failure is raised on all of them."""
    opened: list[Registry] = []
    on_main(accelerator, lambda: opened.append(Registry(tracking_uri, create=create)))
    return opened[0] if opened else None


def _new_model(recipe: Recipe, splits: Splits, accelerator: Accelerator) -> Classifier:
    from pct_mlops.engine import seed_everything, sync_batchnorm
    from pct_mlops.models import Architecture, build_model

    seed_everything(recipe.seed.model)
    model = build_model(
        Architecture(
            name=recipe.model.name,
            kwargs=recipe.model.kwargs,
            class_names=splits.class_names,
            image_shape=splits.image_shape,
            mean=splits.mean,
            std=splits.std,
        )
    )
    # The same weights everywhere, and then noise (dropout, stochastic depth) of each process's own.
    seed_everything(recipe.seed.model + accelerator.process_index)
    return sync_batchnorm(model, accelerator) if recipe.engine.sync_batchnorm else model  # type: ignore[return-value]


def _train_loader(recipe: Recipe, splits: Splits, accelerator: Accelerator) -> TrainLoader:
    from pct_mlops.data import train_loader

    return train_loader(
        splits.train,
        recipe.data,
        global_batch_size=recipe.optim.global_batch_size,
        seed_sampler=recipe.seed.sampler,
        seed_data=recipe.seed.data,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        device=accelerator.device,
    )


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _silent(text: str) -> None:
    """What the processes other than the main one say."""
