"""Two processes: together where nobody said that there is no GPU, and one sentence when they refuse."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from pct_mlops.cli.options import without_processes


@pytest.mark.thorough
def test_a_batch_that_does_not_divide(empty, capfd, monkeypatch):
    """The sentence, its being said once and the start of the processes are each tested in every run."""
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


@pytest.mark.slow
def test_torchrun_on_a_machine_without_gpu_makes_one_table_of_shares(store):
    """Nothing here says engine.cpu: each process would otherwise score everything, and both would write."""
    command = [sys.executable, "-m", "pct_mlops.workflows.runtime.torchrun", "--standalone", "--nproc_per_node", "2"]
    words = ["-m", "pct_mlops", "score", "digits/1", "--tracking-uri", store.uri, "--output", "two.parquet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PCT_NUM_PROCESSES": "2"}
    subprocess.run([*command, *words], cwd=store.folder, env=environment, check=True, timeout=120)
    assert store.pct("score", "digits/1", "--output", "one.parquet") == 0
    one, two = (pq.read_table(store.folder / f"{name}.parquet").to_pydict() for name in ("one", "two"))
    assert len(one["sample_id"]) % 2 == 1, "a number that two processes do not divide"
    assert one["sample_id"] == two["sample_id"]
    assert one["prediction"] == two["prediction"]
    np.testing.assert_allclose(np.array(one["logits"]), np.array(two["logits"]), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["train", "r", "--num-processes", "2", "--loss", "cna"], ["train", "r", "--loss", "cna"]),
        (["train", "--num-processes=2", "r", "--debug"], ["train", "r", "--debug"]),
        (["train", "r"], ["train", "r"]),
    ],
)
def test_what_each_process_runs(words, kept):
    assert without_processes(words) == kept
