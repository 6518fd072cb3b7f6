"""Writes a training run: parameters, metrics, checkpoints as logged models, and a registered version."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import RegistryError
from pct_mlops.registry.connection import Metric, MlflowException, mlflow, said_plainly
from pct_mlops.registry.evidence_writing import check_model, evidence_tags, record_evidence
from pct_mlops.registry.logged_models import logged_model
from pct_mlops.registry.registry import CANDIDATE, IMAGES_TAG, Registry, Version
from pct_mlops.registry.termination import closed, opened, runs_closed_on_sigterm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

PROGRAM = 2_000_000  # bytes: more than an exported model has beside its weights
MAX_POINTS = 1000  # of one curve and epoch: the limit of one batch to the server


@dataclass
class TrainingRun:
    """An active MLflow run. Only the main process uses it."""

    registry: Registry
    run_id: str
    experiment_id: str

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log the recipe under `cfg.*`, because the project launcher has logged some keys in its own spelling."""
        with said_plainly("logging the parameters"):
            mlflow.log_params({f"cfg.{key}": str(value)[:6000] for key, value in params.items()})

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log scalars at a step."""
        with said_plainly("logging metrics"):
            mlflow.log_metrics({key: float(value) for key, value in metrics.items()}, step=step)

    def log_curve(self, key: str, values: Sequence[float], last_step: int) -> None:
        """Log one value per optimizer step, ending at `last_step`. Long epochs are thinned to MAX_POINTS."""
        first, now, every = last_step - len(values) + 1, int(time.time() * 1000), -(-len(values) // MAX_POINTS)
        points = [Metric(key, float(v), now, first + i) for i, v in enumerate(values) if i % every == 0]
        with said_plainly("logging the loss"):
            self.registry.client.log_batch(self.run_id, metrics=points)

    def log_checkpoint(self, folder: Path, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the files of `folder` (weights and architecture record) as a logged model with its step."""
        client = self.registry.client
        with said_plainly("logging a checkpoint"):
            model = client.create_logged_model(
                self.experiment_id,
                name=f"checkpoint-{step}",
                source_run_id=self.run_id,
                model_type="checkpoint",
                tags={"step": str(step)},
            )
            client.log_model_artifacts(model.model_id, str(folder))
            client.finalize_logged_model(model.model_id, "READY")
            mlflow.log_metrics(
                {k: float(v) for k, v in metrics.items()}, step=step, model_id=model.model_id, run_id=self.run_id
            )

    def register(
        self,
        name: str,
        served: nn.Module,
        example: NDArray[np.float32],
        folder: Path,
        *,
        step: int,
        tags: Mapping[str, str],
    ) -> Version:
        """Make a version of `name`, and set the alias candidate to it.

        The version is created last, so that a failure leaves none behind.

        Args:
            name: The registered model, made where there is none.
            served: The model to serve, on the CPU in eval mode.
            example: Input of it, float32 [2 or more, C_in, H, W].
            folder: Files that the version carries beside the model.
            step: Optimizer step of the weights.
            tags: Tags of the version.

        Returns:
            The version.
        """
        import torch

        _check_room(served)
        with said_plainly(f"registering {name}"), warnings.catch_warnings():
            # torch warns of weights that are not on the CPU, even where all of them are.
            warnings.filterwarnings("ignore", message="No complete tensor found in the group")
            info = mlflow.pytorch.log_model(
                served,
                name="model",
                input_example=example,
                serialization_format="pt2",
                step=step,
                # Given, because MLflow would take half a minute to find them.
                pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", f"mlflow=={mlflow.__version__}"],
            )
            client = self.registry.client
            client.log_model_artifacts(info.model_id, str(folder))
            tags = {**tags, **self._evidence(info.model_id, folder)}
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            # Unlike a local store, a server refuses a logged model that is not also named by its id.
            made = client.create_model_version(
                name, f"models:/{info.model_id}", self.run_id, tags=dict(tags), model_id=info.model_id
            )
            client.set_registered_model_alias(name, CANDIDATE, str(made.version))
        return self.registry.get(name, int(made.version))

    def _evidence(self, model_id: str, folder: Path) -> dict[str, str]:
        """Return the tags that record the model's tables, which lie below `folder`, as its evidence."""
        files = logged_model(self.registry, model_id)
        splits = sorted(path.stem for path in (folder / "predictions").glob("*.parquet"))
        return evidence_tags(files, splits) if files is not None else {}

    def store_images(self, name: str, digest: str, file: Path) -> None:
        """Keep the thumbnails of an evaluation set, once for all versions of the model."""
        key = IMAGES_TAG + digest[:16]
        with said_plainly("storing the thumbnails"):
            if key in self.registry.client.get_registered_model(name).tags:
                return
            self.registry.client.log_artifact(self.run_id, str(file), "images")
            self.registry.client.set_registered_model_tag(name, key, f"runs:/{self.run_id}/images/{file.name}")


def _check_room(served: nn.Module) -> None:
    """Raise RegistryError where the model has no room among the temporary files: torch ends the process there."""
    tensors = [*served.parameters(), *served.buffers()]
    needed = 2 * sum(tensor.numel() * tensor.element_size() for tensor in tensors) + PROGRAM
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RegistryError(
            f"{folder} has {free / 1e6:,.1f} MB free, and registering the model takes {needed / 1e6:,.1f} MB there: "
            "free some space, or set TMPDIR to a folder with more, and run the same command again ('pct train' with "
            "--resume)."
        )


@contextmanager
def training_run(registry: Registry, experiment: str, run_name: str) -> Iterator[TrainingRun]:
    """Open an MLflow run for a training, for the time of a `with` block.

    Inside `mlflow run` it is the run that the launcher made. A failure or interruption marks it FAILED or KILLED.
    Nothing stays RUNNING.
    """
    with said_plainly(starting()):
        # A launcher has chosen the experiment, and naming another one would break start_run.
        if "MLFLOW_RUN_ID" not in os.environ:
            mlflow.set_experiment(experiment)
        active = mlflow.start_run(run_name=run_name, log_system_metrics=True)
    run = TrainingRun(registry, active.info.run_id, active.info.experiment_id)
    with ended_as_it_went(run):
        yield run


def starting() -> str:
    """Say which run is about to start. MLflow forgets MLFLOW_RUN_ID before it fails, so this is asked for first."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    return f"starting the run {run_id} that MLFLOW_RUN_ID names" if run_id else "starting a run"


@contextmanager
def ended_as_it_went(run: TrainingRun) -> Iterator[None]:
    """End this run and open runs below it with the `with` block, as FINISHED, FAILED or KILLED."""
    status = "FAILED"
    with runs_closed_on_sigterm():
        opened(run.run_id, run.registry.client)
        try:
            yield
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            try:
                _end_those_below(run.run_id, "KILLED" if status == "KILLED" else "FAILED")
                mlflow.end_run(status)
            except Exception as error:
                if status == "FINISHED":
                    raise RegistryError(f"The run could not be closed: {error}.") from error
            finally:
                closed(run.run_id)


def _end_those_below(run_id: str, status: str) -> None:
    """End runs below this one that are still open: mlflow ends the innermost run, which must be this one."""
    while (active := mlflow.active_run()) is not None and active.info.run_id != run_id:
        with suppress(Exception):
            mlflow.end_run(status)
        closed(active.info.run_id)


def make_experiment(registry: Registry, name: str, folder: Path) -> None:
    """Make an experiment whose artifacts lie in `folder`. An experiment that exists stays as it is.

    Without this, MLflow puts artifacts into the working directory of whoever opened the store first.
    """
    with said_plainly(f"making the experiment {name}"):
        if registry.client.get_experiment_by_name(name) is None:
            registry.client.create_experiment(name, artifact_location=folder.as_uri())


def add_predictions(
    registry: Registry, version: Version, file: Path, model: tuple[str, str] | None = None
) -> list[str]:
    """Store a predictions table with an existing version, and record it as the version's evidence.

    Args:
        registry: That holds the version.
        version: To store the table with.
        file: The table, named after its split.
        model: What `check_model` returned. None checks before anything is stored.

    Returns:
        The addresses of other versions with the same files whose record could not be changed.
    """
    model = model or check_model(registry, version, file.stem)
    registry.files(version).add(file, "predictions")
    return record_evidence(registry, version, file.stem, model)
