"""`mlflow run .` as a user types it: a baseline, a candidate on two processes, and a run that refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_store import NAME, SETTINGS

from pct_mlops.predictions import Predictions

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


def mlflow_run(store, *parameters):
    """Launch in place, with the registry in the store's folder."""
    environment = {key: value for key, value in os.environ.items() if key not in (*SETTINGS, "PCT_NUM_PROCESSES")}
    environment |= {
        "MLFLOW_TRACKING_URI": store.uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "OMP_NUM_THREADS": "1",
        # The command is `python -m pct_mlops`: it must be this Python.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    words = [word for parameter in parameters for word in ("-P", parameter)]
    folder = f"engine.checkpoint_dir={store.folder / 'checkpoints'}"
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local", *words]
    command += ["-P", f"recipe={store.recipe}", "-P", f"set={folder} optim.epochs=1"]
    return subprocess.run(
        command, cwd=store.folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


def runs(store):
    """All runs, the oldest first."""
    client = store.registry.client
    found = client.search_runs([item.experiment_id for item in client.search_experiments()])
    return sorted(found, key=lambda run: run.info.start_time)


def candidate_of(store, run):
    """The candidate, which must be what this run made."""
    version = store.registry.resolve(f"{NAME}@candidate")
    assert (run.info.status, version.run_id) == ("FINISHED", run.info.run_id)
    return version


@pytest.mark.thorough
def test_a_first_baseline_where_there_is_no_registry_yet(empty):
    """What the other test starts from is made in this process."""
    done = mlflow_run(empty, "loss=none")
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = runs(empty)
    assert candidate_of(empty, run).version == 1
    assert run.data.params["cfg.objective.loss"] == "none"
    assert empty.pct("gate", f"{NAME}@candidate", "--policy", empty.policy("lenient"), "--promote") == 0


def test_two_processes_then_a_refusal(store):
    done = mlflow_run(store, "loss=ldi", "num_processes=2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("loss=ldi against models:/digits/1, 2 process(es) on cpu") == 1, "one of them speaks"
    *before, made = runs(store)
    version = candidate_of(store, made)
    assert version.version == 3
    assert made.data.params["cfg.objective.loss"] == "ldi"
    assert version.tags["pct.teacher"] == "models:/digits/1"
    tables = [Predictions.load(store.registry.predictions(store.registry.resolve(f"digits/{n}"))) for n in (1, 3)]
    assert tables[0].info.digest == tables[1].info.digest, "each example once, however many processes"
    tables[1].verify()

    done = mlflow_run(store, "loss=cna", "model_name=letters")
    assert done.returncode == 1, "mlflow knows 0 and 1 only"
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "make a first baseline with 'mlflow run . -P loss=none'" in line
    assert "Traceback" not in done.stderr.split("Error: ")[0]
    assert [run.info.status for run in runs(store)] == ["FINISHED"] * (len(before) + 1) + ["FAILED"]
    assert store.registry.models() == [NAME]
    assert not (ROOT / "mlruns").exists() or not any((ROOT / "mlruns").glob(f"*/{made.info.run_id}"))
