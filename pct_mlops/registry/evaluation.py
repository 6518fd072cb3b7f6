"""Logs what mlflow.models.evaluate found, and tells the input shape of the evaluated model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pct_mlops.registry.connection import Metric, MlflowClient, mlflow, said_plainly
from pct_mlops.registry.served_model import inputs_of


def input_shape(model: Any) -> tuple[int, ...] | None:
    """Return the shape of one example from the model's signature, None where it has columns or no signature."""
    inputs = inputs_of(model)
    return inputs.shape if inputs is not None else None


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
        client.log_batch(run_id, metrics=points)
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
