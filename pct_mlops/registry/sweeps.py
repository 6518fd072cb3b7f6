"""Finds the sweeps that were run against a model's versions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pct_mlops.registry.connection import said_plainly
from pct_mlops.registry.nested import PARENT_TAG, run_file
from pct_mlops.registry.registry import Registry

BASELINE_TAG = "pct.baseline"
METHODS = "sweep/methods.csv"
_MOST = 20  # sweeps, the newest


@dataclass(frozen=True)
class StoredSweep:
    """The run of a sweep, with the version it was measured against and its start in milliseconds since 1970."""

    run_id: str
    baseline: str
    started: int


def find_sweeps(registry: Registry, name: str) -> list[StoredSweep]:
    """Return the newest 20 sweeps against versions of `name` that have a summary, the newest first."""
    prefix = f"models:/{name}/"
    with said_plainly(f"looking for sweeps of {name}"):
        client = registry.client
        places = [experiment.experiment_id for experiment in client.search_experiments(max_results=1000)]
        # The name is compared below: in a filter its quotes and wildcards would mean something else.
        runs = client.search_runs(
            places, f"tags.`{BASELINE_TAG}` LIKE 'models:/%'", max_results=1000, order_by=["start_time DESC"]
        )
    mine = [
        StoredSweep(run.info.run_id, run.data.tags[BASELINE_TAG], int(run.info.start_time or 0))
        for run in runs
        if run.data.tags[BASELINE_TAG].startswith(prefix) and PARENT_TAG in run.data.tags
    ]
    mine.sort(key=lambda sweep: (-sweep.started, sweep.run_id))
    # Measurements of the floor carry the same tags, but only sweeps have this file.
    return [sweep for sweep in mine[:_MOST] if sweep_methods(registry, sweep.run_id) is not None]


def sweep_methods(registry: Registry, run_id: str) -> Path | None:
    """Return the table of methods of a sweep as a local CSV file, None where it has none."""
    return run_file(registry, run_id, METHODS)
