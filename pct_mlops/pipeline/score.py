"""Predictions of a registered model on an evaluation set, stored with it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pct_mlops.config import EngineConfig, PctError, Recipe
from pct_mlops.pipeline.processes import on_main
from pct_mlops.pipeline.publish import predictions_table
from pct_mlops.pipeline.teacher import classifier_files
from pct_mlops.predictions import Predictions
from pct_mlops.registry import Registry, add_predictions


def score(
    reference: str,
    *,
    split: str = "test",
    overrides: Sequence[str] = (),
    output: Path | None = None,
    tracking_uri: str | None = None,
) -> Predictions | None:
    """Score `reference` on the data of its own recipe (with overrides), on all processes of a launcher.

    The table is stored with the version, or written to `output` instead. Returned on the main process.
    """
    from pct_mlops.data import eval_loader, load_data
    from pct_mlops.engine import make_accelerator, predict
    from pct_mlops.models import classifier_from_bytes

    opened: list[Registry] = []

    def fetch() -> tuple[str, str, int, Recipe, bytes, bytes]:
        opened.append(Registry(tracking_uri))
        version = opened[0].resolve(reference)
        recipe_file = opened[0].download(version, "recipe.yaml")
        if recipe_file is None:
            raise PctError(f"{version.uri} carries no recipe, so its data are unknown: register it with 'pct train'.")
        recipe = Recipe.read(recipe_file, overrides)
        return version.uri, version.name, version.version, recipe, *classifier_files(opened[0], version)

    # Scoring is always in full precision, whatever the training used: the served model is, too.
    accelerator = make_accelerator(EngineConfig())
    uri, name, number, recipe, record, weights = on_main(accelerator, fetch)
    splits = load_data(recipe.data, recipe.seed.data)
    chosen = {"train": splits.train, "val": splits.val, "test": splits.test}[split]
    model = classifier_from_bytes(record, weights, uri)
    if model.architecture.class_names != splits.class_names:
        raise PctError(f"{uri} knows other classes than {splits.name}: score it on data with its own classes.")
    loader = eval_loader(
        chosen,
        recipe.data,
        batch_size=recipe.engine.eval_batch_size,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        device=accelerator.device,
    )
    shape = splits.image_shape
    logits = predict(model, loader, len(chosen), accelerator, image_shape=shape, title=f"score {split}")
    if not accelerator.is_main_process:
        return None
    table = predictions_table(logits, chosen, splits, model_name=name, version=str(number), uri=uri)
    if output is not None:
        return table.save(output)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{split}.parquet"
        table.save(file)
        add_predictions(opened[0], opened[0].resolve(uri), file)
    return table
