"""Registers a trained model as a version with everything that it must carry."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.comparison import compare
from pct_mlops.errors import PctError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.with_info import save_with_info
from pct_mlops.registry import PRODUCTION, WEIGHTS_TAG, Registry, TrainingRun, Version
from pct_mlops.registry.model_digests import FILES, digest_of_files
from pct_mlops.workflows.runtime.model_outputs import kind_of_scores
from pct_mlops.workflows.training.job import Trained
from pct_mlops.workflows.training.plugin_versions import plugins_of
from pct_mlops.workflows.training.thumbnails import write_thumbnails

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.config import Recipe
    from pct_mlops.data import Split, Splits
    from pct_mlops.models import Classifier


def predictions_table(
    logits: NDArray[np.float32],
    split: Split,
    splits: Splits,
    *,
    model_name: str,
    version: str = "",
    uri: str = "",
    known_classes: Sequence[str] | None = None,
) -> Predictions:
    """Build the table of one model on one split.

    Args:
        logits: Of the model [N, C], in the order of the split.
        split: Its examples.
        splits: The data set that it belongs to.
        model_name: Name of the model.
        version: Its version.
        uri: Its address.
        known_classes: Classes of the model, in the order of its logits. None means those of the data, in their order.

    Returns:
        The table, in memory. A label that the model does not know is a class without a probability.
    """
    # A network that ends in a softmax gives probabilities. Its training is not lost for that.
    scores: dict[str, Any] = {kind_of_scores(logits): logits}
    return Predictions.from_arrays(
        split.labels.numpy(),
        **scores,
        sample_ids=split.sample_ids,
        class_names=splits.class_names if known_classes is None else _together(splits.class_names, known_classes),
        known_classes=known_classes,
        slices=split.slices,
        model_name=model_name,
        model_version=version,
        model_uri=uri,
        dataset=splits.name,
        split=split.name,
        preprocessing=splits.preprocessing_of(split),
    )


def _together(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*names, *known)))


def publish(trained: Trained, run: TrainingRun, tags: Mapping[str, str] | None = None) -> Version:
    """Register a trained model with its predictions on val and test and `tags`. Call it on the main process only."""
    recipe, splits, start = trained.recipe, trained.splits, trained.start
    plugins = "; ".join(f"{part}: {origin}" for part, origin in plugins_of(recipe).items())
    tables = {
        split.name: predictions_table(trained.logits[split.name], split, splits, model_name=recipe.model_name)
        for split in (splits.val, splits.test)
    }
    facts = {
        "pct.loss": recipe.objective.loss,
        "pct.arch": recipe.model.name,
        "pct.teacher": trained.teacher_uri,
        "pct.dataset": splits.name,
        **({"pct.plugins": plugins} if plugins else {}),
        **({"pct.init": start.uri, "pct.init_mode": start.mode} if start.mode else {}),
        **(tags or {}),
    }
    example = (splits.test.images(range(2)).float() / 255).numpy()
    version = register_classifier(trained.model, recipe, tables, run, example=example, step=trained.step, tags=facts)
    store_thumbnails(recipe, splits, tables["test"].info.digest, run)
    return version


def register_classifier(
    model: Classifier,
    recipe: Recipe,
    tables: Mapping[str, Predictions],
    run: TrainingRun,
    *,
    example: NDArray[np.float32],
    step: int = 0,
    tags: Mapping[str, str],
) -> Version:
    """Register a classifier with its recipe and its tables. Call it on the main process only.

    Args:
        model: The classifier, which is moved to the CPU.
        recipe: The file that says which registered model and which data it belongs to.
        tables: Its predictions by split. "test" is among them.
        run: The run that the version belongs to.
        example: Images [2 or more, C_in, H, W] in [0, 1].
        step: Optimizer step of the weights.
        tags: Tags of the version. Accuracies and the digest of the weights are added.
    """
    from pct_mlops.models import LogitsOnly, save_classifier

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_classifier(model, folder)
        weights = digest_of_files([folder / name for name in FILES])
        recipe.write(folder / "recipe.yaml")
        # The tables name the run, because the version has no number before everything is in place.
        words = {"model_name": recipe.model_name, "model_uri": f"runs:/{run.run_id}", "weights": weights}
        # A version counts as one model, also where its table is the mean of several.
        stored = {
            name: save_with_info(table, folder / "predictions" / f"{name}.parquet", **words, num_members=1)
            for name, table in tables.items()
        }
        accuracy = {f"{name}/accuracy": table.accuracy() for name, table in stored.items()}
        run.log_metrics({**accuracy, **_against_production(run.registry, recipe.model_name, stored["test"])}, step)
        facts = {WEIGHTS_TAG: weights, **{f"pct.{key}": f"{value:.6f}" for key, value in accuracy.items()}}
        served = LogitsOnly(model).cpu().eval()
        return run.register(recipe.model_name, served, example, folder, step=step, tags={**tags, **facts})


def store_thumbnails(recipe: Recipe, splits: Splits, digest: str, run: TrainingRun) -> None:
    """Keep thumbnails of the test split, whose table has this digest, if the recipe asks for them."""
    if not recipe.data.thumbnail_size:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{digest[:16]}.parquet"
        write_thumbnails(splits.test, recipe.data.thumbnail_size, file)
        run.store_images(recipe.model_name, digest, file)


def _against_production(registry: Registry, name: str, table: Predictions) -> dict[str, float]:
    """Return NFR, PFR and change of accuracy on test against production, for the run's page.

    Return nothing where there is no production, or where its predictions are about other examples.
    """
    production = registry.find(name, PRODUCTION)
    if production is None:
        return {}
    try:
        comparison = compare(Predictions.load(registry.predictions(production)), table)
    except PctError:
        return {}  # another evaluation set: the gate reports it, and the training is not lost
    values = {f"test/{key}": comparison.estimate(key).value for key in ("nfr", "pfr", "accuracy_change")}
    return {key: value for key, value in values.items() if value is not None}
