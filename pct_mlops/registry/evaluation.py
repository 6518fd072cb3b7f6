"""Loads served models and logs results, for the evaluator that mlflow.models.evaluate calls."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pct_mlops.registry.connection import Metric, MlflowClient, mlflow, said_plainly

UNPICKLE = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"


def load_served(uri: str) -> Any:
    """Load the served model behind `models:/...` as an mlflow.pyfunc model.

    Raises:
        PctError: It cannot be loaded, or it is pickled. Loading a pickled model would run its code.
    """
    # Set only while this model is loaded: the calling program decides what else it loads.
    asked = UNPICKLE in os.environ
    os.environ.setdefault(UNPICKLE, "false")
    try:
        with said_plainly(f"loading {uri}"):
            return mlflow.pyfunc.load_model(uri)
    finally:
        if not asked:
            del os.environ[UNPICKLE]


def input_shape(model: Any) -> tuple[int, ...] | None:
    """Return the shape of one example from the model's signature, None where it has columns or no signature."""
    schema = model.metadata.get_input_schema() if getattr(model, "metadata", None) is not None else None
    if schema is None or not schema.is_tensor_spec() or len(schema.inputs) != 1:
        return None
    return tuple(schema.inputs[0].shape[1:])


def log_evaluation(
    run_id: str, metrics: Mapping[str, float], files: Mapping[str, Path], contents: Mapping[str, Any]
) -> Any:
    """Log metrics and files to a run.

    Args:
        run_id: The run.
        metrics: Key -> value.
        files: Name -> file, kept as artifacts below pct/.
        contents: Name -> content of those files that the result shall carry.

    Returns:
        MLflow's EvaluationResult.
    """
    from mlflow.models.evaluation import EvaluationResult
    from mlflow.models.evaluation.artifacts import JsonEvaluationArtifact, ParquetEvaluationArtifact

    client = MlflowClient()
    artifacts = {}
    with said_plainly("keeping the evaluation"):
        now = int(time.time() * 1000)
        points = [Metric(key, value, now, 0) for key, value in metrics.items()]
        for start in range(0, len(points), 1000):
            client.log_batch(run_id, metrics=points[start : start + 1000])
        for name, file in files.items():
            client.log_artifact(run_id, str(file), "pct")
            if name in contents:
                kind = JsonEvaluationArtifact if file.suffix == ".json" else ParquetEvaluationArtifact
                uri = (
                    mlflow.get_artifact_uri(f"pct/{file.name}")
                    if mlflow.active_run()
                    else f"runs:/{run_id}/pct/{file.name}"
                )
                artifacts[name] = kind(uri=uri, content=contents[name])
    return EvaluationResult(metrics=dict(metrics), artifacts=artifacts, run_id=run_id)
