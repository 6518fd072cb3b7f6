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


def test_a_baseline_then_two_processes_then_a_refusal(empty):
    done = mlflow_run(empty, "loss=none")
    assert done.returncode == 0, done.stderr[-3000:]
    (first,) = runs(empty)
    version = empty.registry.resolve(f"{NAME}@candidate")
    assert (first.info.status, version.version, version.run_id) == ("FINISHED", 1, first.info.run_id)
    assert first.data.params["cfg.objective.loss"] == "none"
    assert empty.pct("gate", f"{NAME}@candidate", "--policy", empty.policy("lenient"), "--promote") == 0

    done = mlflow_run(empty, "loss=ldi", "num_processes=2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("loss=ldi against models:/digits/1, 2 process(es) on cpu") == 1, "one of them speaks"
    _, second = runs(empty)
    version = empty.registry.resolve(f"{NAME}@candidate")
    assert (second.info.status, version.version, version.run_id) == ("FINISHED", 2, second.info.run_id)
    assert version.tags["pct.teacher"] == "models:/digits/1"
    tables = [Predictions.load(empty.registry.predictions(empty.registry.resolve(f"digits/{n}"))) for n in (1, 2)]
    assert tables[0].info.digest == tables[1].info.digest, "each example once, however many processes"
    tables[1].verify()

    done = mlflow_run(empty, "loss=cna", "model_name=letters")
    assert done.returncode == 1, "mlflow knows 0 and 1 only"
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "make a first baseline with 'mlflow run . -P loss=none'" in line
    assert "Traceback" not in done.stderr.split("Error: ")[0]
    assert [run.info.status for run in runs(empty)] == ["FINISHED", "FINISHED", "FAILED"]
    assert empty.registry.models() == [NAME]
    assert not (ROOT / "mlruns").exists() or not any((ROOT / "mlruns").glob(f"*/{second.info.run_id}"))
