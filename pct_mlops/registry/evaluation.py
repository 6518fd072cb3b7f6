"""What mlflow.models.evaluate needs of us: served models that are asked for scores, and results kept with the run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pct_mlops.registry.connection import Metric, MlflowClient, mlflow, said_plainly

UNPICKLE = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"


def load_served(uri: str) -> Any:
    """The served model behind `models:/...` as an mlflow.pyfunc model; a pickled one is refused, never run."""
    # Only while it is loaded: what the calling program may load is its own matter.
    asked = UNPICKLE in os.environ
    os.environ.setdefault(UNPICKLE, "false")
    try:
        with said_plainly(f"loading {uri}"):
            return mlflow.pyfunc.load_model(uri)
    finally:
        if not asked:
            del os.environ[UNPICKLE]


def input_shape(model: Any) -> tuple[int, ...] | None:
    """The shape of one example as the model's signature has it, None for columns or without a signature."""
    schema = model.metadata.get_input_schema() if getattr(model, "metadata", None) is not None else None
    if schema is None or not schema.is_tensor_spec() or len(schema.inputs) != 1:
        return None
    return tuple(schema.inputs[0].shape[1:])


def log_evaluation(
    run_id: str, metrics: Mapping[str, float], files: Mapping[str, Path], contents: Mapping[str, Any]
) -> Any:
    """Log metrics and files to the run; the EvaluationResult has those files whose `contents` are given."""
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
