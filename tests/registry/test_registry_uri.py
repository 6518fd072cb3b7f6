"""MLFLOW_REGISTRY_URI: models live in another store than runs, every verb goes there, and errors name it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import mlflow
import pytest
from tiny_store import NAME

from pct_mlops.errors import RegistryUnavailableError
from pct_mlops.registry import Registry, history, verify

TABLES = ("registered_model_aliases", "registered_model_tags", "model_version_tags", "model_versions")
TABLES += ("registered_models",)


@pytest.fixture
def apart(store, monkeypatch):
    """The store with its models moved to registry.db; the address of that."""
    shutil.copy(store.folder / "mlflow.db", store.folder / "registry.db")
    with closing(sqlite3.connect(store.folder / "mlflow.db")) as connection:
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")
        connection.commit()
    uri = f"sqlite:///{store.folder / 'registry.db'}"
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
    return uri


def test_models_are_read_judged_and_moved_there(store, apart, capsys):
    registry = Registry()
    assert (registry.tracking_uri, registry.registry_uri) == (store.uri, apart)
    assert registry.models() == [NAME]
    assert store.pct("gate", f"{NAME}@candidate", "--policy", store.policy("lenient"), "--promote") == 0
    assert store.pct("history", NAME) == 0
    assert registry.resolve(f"{NAME}@production").version == 2
    assert history(registry, NAME)[-1].to_version == 2
    assert verify(registry, NAME).is_right
    assert store.pct("compare", f"{NAME}/1", f"{NAME}/2") == 0
    capsys.readouterr()
    assert store.pct("doctor", "--read-only") == 0
    assert f"{apart} (from MLFLOW_REGISTRY_URI)" in capsys.readouterr().out
    assert mlflow.MlflowClient(store.uri, store.uri).search_registered_models() == []


def test_training_registers_there(store, apart):
    assert store.pct("train", store.recipe, "--set", "optim.epochs=1") == 0
    assert [version.version for version in Registry().versions(NAME)] == [3, 2, 1]
    assert mlflow.MlflowClient(store.uri, store.uri).search_registered_models() == []


def test_the_command_line_replaces_the_tracking_store_alone(store, apart, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    registry = Registry(store.uri)
    assert (registry.tracking_uri, registry.registry_uri) == (store.uri, apart)
    assert not (store.folder / "elsewhere.db").exists()


def test_a_program_may_set_it_too(store, apart, monkeypatch):
    monkeypatch.delenv("MLFLOW_REGISTRY_URI")
    # What mlflow.set_registry_uri does, besides setting the variable.
    monkeypatch.setattr("mlflow.tracking._model_registry.utils._registry_uri", apart)
    assert Registry().models() == [NAME]


def test_a_model_that_is_missing_is_missing_there(store, apart, capsys):
    assert store.pct("history", "shoes") == 2
    assert f"The registry {apart} has no model 'shoes' (it has digits)" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [("gate", f"{NAME}@candidate", "--policy", "lenient.yaml"), ("history", NAME)])
def test_a_registry_that_is_missing_is_named_and_not_made(store, monkeypatch, capsys, verb):
    uri = f"sqlite:///{store.folder / 'typo.db'}"
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
    assert store.pct(*verb) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: There is no registry at {uri}, which MLFLOW_REGISTRY_URI names: correct it, or")
    assert line.endswith(f"unset it to use {store.uri}.")
    assert not (store.folder / "typo.db").exists()


def test_a_tracking_store_that_is_missing_is_named_and_not_made(store, apart, monkeypatch):
    missing = f"sqlite:///{store.folder / 'none.db'}"
    with pytest.raises(RegistryUnavailableError, match="set MLFLOW_TRACKING_URI as well as MLFLOW_REGISTRY_URI"):
        Registry(missing)
    assert not (store.folder / "none.db").exists()


def test_a_registry_that_is_down_is_named(store, apart, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:9")
    assert store.pct("history", NAME) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "The registry http://127.0.0.1:9 does not respond (reading the model digits)" in line
    assert "set MLFLOW_REGISTRY_URI to the one that runs" in line


def test_a_folder_that_is_missing_is_not_made(empty, capsys):
    assert empty.pct("history", NAME, "--tracking-uri", str(empty.folder / "runs")) == 2
    assert "There is no registry at" in capsys.readouterr().err
    assert not (empty.folder / "runs").exists()
