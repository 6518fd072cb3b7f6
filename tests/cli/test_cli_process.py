"""`pct` as a process of its own: nothing but the answer is printed, and the exit code survives the quick ending."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pct_mlops.losses import PRESETS
from pct_mlops.predictions import Predictions

CLASSES = ("cat", "dog")


def pct(*words, folder):
    command = [sys.executable, "-m", "pct_mlops", *map(str, words)]
    environment = {"PATH": "", "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "TMPDIR": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def write_table(path, right):
    """Ten cats, of which `right` are recognised."""
    logits = [[1.0, 0.0] if row < right else [0.0, 1.0] for row in range(10)]
    ids = [f"test/{row}" for row in range(10)]
    Predictions.from_arrays(ids, [0] * 10, logits, class_names=CLASSES, split="test").save(path)


def test_listing_prints_the_list_alone(tmp_path):
    done = pct("list", "losses", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(PRESETS)


def test_a_refusal_keeps_its_exit_code_and_leaves_nothing_behind(tmp_path):
    write_table(tmp_path / "old.parquet", right=10)
    write_table(tmp_path / "new.parquet", right=2)
    (tmp_path / "policy.yaml").write_text("rules: [{metric: nfr, max: 0.1}]\n")
    before = sorted(tmp_path.iterdir())
    done = pct("gate", "new.parquet", "--baseline", "old.parquet", folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAIL" in done.stdout
    assert sorted(tmp_path.iterdir()) == before


def test_a_registry_that_is_missing_is_one_sentence(tmp_path):
    done = pct("history", "digits", "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
