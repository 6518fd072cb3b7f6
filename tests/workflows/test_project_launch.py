"""`mlflow run .` as a user types it: a baseline, a candidate on two processes, and a run that refuses."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_store import NAME, SETTINGS

from pct_mlops.predictions import Predictions

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


def mlflow_run(store, monkeypatch, *parameters, more=""):
    """Launch in place, with the registry in the store's folder. Returns the exit code.

    MLflow's command line is called in this process, and starts those of the project.
    """
    from mlflow.cli import cli

    for key in (*SETTINGS, "PCT_NUM_PROCESSES"):
        monkeypatch.delenv(key, raising=False)
    environment = {
        "MLFLOW_TRACKING_URI": store.uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "OMP_NUM_THREADS": "1",
        # The command is `python -m pct_mlops`: it must be this Python.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    words = [word for parameter in parameters for word in ("-P", parameter)]
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    settings = f"engine.checkpoint_dir={store.folder / 'checkpoints'} optim.epochs=1 {more}"
    command = ["run", str(ROOT), "--env-manager", "local", *words]
    command += ["-P", f"recipe={store.recipe}", "-P", f"set={settings}"]
    with pytest.raises(SystemExit) as ended:
        cli.main(command, prog_name="mlflow")
    return ended.value.code


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
def test_a_first_baseline_where_there_is_no_registry_yet(empty, monkeypatch, capfd):
    """What the other test starts from is made in this process."""
    assert mlflow_run(empty, monkeypatch, "loss=none") == 0, capfd.readouterr().err[-3000:]
    (run,) = runs(empty)
    assert candidate_of(empty, run).version == 1
    assert run.data.params["cfg.objective.loss"] == "none"
    assert empty.pct("gate", f"{NAME}@candidate", "--policy", empty.policy("lenient"), "--promote") == 0


def test_two_processes_then_a_refusal(store, monkeypatch, capfd):
    weights = store.registry.download(store.registry.resolve(f"{NAME}/1"), "model.safetensors")
    old = store.folder / "old.pth.tar"
    turned = {key: value.flip(0) if key.startswith("head.") else value for key, value in load_file(weights).items()}
    torch.save({"state_dict": turned}, old)
    capfd.readouterr()
    code = mlflow_run(store, monkeypatch, "loss=ldi", "num_processes=2", more=f"model.init={old}")
    said = capfd.readouterr()
    assert code == 0, said.err[-3000:]
    assert said.out.count("loss=ldi against models:/digits/1, 2 process(es) on cpu") == 1, "one of them speaks"
    (accuracy,) = re.findall(r"The start from \S*old\.pth\.tar has ([\d.]+)% accuracy on val\.", said.out)
    assert said.err.count("WARNING: The start from ") == 1, "its classes stand in another order"
    *before, made = runs(store)
    version = candidate_of(store, made)
    assert version.version == 3
    assert made.data.metrics["init/val_accuracy"] == pytest.approx(float(accuracy) / 100, abs=1e-4)
    assert made.data.params["cfg.objective.loss"] == "ldi"
    assert version.tags["pct.teacher"] == "models:/digits/1"
    tables = [Predictions.load(store.registry.predictions(store.registry.resolve(f"digits/{n}"))) for n in (1, 3)]
    assert tables[0].info.digest == tables[1].info.digest, "each example once, however many processes"
    tables[1].verify()

    assert mlflow_run(store, monkeypatch, "loss=cna", "model_name=letters") == 1, "mlflow knows 0 and 1 only"
    said = capfd.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert "make a first baseline with 'mlflow run . -P loss=none'" in line
    assert "Traceback" not in said.split("Error: ")[0]
    assert [run.info.status for run in runs(store)] == ["FINISHED"] * (len(before) + 1) + ["FAILED"]
    assert store.registry.models() == [NAME]
    assert not (ROOT / "mlruns").exists() or not any((ROOT / "mlruns").glob(f"*/{made.info.run_id}"))
