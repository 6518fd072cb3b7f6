"""Many who promote at once, some of whom die: each move replaces what it was judged against, and none is lost."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager

import mlflow
import pytest
from movers import check, run
from moving_store import fill
from servers import mlflow_server, postgresql

from pct_mlops.registry import Registry

KILLS = 12


@pytest.mark.thorough
def test_three_processes_on_one_database(shoes, tmp_path, monkeypatch):
    # Spelled differently, so that no process uses a connection that was opened before it was started.
    uris = [f"sqlite:///{tmp_path}{'/.' * number}/mlflow.db" for number in range(1, 4)]
    monkeypatch.setattr("movers.JUDGING", 0.05)
    held, died, successes = run(uris, shoes.tracking_uri, tmp_path, target=12, kills=1, lease=8, limit=90)
    assert held == 1
    assert len(check(shoes.tracking_uri, successes, died)) >= 12


@contextmanager
def on_sqlite(folder):
    with mlflow_server(folder) as address:
        yield [address] * 9


@contextmanager
def on_postgresql(folder):
    with postgresql() as backend, mlflow_server(folder, backend) as address:
        yield [address] * 9


@contextmanager
def on_postgresql_directly(folder):
    """Without a server: each process speaks to the database itself."""
    with postgresql() as backend:
        # Another name each, for the reason above.
        yield [f"{backend}?application_name=mover{number}" for number in range(9)]


@pytest.mark.thorough
@pytest.mark.timeout(600)  # two minutes on two idle cores
@pytest.mark.parametrize("where", [on_sqlite, on_postgresql, on_postgresql_directly])
def test_two_hundred_promotions_by_eight_processes(where, tmp_path, plain, capsys):
    with where(tmp_path) as uris:
        fill(Registry(uris[8], create=True))
        began = time.monotonic()
        bounds = {"target": 200, "kills": KILLS, "lease": 8, "limit": 540}
        held, died, successes = run(uris[:8], uris[8], tmp_path, seed=os.getpid(), **bounds)
        seconds = time.monotonic() - began
        moves = check(uris[8], successes, died)
        mlflow.set_tracking_uri(None)
    assert len(successes) >= 200
    assert held >= KILLS / 2
    with capsys.disabled():
        killed = f"{died} killed, {held} of them with the lock"
        done = f"{len(successes)} successes, {len(moves)} records"
        sys.stdout.write(f"\n{where.__name__}: {done}, {killed}, {seconds:.0f} s\n")
