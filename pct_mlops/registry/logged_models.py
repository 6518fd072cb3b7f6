"""Finds the files of logged models, of which no version needs to be made yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.registry.artifacts import ModelFiles
from pct_mlops.registry.connection import MlflowException, missing, said_plainly
from pct_mlops.registry.registry import Registry

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel


def logged_models(registry: Registry, run_id: str) -> list[ModelFiles]:
    """Return the models that were logged in a run, checkpoints left out."""
    with said_plainly(f"looking for the models of run {run_id}"):
        run = registry.client.get_run(run_id)
        found = registry.client.search_logged_models(
            [run.info.experiment_id], filter_string=f"source_run_id='{run.info.run_id}'"
        )
    models = [model for model in found if model.model_type != "checkpoint"]
    return [_files(registry, model) for model in models]


def logged_model(registry: Registry, model_id: str) -> ModelFiles | None:
    """Return the files of a logged model (`m-...`), None when there is none."""
    try:
        model = registry.client.get_logged_model(model_id)
    except MlflowException as error:
        if missing(error):
            return None
        with said_plainly(f"reading the model {model_id}"):
            raise
    return _files(registry, model)


def _files(registry: Registry, model: LoggedModel) -> ModelFiles:
    return ModelFiles(model.model_uri, model.artifact_location, registry.tracking_uri)
