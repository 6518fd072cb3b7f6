"""A process that SIGTERM ends leaves no run behind that seems to go on, even when it waits inside a library."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import time
from contextlib import contextmanager

import mlflow
import pytest
from moving_store import opened

from pct_mlops.config import PctError
from pct_mlops.registry import ParentRun, Registry, close_child, open_child, parent_run, training_run
from pct_mlops.registry.termination import runs_closed_on_sigterm

FORK = multiprocessing.get_context("fork")


def wait_for_ever():
    """Below Python, where none of its handlers runs: a mutex that this thread has already."""
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def train(uri, waiting):
    """A sweep with one training that is done and one under way."""
    registry = Registry(uri)
    with parent_run(registry, "sweep", "sweep", "abc") as parent:
        close_child(open_child(parent, "1", "done"))
        open_child(parent, "2", "under way")
        waiting.set()
        wait_for_ever()


@contextmanager
def started(target, *arguments):
    """The process, from the moment at which it says that it waits."""
    waiting = FORK.Event()
    process = FORK.Process(target=target, args=(*arguments, waiting))
    process.start()
    try:
        assert waiting.wait(30)
        yield process
    finally:
        process.kill()
        process.join()


@pytest.fixture
def uri(filled, tmp_path, plain, monkeypatch):
    for key in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.chdir(tmp_path)
    with opened(filled, tmp_path):
        # Spelled differently: a connection that was opened here is not used in the other process.
        yield f"sqlite:///{tmp_path}/./mlflow.db"


def ended(uri):
    """How each run of the sweep ended."""
    client = Registry(uri).client
    place = client.get_experiment_by_name("sweep").experiment_id
    return {run.info.run_name: run.info.status for run in client.search_runs([place])}


def test_runs_are_closed_while_the_process_waits_inside_a_library(uri):
    with started(train, uri) as process:
        os.kill(process.pid, signal.SIGTERM)
        process.join(20)
        assert process.exitcode == 128 + signal.SIGTERM
    assert ended(uri) == {"sweep": "KILLED", "done": "FINISHED", "under way": "KILLED"}


def test_a_sweep_ends_as_it_went_also_where_a_training_was_left_open(uri):
    with parent_run(Registry(uri), "sweep", "sweep", "abc") as parent:
        close_child(open_child(parent, "1", "done"))
        open_child(parent, "2", "left open")
    assert ended(uri) == {"sweep": "FINISHED", "done": "FINISHED", "left open": "FAILED"}
    assert mlflow.active_run() is None


@contextmanager
def without_tags(monkeypatch):
    """The registry stops answering when a run is to get its tags, after it was made."""

    def refuse(self, tags):
        raise PctError("It does not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(ParentRun, "set_tags", refuse)
        with pytest.raises(PctError, match=r"It does not answer\."):
            yield


def test_a_run_that_cannot_be_begun_is_ended(uri, monkeypatch):
    with parent_run(Registry(uri), "sweep", "sweep", "abc") as parent:
        with without_tags(monkeypatch):
            open_child(parent, "1", "never began")
        assert mlflow.active_run().info.run_id == parent.run_id
    assert ended(uri) == {"sweep": "FINISHED", "never began": "FAILED"}
    with without_tags(monkeypatch), parent_run(Registry(uri), "sweep", "neither", "other"):
        pass
    assert ended(uri)["neither"] == "FAILED"


def test_afterwards_the_signal_is_what_it_was(uri):
    with training_run(Registry(uri), "one", "one"):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    own = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with runs_closed_on_sigterm():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, own)


def test_a_process_that_was_forked_within_ends_alone(uri):
    def idle(waiting):
        waiting.set()
        time.sleep(60)

    with runs_closed_on_sigterm(), started(idle) as process:
        process.terminate()
        process.join(20)
        assert process.exitcode == -signal.SIGTERM
        time.sleep(0.2)  # what it would have said here would be heard by now
