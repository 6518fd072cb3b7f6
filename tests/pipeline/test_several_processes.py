"""Two processes that refuse: one sentence, the exit code of an error, and nothing written."""

from __future__ import annotations

import pytest

from pct_mlops.cli.training import _without_processes


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_a_batch_that_does_not_divide(empty, capfd, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = sorted(empty.folder.rglob("*"))
    words = ("train", empty.recipe, "--num-processes", "2", "--set", "optim.global_batch_size=63")
    assert empty.pct(*words) == 2
    captured = capfd.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.strip()]
    assert line == (
        "Error: The global batch of 63 does not divide by 2 processes: set optim.global_batch_size to 62 or 64."
    )
    assert sorted(empty.folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["train", "r", "--num-processes", "2", "--loss", "cna"], ["train", "r", "--loss", "cna"]),
        (["train", "--num-processes=2", "r", "--debug"], ["train", "r", "--debug"]),
        (["train", "r"], ["train", "r"]),
    ],
)
def test_what_each_process_runs(words, kept):
    assert _without_processes(words) == kept
