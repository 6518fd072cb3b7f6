"""Implements the evaluator `pct` of mlflow.models.evaluate: the metrics of `pct compare`, and the flips as a table.

    mlflow.models.evaluate(
        "models:/shoes@candidate", images, targets=labels, model_type="classifier",
        evaluators=["pct"], evaluator_config={"pct": {"baseline": "models:/shoes@production"}},
    )

MLflow finds the class by its entry point and calls only the two methods below. Nothing heavy is imported before a
comparison is wanted, so installing this package neither slows down nor changes other evaluations.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import ConfigError, DataError
from pct_mlops.integrations.evaluator_baseline import (
    baseline_classes,
    load_baseline,
    names_of,
    resolved_baseline,
    stored_predictions,
)
from pct_mlops.integrations.evaluator_options import PctOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.comparison import Comparison
    from pct_mlops.predictions import Predictions

logger = logging.getLogger(__name__)
PAGE = 10_000


class FlipEvaluator:
    """An evaluator that compares the evaluated model with a baseline on the same data."""

    @classmethod
    def can_evaluate(cls, *, model_type: str, evaluator_config: dict[str, Any] | None, **_: Any) -> bool:
        """Tell whether the configuration names a baseline.

        Without evaluators=[...], MLflow asks every installed evaluator.
        """
        return "baseline" in (evaluator_config or {})

    def evaluate(
        self,
        *,
        model_type: str,
        dataset: Any,
        run_id: str,
        evaluator_config: dict[str, Any],
        model: Any = None,
        **_: Any,
    ) -> Any:
        """Compare the model with its baseline and log the result to the run.

        Returns:
            An EvaluationResult: every defined metric with its `_lower` and `_upper` bounds, the flips and the
            comparison.
        """
        if model_type != "classifier":
            raise ConfigError(f"The pct evaluator compares classifiers, and model_type is '{model_type}'.")
        if model is None or not dataset.has_targets:
            raise ConfigError("The pct evaluator needs a model and the targets of the data: give both.")
        config = PctOptions.read(evaluator_config)
        with _settings_kept():
            from pct_mlops import registry
        comparison, tables = _compare(model, dataset, config, registry)
        if config.attach:
            _attach(model, tables["new"], config)
        return _logged(comparison, tables, config, run_id, registry)


@contextmanager
def _settings_kept() -> Iterator[None]:
    """Restore environment and log levels at the end of the block.

    Importing our registry sets how mlflow behaves in our own commands. The calling program keeps its own settings.
    """
    before = set(os.environ)
    levels = {name: logging.getLogger(name).level for name in ("mlflow", "alembic")}
    try:
        yield
    finally:
        for key in set(os.environ) - before:
            del os.environ[key]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _compare(model: Any, dataset: Any, config: PctOptions, registry: Any) -> tuple[Comparison, dict[str, Predictions]]:
    from pct_mlops.comparison import compare
    from pct_mlops.predictions import Predictions

    stored = stored_predictions(config)
    features, ids = _split_ids(dataset.features_data, config)
    uri, info = (config.baseline, stored.info) if stored is not None else resolved_baseline(config.baseline, registry)
    names = config.class_names or names_of(info)

    def table(
        asked: Any, name: str, address: str, shape: tuple[int, ...] | None, own: Sequence[str] | None = None
    ) -> Predictions:
        scores = _scores(asked, features, config, shape)
        classes = tuple(str(item) for item in names or range(scores.shape[1]))
        labels = _labels(dataset.labels_data, classes)
        known = baseline_classes(scores.shape[1], classes, own)
        together = tuple(dict.fromkeys((*classes, *(known or ()))))
        title = {"class_names": together, "model_name": name, "model_uri": address, "dataset": "evaluated data"}
        return Predictions.from_arrays(ids, labels, scores, split="evaluated", known_classes=known, **title)  # type: ignore[arg-type]

    # A baseline that may not be loaded is refused before the evaluated model is asked about all examples.
    baseline = load_baseline(uri, config, registry) if stored is None else None
    new = table(model, "evaluated model", getattr(model, "model_id", None) or "", registry.input_shape(model))
    if baseline is None:
        assert stored is not None
        return compare(stored, new), {"old": stored, "new": new}
    own = info.model_classes if info is not None else baseline.classes
    old = table(baseline, "baseline", uri, baseline.inputs.shape if baseline.inputs else None, own)
    return compare(old, new), {"old": old, "new": new}


def _attach(model: Any, table: Predictions, config: PctOptions) -> None:
    """Store the evaluated model's table with the model, so that the gate can read it."""
    from pct_mlops.predictions.with_info import with_info
    from pct_mlops.workflows.tables.log_predictions import log_predictions

    target = config.attach if isinstance(config.attach, str) else getattr(model, "model_id", None)
    if target is None:
        raise ConfigError("The evaluated model is no logged model of MLflow: name its version, as in attach: 'pets/3'.")
    # Its own split is "evaluated", which no policy decides on.
    stored = log_predictions(target, with_info(table, split=""), config.split, replace=config.replace)
    logger.info(f"{stored.model} carries {stored.path} now: {stored.table.info.num_examples:,} examples.")


def _split_ids(data: Any, config: PctOptions) -> tuple[Any, list[str]]:
    """Return the features alone, and an id for each example."""
    given = config.sample_ids
    if isinstance(given, str):
        if given not in getattr(data, "columns", ()):
            raise ConfigError(f"The data have no column '{given}' for sample_ids: name another one, or give a list.")
        return data.drop(columns=[given]), [str(value) for value in data[given]]
    if given is not None:
        ids = [str(value) for value in given]
    else:
        ids = [str(value) for value in getattr(data, "index", range(len(data)))]
    if not ids:
        raise DataError("There are no examples to evaluate on: give some.")
    if len(ids) != len(data):
        raise ConfigError(f"There are {len(ids):,} sample_ids for {len(data):,} examples: give one each.")
    return data, ids


def _scores(model: Any, features: Any, config: PctOptions, shape: tuple[int, ...] | None) -> NDArray[np.float32]:
    """Return logits [N, C] in float32. Probabilities become their logarithms.

    Flattened images get the shape that the model's signature asks for.
    """
    import numpy as np

    from pct_mlops.predictions.scores import are_probabilities, to_logits
    from pct_mlops.workflows.runtime.model_outputs import kind_of_scores

    parts = []
    for start in range(0, len(features), config.batch_size):
        part = features[start : start + config.batch_size]
        part = _shaped(part, shape)
        answer = np.asarray(model.predict(part))
        if answer.ndim != 2 or len(answer) != len(part):
            raise DataError(
                f"predict returned shape {list(answer.shape)} for {len(part)} examples: the pct evaluator needs the "
                "scores of every class, [examples, classes]."
            )
        parts.append(answer.astype(np.float32))
    scores = np.concatenate(parts)
    if (config.scores or kind_of_scores(scores)) == "logits":
        return scores
    if not are_probabilities(scores).all():
        raise ConfigError("scores are said to be probabilities, but their sums are not 1: set scores to logits.")
    return to_logits(scores)


def _shaped(part: Any, shape: tuple[int, ...] | None) -> Any:
    import numpy as np

    if shape is None or len(shape) < 2:
        return part.reset_index(drop=True) if hasattr(part, "reset_index") else part
    if hasattr(part, "columns") and len(part.columns) == 1:
        part = np.stack([np.asarray(value, np.float32).ravel() for value in part.iloc[:, 0]])
    values = np.array(part, np.float32)
    if values[0].size != np.prod(shape):
        raise DataError(
            f"An example has {values[0].size:,} numbers, and the model takes {' x '.join(map(str, shape))}: "
            "flatten the images in this order."
        )
    return values.reshape(len(values), *shape)


def _labels(labels: Any, names: Sequence[str]) -> NDArray[np.int32]:
    """Return targets as class indices. Class names are looked up in `names`."""
    import numpy as np

    values = np.asarray(labels)
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.int32)
    places = {name: index for index, name in enumerate(names)}
    missing = next((value for value in values if str(value) not in places), None)
    if missing is not None:
        raise DataError(f"The target '{missing}' is none of the classes {', '.join(names[:5])}...: set class_names.")
    return np.array([places[str(value)] for value in values], np.int32)


def _logged(
    comparison: Comparison, tables: dict[str, Predictions], config: PctOptions, run_id: str, registry: Any
) -> Any:
    from pct_mlops.reports import comparison_to_json

    report = comparison_to_json(comparison, config.confidence)
    metrics = {}
    for name, estimate in report["metrics"].items():
        for suffix, key in (("", "value"), ("_lower", "lower"), ("_upper", "upper")):
            # MLflow metrics must be numbers. The report holds an undefined value as null.
            if estimate[key] is not None:
                metrics[f"{config.metric_prefix}{name}{suffix}"] = float(estimate[key])
    flips = _flips(comparison)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = {"flips": folder / "flips.parquet", "comparison": folder / "comparison.json"}
        flips.to_parquet(files["flips"], index=False)
        files["comparison"].write_text(json.dumps(report, indent=2, allow_nan=False), encoding="utf-8")
        for name, table in tables.items():
            files[name] = folder / f"{name}.parquet"
            table.save(files[name])
        return registry.log_evaluation(run_id, metrics, files, {"flips": flips, "comparison": report})


def _flips(comparison: Comparison) -> Any:
    """Return every example whose prediction changed as a DataFrame, with class names beside the indices."""
    import pandas as pd

    rows: list[Any] = []
    while page := comparison.flips("all", sort="sample_id", limit=PAGE, offset=len(rows)):
        rows += page
    columns = ("sample_id", "kind", "label", "old_prediction", "new_prediction", "old_confidence", "new_confidence")
    frame = pd.DataFrame({name: [getattr(row, name) for row in rows] for name in columns})
    names = comparison.new.class_names
    for name in ("label", "old_prediction", "new_prediction"):
        frame[f"{name}_name"] = [names[index] for index in frame[name]]
    return frame
