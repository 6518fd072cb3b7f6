"""Scores both sides of a comparison again on the candidate's evaluation set. Stores the tables with their versions."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pct_mlops.config import EngineConfig, Recipe
from pct_mlops.errors import DataError, NotComparableError, RegistryNotFoundError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.with_info import with_info
from pct_mlops.registry import Registry, Version, add_predictions, check_model, not_recorded, record_weights
from pct_mlops.workflows.runtime.distributed import main_process_logger
from pct_mlops.workflows.runtime.model_weights import Weights, classifier_files, other_classes
from pct_mlops.workflows.runtime.predict_split import logits_of
from pct_mlops.workflows.runtime.session import Session
from pct_mlops.workflows.runtime.stored_tables import keep_former
from pct_mlops.workflows.training.register import predictions_table

logger = main_process_logger(__name__)


def recompute(registry: Registry, old: Version | None, new: Version, *, split: str = "test") -> None:
    """Score `old` and `new` on the `split` of the data that `new`'s recipe names, and store both tables.

    Without a baseline `old` is None. The examples are the candidate's. Each model sees them as its own recipe says
    (image size, ten crops). A model is wrong on examples whose class it does not know. Models are rebuilt from
    safetensors and architecture record. A table that is replaced stays with its version as
    predictions/SPLIT-DIGEST.parquet. Nothing is stored unless all models could be scored. Run it in one process only.
    """
    from pct_mlops.engine import make_accelerator

    recipe = _recipe(registry, new)
    if recipe is None:
        raise RegistryNotFoundError(
            f"{new.uri} carries no recipe, so its evaluation set is unknown: score both with 'pct score MODEL --data "
            "FILE', or bring their predictions with 'pct attach'."
        )
    session = Session(make_accelerator(EngineConfig()), registry)
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as temporary:
        made: list[tuple[Version, Predictions]] = []
        for version in filter(None, (old, new)):
            table = _scored(session, version, recipe, split)
            folder = Path(temporary) / str(len(made))
            made.append((version, table.save(folder / f"{split}.parquet")))
        _check_same_examples([table for _, table in made], new)
        models = [check_model(registry, version, split) for version, _ in made]
        for (version, table), model in zip(made, models, strict=True):
            keep_former(registry.files(version), split)
            assert table.path is not None
            left = add_predictions(registry, version, table.path, model)
            record_weights(registry, version, table.info.weights)
            logger.info(f"{version.uri}: {table.info.num_examples:,} examples of {split} scored again.")
            if left:
                logger.warning(not_recorded(left))


def _check_same_examples(tables: Sequence[Predictions], new: Version) -> None:
    """Raise DataError where two tables are not about the same examples with the same labels, by name."""
    if len({table.info.digest for table in tables}) == 1:
        return
    try:
        tables[-1].nfr(tables[0])  # an error unless both hold the same examples
    except NotComparableError as error:
        raise DataError(
            f"The data of {new.uri} changed while it was read: try again when nothing writes to it."
        ) from error


def _scored(session: Session, version: Version, recipe: Recipe, split: str) -> Predictions:
    from pct_mlops.data import load_data

    assert session.registry is not None
    own = _recipe(session.registry, version) or recipe
    seen_as = {"image_size": own.data.image_size, "ten_crop": own.data.ten_crop}
    data = recipe.data.model_copy(update=seen_as)
    splits = load_data(data, recipe.seed.data)
    weights = Weights(version.uri, *classifier_files(session.registry, version))
    model = weights.build()
    architecture = model.architecture
    known = other_classes(model, splits, version.uri)
    if architecture.image_shape != splits.image_shape:
        raise DataError(
            f"{version.uri} sees images of shape {architecture.image_shape}, and {splits.name} has "
            f"{splits.image_shape}: it cannot be judged on this set."
        )
    chosen = {"train": splits.train, "val": splits.val, "test": splits.test}[split]
    title = f"score {version.name}/{version.version}"
    batch_size = recipe.engine.eval_batch_size
    logits = logits_of(model, chosen, data, session.accelerator, batch_size=batch_size, title=title)
    about = {"model_name": version.name, "version": str(version.version), "uri": version.uri}
    table = predictions_table(logits, chosen, splits, **about, known_classes=known)
    return with_info(table, weights=weights.digest)


def _recipe(registry: Registry, version: Version) -> Recipe | None:
    file = registry.download(version, "recipe.yaml")
    return Recipe.read_stored(file, (), version.uri) if file is not None else None
