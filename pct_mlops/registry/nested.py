"""Writes many trainings below one run, and finds again what an earlier start completed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pct_mlops.errors import PctError
from pct_mlops.registry.connection import Metric, local_folder, mlflow, said_plainly
from pct_mlops.registry.downloads import downloads
from pct_mlops.registry.registry import Registry
from pct_mlops.registry.termination import closed, opened
from pct_mlops.registry.training_run import TrainingRun, ended_as_it_went, starting

PARENT_TAG, CHILD_TAG, ERROR_TAG = "pct.sweep", "pct.member", "pct.error"
_BELOW = "mlflow.parentRunId"


@dataclass
class ParentRun(TrainingRun):
    """A run that holds other runs and their summary. Only the main process uses it."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        with said_plainly("tagging the run"):
            for key, text in tags.items():
                self.registry.client.set_tag(self.run_id, key, text)

    def log_files(self, folder: Path, path: str) -> None:
        """Keep all files of `folder` as artifacts under `path`. Files of an earlier start are replaced."""
        with said_plainly("storing the summary"):
            self.registry.client.log_artifacts(self.run_id, str(folder), path)


@dataclass
class ChildRun(ParentRun):
    """One training below a parent.

    It keeps curves, final metrics and predictions. Weights stay in the checkpoint folder, because those of every epoch
    of every training would fill the store.
    """

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log an epoch's scalars. val/NAME is logged as val/epoch_NAME, because val/NAME is the best epoch's."""
        renamed = {key.replace("val/", "val/epoch_", 1): value for key, value in metrics.items()}
        self.log_final(renamed, step)

    def log_final(self, metrics: Mapping[str, float | None], step: int) -> None:
        """Log scalars under their own names, without those that are None."""
        import time

        now = int(time.time() * 1000)
        points = [Metric(key, float(value), now, step) for key, value in metrics.items() if value is not None]
        with said_plainly("logging metrics"):
            self.registry.client.log_batch(self.run_id, metrics=points)

    def log_checkpoint(self, folder: Path, step: int, metrics: Mapping[str, float]) -> None:
        """Keep nothing. The class says why."""


@contextmanager
def parent_run(registry: Registry, experiment: str, run_name: str, key: str) -> Iterator[ParentRun]:
    """Open the run that holds the others, for the time of a `with` block.

    A failure or interruption marks it FAILED or KILLED. Nothing stays RUNNING.

    Args:
        registry: Where runs are kept.
        experiment: Name of the experiment.
        run_name: Name of a new run.
        key: Digest by which the run of an earlier start is found and continued. Inside `mlflow run` the launcher's run
            is taken instead.
    """
    with said_plainly(starting()):
        if "MLFLOW_RUN_ID" in os.environ:
            active = mlflow.start_run()
        else:
            place = mlflow.set_experiment(experiment).experiment_id
            known = _search(registry, place, PARENT_TAG, key)
            active = mlflow.start_run(run_id=known) if known else mlflow.start_run(run_name=run_name)
    run = ParentRun(registry, active.info.run_id, active.info.experiment_id)
    with ended_as_it_went(run):
        run.set_tags({PARENT_TAG: key})
        yield run


def open_child(parent: ParentRun, key: str, run_name: str) -> ChildRun:
    """Open the child with this key and make it the active run.

    A child that an earlier start left undone is started again.

    Raises:
        PctError: It cannot be started. It is then ended as FAILED.
    """
    registry = parent.registry
    with said_plainly("starting a run"):
        known = _search(registry, parent.experiment_id, CHILD_TAG, key)
        active = mlflow.start_run(run_id=known, run_name=None if known else run_name, nested=True)
        child = ChildRun(registry, active.info.run_id, parent.experiment_id)
        opened(child.run_id, registry.client)
        try:
            child.set_tags({CHILD_TAG: key, _BELOW: parent.run_id})
        except PctError as error:
            close_child(child, "FAILED", str(error))
            raise
        if known:
            with contextlib.suppress(mlflow.MlflowException):
                registry.client.delete_tag(known, ERROR_TAG)
    return child


def close_child(child: ChildRun, status: str = "FINISHED", error: str = "") -> None:
    """End a child.

    Args:
        child: The run.
        status: FINISHED, FAILED or KILLED.
        error: Kept with a child that did not finish.

    Raises:
        PctError: A finished child could not be closed. A failed one is recorded as well as the store allows.
    """
    if status == "FINISHED":
        with said_plainly("closing a run"):
            mlflow.end_run(status)
        closed(child.run_id)
        return
    with contextlib.suppress(Exception):
        child.set_tags({ERROR_TAG: error[:5000]})
    with contextlib.suppress(Exception):
        mlflow.end_run(status)
    closed(child.run_id)


def find_child(parent: ParentRun, key: str) -> str | None:
    """Return the run id of a finished child that has its predictions, None where there is none.

    It may be a child of an earlier start's parent. It is then moved below this one, because a project launcher makes a
    new parent each time.
    """
    registry = parent.registry
    run_id = _search(registry, parent.experiment_id, CHILD_TAG, key, "FINISHED")
    if run_id is None or run_file(registry, run_id, "predictions/test.parquet") is None:
        return None
    with said_plainly("tagging the run"):
        if registry.client.get_run(run_id).data.tags.get(_BELOW) != parent.run_id:
            registry.client.set_tag(run_id, _BELOW, parent.run_id)
    return run_id


def run_metric(registry: Registry, run_id: str, name: str) -> float | None:
    """Return the newest value of a metric of a run, None where it has none."""
    with said_plainly(f"reading {name}"):
        return registry.client.get_run(run_id).data.metrics.get(name)


def run_file(registry: Registry, run_id: str, path: str) -> Path | None:
    """Return an artifact of a run as a local file, None for none. Remote ones are copied once per process."""
    with said_plainly(f"reading {path}"):
        here = local_folder(registry.client.get_run(run_id).info.artifact_uri)
        if here is not None:
            return here / path if (here / path).is_file() else None
        target = downloads() / "runs" / run_id
        if (target / path).is_file():
            return target / path
        listed = {item.path for item in registry.client.list_artifacts(run_id, str(Path(path).parent))}
        if path not in listed:
            return None
        return registry.fetch(f"runs:/{run_id}/{path}", target / path)


def _search(registry: Registry, experiment_id: str, tag: str, key: str, status: str = "") -> str | None:
    """Return the newest run of an experiment whose `tag` is `key`, a hexadecimal digest."""
    wanted = f"tags.`{tag}` = '{key}'" + (f" AND attributes.status = '{status}'" if status else "")
    found = registry.client.search_runs([experiment_id], wanted, max_results=1, order_by=["start_time DESC"])
    return found[0].info.run_id if found else None
