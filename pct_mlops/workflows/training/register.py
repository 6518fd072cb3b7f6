"""Registers a trained model as a version with everything that it must carry."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.comparison import compare
from pct_mlops.errors import PctError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.scores import are_probabilities
from pct_mlops.predictions.with_info import with_info
from pct_mlops.registry import PRODUCTION, WEIGHTS_TAG, Registry, TrainingRun, Version
from pct_mlops.workflows.runtime.model_weights import FILES
from pct_mlops.workflows.runtime.weights_digest import digest_of_files
from pct_mlops.workflows.training.job import Trained
from pct_mlops.workflows.training.plugin_versions import plugins_of
from pct_mlops.workflows.training.thumbnails import write_thumbnails

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.data import Split, Splits


def predictions_table(
    logits: NDArray[np.float32], split: Split, splits: Splits, *, model_name: str, version: str = "", uri: str = ""
) -> Predictions:
    """Build the table of one model on one split, from `logits` [N, C] in the order of the split."""
    # A network that ends in a softmax gives probabilities. Its training is not lost for that.
    is_softmax = logits.shape[1] > 1 and bool(are_probabilities(logits).all())
    return Predictions.from_arrays(
        split.labels.numpy(),
        logits=None if is_softmax else logits,
        probabilities=logits if is_softmax else None,
        sample_ids=split.sample_ids,
        class_names=splits.class_names,
        slices=split.slices,
        model_name=model_name,
        model_version=version,
        model_uri=uri,
        dataset=splits.name,
        split=split.name,
        preprocessing=splits.preprocessing_id,
    )


def publish(trained: Trained, run: TrainingRun, tags: Mapping[str, str] | None = None) -> Version:
    """Register a trained model with its predictions on val and test and `tags`. Call it on the main process only."""
    from pct_mlops.models import LogitsOnly, save_classifier

    recipe, splits, model, step = trained.recipe, trained.splits, trained.model, trained.step
    plugins = "; ".join(f"{part}: {origin}" for part, origin in plugins_of(recipe).items())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "version"
        save_classifier(model, folder)
        weights = digest_of_files([folder / name for name in FILES])
        recipe.write(folder / "recipe.yaml")
        tables = {}
        for split in (splits.val, splits.test):
            # The table names the run, because the version has no number before everything is in place.
            table = predictions_table(
                trained.logits[split.name], split, splits, model_name=recipe.model_name, uri=f"runs:/{run.run_id}"
            )
            file = folder / "predictions" / f"{split.name}.parquet"
            tables[split.name] = with_info(table, weights=weights).save(file)
        accuracy = {f"{name}/accuracy": table.accuracy() for name, table in tables.items()}
        run.log_metrics({**accuracy, **_against_production(run.registry, recipe.model_name, tables["test"])}, step)
        version = run.register(
            recipe.model_name,
            LogitsOnly(model).cpu().eval(),
            (splits.test.images(range(2)).float() / 255).numpy(),
            folder,
            step=step,
            tags={
                "pct.loss": recipe.objective.loss,
                "pct.arch": recipe.model.name,
                "pct.teacher": trained.teacher_uri,
                "pct.dataset": splits.name,
                WEIGHTS_TAG: weights,
                **({"pct.plugins": plugins} if plugins else {}),
                **{f"pct.{key}": f"{value:.6f}" for key, value in accuracy.items()},
                **(tags or {}),
            },
        )
        if recipe.data.thumbnail_size:
            digest = tables["test"].info.digest
            file = Path(temporary) / f"{digest[:16]}.parquet"
            write_thumbnails(splits.test, recipe.data.thumbnail_size, file)
            run.store_images(recipe.model_name, digest, file)
    return version


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
