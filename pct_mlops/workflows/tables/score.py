"""Scores a registered model or a checkpoint on an evaluation set, and stores the predictions.

They are stored with the version, or in a file where one is named.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.config import EngineConfig, FileClasses, Recipe
from pct_mlops.config.recipe import named_code
from pct_mlops.errors import ConfigError, DataError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.with_info import with_info
from pct_mlops.registry import Registry, Version, add_predictions, check_model, not_recorded, record_weights
from pct_mlops.workflows.runtime.distributed import main_process_logger, on_main
from pct_mlops.workflows.runtime.model_weights import (
    architecture_of,
    fetch_weights,
    is_checkpoint,
    is_weights_file,
    other_classes,
)
from pct_mlops.workflows.runtime.predict_split import logits_of
from pct_mlops.workflows.runtime.session import Session, open_session
from pct_mlops.workflows.runtime.stored_tables import keep_former
from pct_mlops.workflows.training.old_accuracy import warn_of_accuracy
from pct_mlops.workflows.training.register import predictions_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.data import Split, Splits
    from pct_mlops.models import Classifier
    from pct_mlops.workflows.runtime.model_weights import Weights

logger = main_process_logger(__name__)


def score(
    reference: str,
    *,
    split: str = "test",
    overrides: Sequence[str] = (),
    recipe_file: Path | None = None,
    output: Path | None = None,
    classes: tuple[str, ...] | Path | None = None,
    tracking_uri: str | None = None,
) -> Predictions | None:
    """Score `reference` on the data of its own recipe (with overrides), on all processes of a launcher.

    A checkpoint is a folder, or a file of another program, which needs `recipe_file` and takes `classes`: its class
    names in the order of its outputs, or a file that lists them. A checkpoint has no version to store its table with,
    so it needs `output`. Of image files, only those of `split` need to be at hand. The data may have classes that the
    model does not know: it is wrong on their examples.

    Return the table on the main process, None on the others.
    """
    from pct_mlops.engine import make_accelerator

    # Scoring is always in full precision, whatever the training used: the served model is, too.
    accelerator = make_accelerator(EngineConfig())
    # The user did not write a recipe that came with the model, so code that only it names is not trusted.
    trusted = None if recipe_file else named_code(overrides)
    if is_checkpoint(reference):
        if output is None:
            raise ConfigError(
                f"{reference} is a checkpoint and no registered version: say where to write, with --output."
            )
        session, version = Session(accelerator, None), None
        recipe = _of_checkpoint(reference, recipe_file, overrides)
    else:
        session = open_session(accelerator, tracking_uri, create=False)
        version, recipe = on_main(accelerator, lambda: _registered(session, reference, recipe_file, overrides))
    model, weights, splits = _loaded(
        version.uri if version else reference, recipe, split, session, classes=classes, trusted=trusted
    )
    chosen = {"train": splits.train, "val": splits.val, "test": splits.test}[split]
    batch_size = recipe.engine.eval_batch_size
    logits = logits_of(model, chosen, recipe.data, accelerator, batch_size=batch_size, title=f"score {split}")
    if not session.is_main:
        return None
    if is_weights_file(reference):
        _warn(weights.uri, model.architecture.class_names, logits, chosen, splits)
    name, number = (version.name, str(version.version)) if version else (recipe.model_name, "")
    about = {"model_name": name, "version": number, "uri": weights.uri}
    table = predictions_table(logits, chosen, splits, **about, known_classes=other_classes(model, splits, weights.uri))
    table = with_info(table, weights=weights.digest)
    if output is not None:
        return table.save(output)
    assert version is not None
    _store(session.registry, version, table, split)
    return table


def _warn(uri: str, known: Sequence[str], logits: NDArray[np.float32], chosen: Split, splits: Splits) -> None:
    """Warn of an accuracy that is next to chance on the examples whose class the model knows."""
    import numpy as np

    place = {name: index for index, name in enumerate(known)}
    targets = np.array([place.get(name, -1) for name in splits.class_names])[chosen.labels.numpy()]
    shared = targets >= 0
    if shared.any():
        predictions, title = logits[shared].argmax(axis=1), f"The model in {uri}"
        warn_of_accuracy(title, targets[shared], predictions, num_classes=len(known), split=chosen.name)


def _store(registry: Registry | None, version: Version, table: Predictions, split: str) -> None:
    """Store the table with the version. One that it replaces stays under another name."""
    assert registry is not None
    made_by = check_model(registry, version, split)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{split}.parquet"
        table.save(file)
        keep_former(registry.files(version), split)
        left = add_predictions(registry, version, file, made_by)
    if left:
        logger.warning(not_recorded(left))
    record_weights(registry, version, table.info.weights)


def _loaded(
    reference: str,
    recipe: Recipe,
    split: str,
    session: Session,
    *,
    classes: tuple[str, ...] | Path | None,
    trusted: frozenset[str] | None,
) -> tuple[Classifier, Weights, Splits]:
    """Return the model, its weights, and the data. Raise PctError when they share no class."""
    from pct_mlops.data import class_order, load_for_scoring

    given = FileClasses(classes, "--classes")
    names = given.names()
    splits = load_for_scoring(recipe.data, recipe.seed.data, split, names and class_order(recipe.data, names))
    plain = architecture_of(recipe.model, splits)
    weights = fetch_weights(reference, recipe.model_name, session, plain, named=trusted, classes=given)
    model = weights.build()
    known = model.architecture.class_names
    if known != splits.class_names and set(known) >= set(splits.class_names):
        # A test split alone may lack some of the classes.
        splits = load_for_scoring(recipe.data, recipe.seed.data, split, known)
    other_classes(model, splits, weights.uri)  # before the work begins
    return model, weights, splits


def _of_checkpoint(reference: str, recipe_file: Path | None, overrides: Sequence[str]) -> Recipe:
    path = recipe_file or Path(reference) / "recipe.yaml"
    if recipe_file is None and not path.is_file():
        raise DataError(f"{reference} carries no recipe, so its data are unknown: give one with --recipe.")
    return _read(path, recipe_file, overrides, reference)


def _registered(
    session: Session, reference: str, recipe_file: Path | None, overrides: Sequence[str]
) -> tuple[Version, Recipe]:
    registry = session.registry
    assert isinstance(registry, Registry)  # it is open on the main process, which alone calls this
    version = registry.resolve(reference)
    found = recipe_file or registry.download(version, "recipe.yaml")
    if found is None:
        name = f"{version.name}/{version.version}"
        raise DataError(
            f"{version.uri} carries no recipe, so its data are unknown: score it on a file of examples with 'pct score "
            f"{name} --data FILE', bring its predictions with 'pct attach {name} FILE', or give a recipe with --recipe."
        )
    return version, _read(found, recipe_file, overrides, version.uri)


def _read(path: Path, own: Path | None, overrides: Sequence[str], source: str) -> Recipe:
    """Read the user's `own` recipe, or the one that came with the model."""
    return Recipe.read(path, overrides) if own else Recipe.read_stored(path, overrides, source)
