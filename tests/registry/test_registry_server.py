"""The same conventions over a real server on loopback, and what is said when there is none."""

from __future__ import annotations

import json
import time
from pathlib import Path

import mlflow
import pytest
from servers import mlflow_server
from tiny_store import NAME

from pct_mlops.cli import main
from pct_mlops.config import Recipe
from pct_mlops.errors import RegistryUnavailableError
from pct_mlops.predictions import Predictions
from pct_mlops.registry import Registry, history

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture
def server(empty):
    with mlflow_server(empty.folder) as address:
        yield address


def test_train_copy_gate_promote_and_read_over_a_server(server, empty, capsys):
    """Who trains writes to one model only, and CI copies from it into the one whose production it may move."""
    from pct_mlops.workflows.training.train import train

    def gate(candidate):
        words = ("--policy", empty.policy("lenient"), "--promote", "--tracking-uri", server)
        return main(["gate", candidate, *words])

    registry = Registry(server)
    first = train(Recipe.read(empty.recipe, ["optim.epochs=1"]), tracking_uri=server)
    assert first.version == 1
    assert gate(f"{NAME}@candidate") == 0
    assert registry.aliases(NAME) == {"candidate": 1, "production": 1}

    elsewhere = ["model_name=candidates", "objective.loss=ldi", f"teacher.ref={NAME}@production", "optim.epochs=1"]
    train(Recipe.read(empty.recipe, elsewhere), tracking_uri=server)
    registry.client.copy_model_version("models:/candidates/1", NAME)
    registry.client.copy_model_version(f"models:/{NAME}/1", NAME)
    capsys.readouterr()
    assert gate(f"{NAME}/3") == 2
    assert "same model" in capsys.readouterr().out, "a copy of production is no candidate"
    assert gate(f"{NAME}/2") == 0
    assert [(move.from_version, move.to_version, move.verdict) for move in history(registry, NAME)] == [
        (None, 1, "BOOTSTRAP"),
        (1, 2, "PASS"),
    ]
    version = registry.resolve(f"{NAME}@production")
    assert version.tags["gate.baseline_version"] == "1"
    assert Predictions.load(registry.predictions(version, "val")).info.split == "val"
    assert not (empty.folder / "mlflow.db").exists(), "everything went to the server"
    assert not (empty.folder / "mlruns").exists()
    _look(server, registry, capsys)
    _judge_without_the_run(server, empty, registry)


def _look(server, registry, capsys):
    """`pct doctor` writes to the server and its artifact store, and leaves both as they were."""
    before = registry.client.search_registered_models()
    assert main(["doctor", "--tracking-uri", server]) == 0
    assert " can be read and written" in capsys.readouterr().out
    assert [model.name for model in registry.client.search_registered_models()] == [model.name for model in before]


def _judge_without_the_run(server, empty, registry):
    """The run of a candidate is deleted: the report lies in the version's own files, from where anybody can read it."""
    candidate = registry.resolve("candidates/1")
    registry.client.delete_run(candidate.run_id)
    words = ("--policy", empty.policy("lenient"), "--baseline", f"{NAME}/1", "--tracking-uri", server)
    assert main(["gate", "candidates/1", *words]) == 0
    report = mlflow.artifacts.download_artifacts("models:/candidates/1/gate/version-1-against-1.json")
    assert json.loads(Path(report).read_text())["verdict"] == "PASS"
    assert registry.resolve("candidates/1").tags["gate.verdict"] == "PASS"


def test_a_server_that_is_down_is_said_within_seconds(empty, capsys):
    started = time.monotonic()
    assert main(["gate", "digits@candidate", "--policy", empty.policy("lenient"), "--tracking-uri", NOBODY]) == 2
    assert time.monotonic() - started < 20
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("Error: ")
    assert NOBODY in line
    assert "does not respond" in line
    assert "MLFLOW_TRACKING_URI" in line


def test_every_question_to_it_says_so(empty, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry(NOBODY)
    for ask in (registry.models, lambda: registry.find(NAME, "production"), lambda: registry.versions(NAME)):
        with pytest.raises(RegistryUnavailableError, match="does not respond"):
            ask()
