"""Errors of several processes: each is said once, none leaves the others waiting, and a sweep goes on where it can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from pct_mlops.config import PctError
from pct_mlops.workflows.runtime import distributed

LIMIT = 60.0  # seconds after which the processes are taken to wait for each other for ever


def launch(case, folder, program="errors_worker.py", limit=LIMIT):
    """Two processes of the worker: exit code, what they said, and what each found."""
    worker = Path(__file__).with_name(program)
    command = [sys.executable, "-m", "pct_mlops.workflows.runtime.torchrun", "--standalone", "--nproc_per_node", "2"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PCT_NUM_PROCESSES": "2",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [*command, str(worker), case, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return done.returncode, [line for line in done.stderr.splitlines() if line.strip()], found


@pytest.mark.slow
def test_what_all_meet_is_the_outcome_of_one_training(tmp_path):
    cases = ["main work", "work of one", "alike"]
    code, said, found = launch(", ".join(cases), tmp_path)
    assert (code, said) == (0, [])
    assert found == [[*([f"It fails ({case}).", None] for case in cases), ["", {"test/accuracy": 1.0}]]] * 2


@pytest.mark.slow
@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.thorough), 1])  # 0: as "slow main" below
def test_what_one_process_meets_ends_all_and_is_said(tmp_path, rank):
    code, said, found = launch(f"alone {rank}", tmp_path)
    assert (code, said, found) == (2, [f"Error: It fails (alone {rank})."], [])


@pytest.mark.slow
def test_the_main_process_closes_its_runs_before_it_is_ended(tmp_path):
    assert launch("slow main", tmp_path)[:2] == (2, ["Error: It fails (main work)."])
    assert (tmp_path / "closed").exists()


@pytest.mark.thorough
def test_a_process_that_fails_alone_leaves_no_run_behind_that_seems_to_go_on(tmp_path, monkeypatch):
    from pct_mlops.registry import Registry

    monkeypatch.chdir(tmp_path)
    code, said, _ = launch("with run", tmp_path)
    assert (code, said) == (2, ["Error: It fails (with run)."])
    client = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}").client
    (run,) = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert run.info.status == "KILLED"


@pytest.mark.thorough
@pytest.mark.parametrize("rank", [0, 1])
def test_a_data_worker_that_is_killed_ends_all_processes_within_half_a_minute(tmp_path, rank):
    code, said, _ = launch(str(rank), tmp_path, "dying_worker.py", limit=180.0)
    (line,) = [line for line in said if line.startswith("Error")]
    assert (code, line[:64]) == (2, "Error: A worker process that reads examples was ended by SIGKILL")
    assert time.time() - float((tmp_path / "died").read_text()) < 30
    time.sleep(6)  # a worker looks every 5 seconds whether its process lives
    alive = [path for path in tmp_path.glob("*.worker") if Path("/proc", path.stem).exists()]
    assert alive == []


class Others:
    """Processes of one store as threads: each has a rank, and what it says is kept."""

    def __init__(self, monkeypatch, num=2, patience=20.0):
        from torch.distributed import HashStore

        store, self.num, self.said = HashStore(), num, []
        monkeypatch.setattr(distributed, "_launcher_store", lambda: store)
        monkeypatch.setattr(distributed, "is_main_process", lambda: threading.current_thread().name == "0")
        monkeypatch.setattr(distributed, "GOODBYE", timedelta(seconds=patience))
        monkeypatch.setattr(distributed, "AGREEMENT", timedelta(seconds=patience))

    def run(self, work):
        """`work(rank)` of each at the same time; their results in order of rank."""
        found = [None] * self.num
        threads = [
            threading.Thread(target=lambda rank=rank: found.__setitem__(rank, work(rank)), name=str(rank))
            for rank in range(self.num)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


def test_a_sentence_is_said_once_and_another_one_too(monkeypatch):
    others = Others(monkeypatch, num=4)
    others.run(lambda rank: distributed.say_once("one" if rank % 2 else "two", others.said.append))
    assert sorted(others.said) == ["one", "two"]


def test_what_follows_from_an_error_is_not_said_and_what_comes_first_is(monkeypatch):
    others = Others(monkeypatch, patience=0.1)
    distributed.say_once("broken connection", others.said.append, expected=False)
    distributed.say_once("reason", others.said.append)
    distributed.say_once("another broken connection", others.said.append, expected=False)
    assert others.said == ["broken connection", "reason"]


def test_a_process_that_took_the_word_and_died_leaves_it_to_the_next(monkeypatch):
    others = Others(monkeypatch, patience=0.1)

    def die(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distributed.say_once("reason", die)
    distributed.say_once("reason", others.said.append)
    assert others.said == ["reason"]


def test_nothing_is_lost_without_a_store_or_with_a_broken_one(monkeypatch):
    said = []
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    distributed.say_once("alone", said.append)

    class Broken:
        def add(self, key, amount):
            raise RuntimeError("the store is gone")

    monkeypatch.setattr(distributed, "_launcher_store", Broken)
    distributed.say_once("broken", said.append)
    assert said == ["alone", "broken"]
    two = SimpleNamespace(num_processes=2)
    assert not distributed.met_by_all(PctError("x"), two, "here")
    assert distributed.met_by_all(PctError("x"), SimpleNamespace(num_processes=1), "here")
    monkeypatch.setattr(distributed, "_launcher_store", lambda: None)
    assert not distributed.met_by_all(PctError("x"), two, "here")


@pytest.mark.parametrize(
    ("error", "where", "all_met"),
    [
        (lambda rank: "the same", lambda rank: "here", True),
        (lambda rank: f"of {rank}", lambda rank: "here", False),
        (lambda rank: "the same", lambda rank: f"at {rank}", False),
    ],
)
def test_an_error_is_met_by_all_when_its_words_and_place_are_the_same(monkeypatch, error, where, all_met):
    others, two = Others(monkeypatch, patience=20 if all_met else 0.1), SimpleNamespace(num_processes=2)
    found = others.run(lambda rank: distributed.met_by_all(PctError(error(rank)), two, where(rank)))
    assert found == [all_met] * 2
