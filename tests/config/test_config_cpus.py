"""How many processors there are for each process."""

from __future__ import annotations

import pytest

from pct_mlops.config.cpus import num_cpus, threads_for


@pytest.mark.parametrize(
    ("cpus", "processes", "threads"), [(1, 1, 1), (1, 2, 1), (2, 1, 2), (8, 2, 4), (8, 3, 2), (4, 9, 1)]
)
def test_processes_share_the_processors(monkeypatch, cpus, processes, threads):
    monkeypatch.setattr("joblib.cpu_count", lambda: cpus)
    assert num_cpus() == cpus
    assert threads_for(processes) == threads
