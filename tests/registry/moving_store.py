"""A registry with one model, `shoes`, of four versions without files, for tests in which only production moves."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import fresh_databases
import pytest

from pct_mlops.registry import Registry, lock, promote
from pct_mlops.registry.moves import State

fresh_databases.install()

MODEL = "shoes"
WRITES = (
    "set_registered_model_tag",
    "delete_registered_model_tag",
    "set_registered_model_alias",
    "create_registered_model",
    "delete_registered_model",
)


def fill(registry, versions=4):
    """`shoes` with its versions; nothing is in production."""
    client = registry.client
    client.create_registered_model(MODEL)
    model_id = client.create_logged_model("0", name="m").model_id
    for _ in range(versions):
        client.create_model_version(MODEL, f"models:/{model_id}", model_id=model_id)


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    """The database that every test's own is a copy of."""
    import mlflow

    folder = tmp_path_factory.mktemp("moving")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    fill(Registry(uri, create=True))
    mlflow.set_tracking_uri(None)
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def begun(filled, tmp_path_factory):
    """One in which production moved to 3 and then to 1: there is a history, and generations of the lock are over."""
    folder = tmp_path_factory.mktemp("begun")
    with opened(filled, folder) as registry:
        move(registry, 3, None)
        move(registry, 1, 3)
    return folder / "mlflow.db"


@contextmanager
def opened(database, folder):
    """A copy of the database in `folder`."""
    import mlflow

    shutil.copy(database, folder / "mlflow.db")
    yield Registry(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_tracking_uri(None)


@pytest.fixture
def shoes(filled, tmp_path, plain):
    """A registry of this test's own, with nothing in production."""
    with opened(filled, tmp_path) as registry:
        yield registry


@pytest.fixture
def started(begun, tmp_path, plain):
    """A registry of this test's own, in which production has moved twice."""
    with opened(begun, tmp_path) as registry:
        yield registry


@pytest.fixture
def plain(monkeypatch):
    """No settings of whoever runs the tests."""
    for key in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_USERNAME", lock.LEASE):
        monkeypatch.delenv(key, raising=False)


class Time:
    """Time that passes only while somebody sleeps, and then fast, so that few questions are asked meanwhile.

    `set_by` seconds the clock on the wall was set forward, which the other one does not notice.
    """

    def __init__(self):
        self.now, self.set_by = 1e9, 0.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now + self.set_by

    def sleep(self, seconds):
        self.now += 10 * seconds


@pytest.fixture
def clock(monkeypatch):
    """The lock's time, which stands still while it does not sleep."""
    monkeypatch.setenv(lock.LEASE, "8")
    time = Time()
    monkeypatch.setattr(lock, "time", time)
    return time


class Killed(BaseException):
    """The process is gone at this point: no handler of errors sees it."""


class Unreliable:
    """A client whose calls `at` can be met with `do`, before or after they reached the registry.

    `calls` are the writes that were made; `do(name, arguments, write)` stands in for the write number `at`.
    """

    def __init__(self, client, at=None, do=None, writes=WRITES):
        self._client, self._at, self._do, self._writes, self.calls = client, at, do, writes, []

    def __getattr__(self, name):
        call = getattr(self._client, name)
        if name not in self._writes:
            return call

        def write(*arguments):
            self.calls.append((name, *(argument for argument in arguments if isinstance(argument, str))))
            if len(self.calls) - 1 == self._at:
                return self._do(lambda: call(*arguments))
            return call(*arguments)

        return write


def killed_before(write):
    raise Killed


def killed_after(write):
    try:
        write()
    finally:
        raise Killed


def move(registry, to, baseline, **more):
    """Promote version `to` of shoes over `baseline`, None for the first."""
    old = registry.get(MODEL, baseline) if baseline else None
    settings = {
        "verdict": "PASS" if baseline else "BOOTSTRAP",
        "policy_digest": "d" * 64,
        "report": "r",
        "reason": "why",
        **more,
    }
    return promote(registry, registry.get(MODEL, to), old, **settings)


def state(registry):
    return State.of(registry.registered(MODEL))


def locks(registry):
    """Names of locks that lie about."""
    return [model.name for model in registry.client.search_registered_models() if lock.LOCK_TAG in model.tags]


__all__ = [
    "MODEL",
    "Killed",
    "Unreliable",
    "begun",
    "clock",
    "filled",
    "killed_after",
    "killed_before",
    "locks",
    "move",
    "plain",
    "shoes",
    "started",
    "state",
]
