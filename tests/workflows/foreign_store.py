"""A server on which others registered classifiers with MLflow alone.

One worker lets them be made. The others serve copies of its files, in which no address names a folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "registry"))

from servers import mlflow_server

from pct_mlops.cli import main
from pct_mlops.predictions import Predictions
from pct_mlops.registry import Registry

CLASSES = ["cat", "dog", "horse"]
FLAVOURS = ("pets-sklearn", "pets-pyfunc", "pets-torch")
SETTINGS = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")


@dataclass(frozen=True)
class ForeignStore:
    """A server with models of others, and a folder with what their program wrote."""

    uri: str
    folder: Path

    @property
    def registry(self):
        return Registry(self.uri)

    def pct(self, *words):
        """Run the command line in this process against the server; returns its exit code."""
        return main([*map(str, words), "--tracking-uri", self.uri])

    def examples(self):
        return pd.read_csv(self.folder / "test.csv")

    def table(self, name, number, **about):
        """The predictions of a version as its owners would write them."""
        frame = self.examples()
        labels = frame["label"].map(CLASSES.index).to_numpy()
        logits = np.load(self.folder / f"{name}-{number}.npy")
        about = {"class_names": CLASSES, "split": "test", **about}
        return Predictions.from_arrays(frame["id"].tolist(), labels, logits, **about)

    def file(self, name, number, **about):
        path = self.folder / "tables" / f"{name}-{number}-{len(about)}.parquet"
        self.table(name, number, **about).save(path)
        return path

    def policy(self, **more):
        path = self.folder / f"policy-{'-'.join(more) or 'plain'}.yaml"
        path.write_text(yaml.safe_dump({"rules": [{"metric": "nfr", "max": 0.5}], **more}))
        return path

    def free_version(self, source="pets-sklearn/1", name="spare"):
        """A version of its own with a copy of another one's files, which one test alone changes."""
        registry = self.registry
        client = registry.client
        folder = registry.files(registry.resolve(source)).folder()
        run = client.create_run("0")
        for path in folder.iterdir():
            if path.name in ("predictions", "images", "texts", "gate"):
                continue
            log = client.log_artifacts if path.is_dir() else client.log_artifact
            log(run.info.run_id, str(path), f"copy/{path.name}" if path.is_dir() else "copy")
        if registry.look(name) is None:
            client.create_registered_model(name)
        made = client.create_model_version(name, f"runs:/{run.info.run_id}/copy", run.info.run_id)
        return f"{name}/{made.version}"


def make_models(address, folder):
    """Run the program of others against the server at `address`."""
    folder.mkdir()
    program = Path(__file__).with_name("foreign_models.py")
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", None)
    command = [sys.executable, str(program), address, str(folder / "made")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="session")
def foreign_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign") / "server"
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    made = shared / "foreign"
    kept = {key: os.environ.pop(key, None) for key in SETTINGS}
    with ExitStack() as servers:
        with (shared / "foreign.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.is_dir():
                folder.mkdir()
                address = servers.enter_context(mlflow_server(folder))
                make_models(address, folder / "work")
                Path(shutil.copytree(folder, shared / "foreign.partial")).rename(made)
        if not folder.is_dir():
            shutil.copytree(made, folder)
            address = servers.enter_context(mlflow_server(folder))
        yield address, folder / "work" / "made"
    os.environ.update({key: value for key, value in kept.items() if value is not None})


@pytest.fixture
def foreign(foreign_server, tmp_path, monkeypatch):
    """The server; the working directory is empty."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    for key in SETTINGS:
        monkeypatch.delenv(key, raising=False)
    address, folder = foreign_server
    mlflow.set_tracking_uri(address)
    yield ForeignStore(address, folder)
    mlflow.set_tracking_uri(None)
