"""A registry with two tiny versions, trained once for the whole test run, and a copy of it for each test."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "registry"))

import fresh_databases

from pct_mlops.cli import main
from pct_mlops.config import Recipe
from pct_mlops.registry import Registry, registry

fresh_databases.install()

NAME = "digits"
RECIPE = {
    "model_name": NAME,
    "data": {"name": "digits", "augment": {"crop": "none", "flip": False}, "num_workers": 0, "thumbnail_size": 8},
    "model": {"name": "small_resnet8", "kwargs": {"width": 8}},
    "optim": {"epochs": 2, "lr": 0.1, "global_batch_size": 64},
    "engine": {"cpu": True},
}
POLICIES = {
    "lenient": {"rules": [{"metric": "nfr", "max": 0.9}]},
    "strict": {"rules": [{"metric": "nfr", "max": 0.0001}]},
    "narrow": {"rules": [{"metric": "accuracy_change", "min": 0.0}]},
}
# What decides where mlflow writes; a test that trains leaves some of them behind.
SETTINGS = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID", "MLFLOW_REGISTRY_URI")


class Heard(list[str]):
    """Lines; `some` is set once there are any."""

    def __init__(self) -> None:
        super().__init__()
        self.some = threading.Event()


class _Hearer(logging.Handler):
    """Keeps what is logged, without what stands beside a bar."""

    def __init__(self, said: Heard) -> None:
        super().__init__()
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "is_beside_bar", False):
            self.said.append(record.getMessage())
            self.said.some.set()


@contextlib.contextmanager
def heard() -> Iterator[Heard]:
    """What is logged within, as the command line would print it."""
    logger, said = logging.getLogger("pct_mlops"), Heard()
    hearer, level = _Hearer(said), logger.level
    logger.addHandler(hearer)
    logger.setLevel(logging.INFO)
    try:
        yield said
    finally:
        logger.removeHandler(hearer)
        logger.setLevel(level)


@dataclass(frozen=True)
class Store:
    """A folder with a registry (SQLite and artifacts), a recipe and policies; the working directory of the test.

    Version 1 is plain and in production (BOOTSTRAP), version 2 was trained against it (ldi) and is the candidate.
    """

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def registry(self) -> Registry:
        return Registry(self.uri)

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.yaml"

    def policy(self, name: str) -> str:
        return str(self.folder / f"{name}.yaml")

    def pct(self, *words: object) -> int:
        """Run the command line in this process; returns its exit code."""
        return main([str(word) for word in words])

    def without_production(self) -> None:
        """As before the first promotion: nothing in production, and no record of a move."""
        client = self.registry.client
        client.delete_registered_model_alias(NAME, "production")
        for key in client.get_registered_model(NAME).tags:
            if key.startswith("pct.history."):
                client.delete_registered_model_tag(NAME, key)

    def state(self) -> tuple[object, ...]:
        """What a refused command may not change: aliases, versions with tags, history, runs."""
        reader = self.registry
        runs = reader.client.search_runs([item.experiment_id for item in reader.client.search_experiments()])
        model = reader.client.get_registered_model(NAME)
        return (
            sorted(model.tags.items()),
            [(version.version, version.aliases, sorted(version.tags.items())) for version in reader.versions(NAME)],
            sorted((run.info.run_id, run.info.status, sorted(run.data.metrics.items())) for run in runs),
            sorted(str(path.relative_to(self.folder)) for path in (self.folder / "mlruns").rglob("*")),
        )


def write_settings(folder: Path) -> None:
    """recipe.yaml and the policies."""
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    for name, policy in POLICIES.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(policy))


def _build(folder: Path) -> None:
    from pct_mlops.workflows.training.train import train

    write_settings(folder)
    store = Store(folder)
    assert train(Recipe.read(store.recipe), tracking_uri=store.uri).version == 1
    assert store.pct("gate", "digits@candidate", "--policy", store.policy("lenient"), "--promote") == 0
    second = ["objective.loss=ldi", "seed.model=1", "optim.epochs=1"]
    assert train(Recipe.read(store.recipe, second), tracking_uri=store.uri).version == 2


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """The working directory and mlflow's settings, put back afterwards."""
    import mlflow
    from mlflow.tracking._tracking_service import utils

    before, kept = Path.cwd(), {key: os.environ.pop(key, None) for key in SETTINGS}
    os.chdir(folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    registry.downloads.cache_clear()
    # Copies share the ids of runs and models, by which mlflow remembers where artifacts lie.
    utils._artifact_repos_cache.clear()
    try:
        yield
    finally:
        os.chdir(before)
        mlflow.set_tracking_uri(None)
        for key, value in kept.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def _copy(source: Path, target: Path) -> None:
    """The whole store in another place: artifact addresses are absolute, so they are rewritten."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("mlflow.db*", "checkpoints"))
    with contextlib.closing(sqlite3.connect(source / "mlflow.db")) as old:
        text = "\n".join(old.iterdump()).replace(str(source), str(target))
    with contextlib.closing(sqlite3.connect(target / "mlflow.db")) as new:
        new.executescript("PRAGMA synchronous=OFF;\n" + text)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The folder that every store is a copy of; one worker makes it, the others wait."""
    # One thread: these networks are far too small for two, and others use the machine at the same time.
    torch.set_num_threads(1)
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "trained"
    with (shared / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            folder.mkdir()
            with _in_folder(folder):
                _build(folder)
    return folder


@pytest.fixture
def store(trained, tmp_path) -> Iterator[Store]:
    """A registry of this test's own."""
    folder = tmp_path / "store"
    _copy(trained, folder)
    with _in_folder(folder):
        yield Store(folder)


@pytest.fixture(scope="module")
def shared_store(trained, tmp_path_factory) -> Iterator[Store]:
    """A registry for tests that only read."""
    folder = tmp_path_factory.mktemp("shared") / "store"
    _copy(trained, folder)
    with _in_folder(folder):
        yield Store(folder)


@pytest.fixture
def empty(tmp_path) -> Iterator[Store]:
    """A folder with a recipe and policies, and no registry."""
    torch.set_num_threads(1)
    write_settings(tmp_path)
    with _in_folder(tmp_path):
        yield Store(tmp_path)


__all__ = ["NAME", "POLICIES", "RECIPE", "Store", "empty", "shared_store", "store", "trained"]
