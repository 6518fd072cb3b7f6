"""`pct` as a process of its own: nothing but the answer is printed, and the exit code survives the quick ending."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_store import NAME

from pct_mlops.cli.streams import output
from pct_mlops.config import PctError
from pct_mlops.losses import PRESETS
from pct_mlops.predictions import Predictions

CLASSES = ("cat", "dog")


def pct(*words, folder):
    command = [sys.executable, "-m", "pct_mlops", *map(str, words)]
    # As in a terminal that knows no more than ASCII.
    environment = {"PATH": "", "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "TMPDIR": str(folder)}
    environment["PYTHONIOENCODING"] = "ascii"
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
    assert done.stdout.startswith("? FAIL")
    assert sorted(tmp_path.iterdir()) == before


def test_a_registry_that_is_missing_is_one_sentence(tmp_path):
    done = pct("history", "digits", "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_reads_is_dropped_and_what_cannot_be_written_is_said():
    reader, writer = os.pipe()
    stream = output(writer, "ascii", lines=True)
    print("1 \u2713", file=stream)
    assert os.read(reader, 10) == b"1 ?\n"
    os.close(reader)
    for _ in range(2):
        print("2", file=stream)
    os.close(writer)
    full = os.open("/dev/full", os.O_WRONLY)
    stream = output(full, "utf-8", lines=True)
    with pytest.raises(PctError, match="No space left on device"):
        print("3", file=stream)
    stream.flush()
    os.close(full)


def test_a_verdict_that_cannot_be_printed_is_said_with_what_became_of_production(store, capsys, monkeypatch):
    def fails(*_):
        raise PctError("The answer cannot be printed (No space left on device): send it to another place.")

    monkeypatch.setattr("rich.console.Console.print", fails)
    assert store.pct("gate", f"{NAME}/2", "--policy", store.policy("lenient"), "--promote") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: The verdict is PASS. Promoted: models:/digits/2 is production now. The answer")
