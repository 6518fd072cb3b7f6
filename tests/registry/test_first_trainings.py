"""Two first trainings at once in an empty folder: one makes the database, the other waits for it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time

import pytest

from pct_mlops.registry import Registry

PROGRAM = """
import logging, sys, time
logging.basicConfig(level=logging.INFO, format="%(message)s")
from pct_mlops.registry import Registry, training_run

while time.time() < float(sys.argv[1]):
    time.sleep(0.001)
with training_run(Registry(create=True), "digits", "none") as run:
    print(run.run_id)
"""


def test_a_second_program_waits_for_the_tables_with_a_line(tmp_path, caplog):
    opened, folder = [], os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # as the program that came first does
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with caplog.at_level("INFO", "pct_mlops"):
        second = threading.Thread(target=lambda: opened.append(Registry(uri, create=True).models()))
        second.start()
        patience = time.monotonic() + 60
        while not caplog.messages and time.monotonic() < patience:
            time.sleep(0.01)
        assert opened == []
        os.close(folder)
        second.join(30)
    assert opened == [[]]
    assert caplog.messages == [f"Another program is making {tmp_path / 'mlflow.db'}: waiting for it ..."]
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_one_that_only_reads_waits_for_nobody(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    Registry(uri, create=True)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        assert Registry(uri).models() == []
    finally:
        os.close(folder)


@pytest.mark.thorough
def test_two_first_trainings_both_have_their_run(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    start = str(time.time() + 15)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, start],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outcomes = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outcomes
    assert len({out for out, _ in outcomes}) == 2
    assert sum("Another program is making" in said for _, said in outcomes) == 1
