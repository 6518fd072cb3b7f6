"""`pct` as a process of its own: nothing but the answer is printed, and the exit code survives the quick ending."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_store import NAME

from pct_mlops.cli import main
from pct_mlops.cli.streams import output
from pct_mlops.config import PctError
from pct_mlops.losses import PRESETS
from pct_mlops.predictions import Predictions

CLASSES = ("cat", "dog")


def pct(*words, folder, errors=subprocess.PIPE):
    command = [sys.executable, "-m", "pct_mlops", *map(str, words)]
    # As in a terminal that knows no more than ASCII.
    environment = {"PATH": "", "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "TMPDIR": str(folder)}
    environment["PYTHONIOENCODING"] = "ascii"
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, check=False
    )


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


def test_an_error_that_cannot_be_printed_is_no_refusal(tmp_path):
    # Python's own exit code for an error that it cannot print is that of a refusal.
    with open("/dev/full", "w") as full:
        assert pct("gate", "no.parquet", "--baseline", "no.parquet", folder=tmp_path, errors=full).returncode == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(28, "No space left on device", "x/y.bin"),
            "x/y.bin cannot be written, because its disk is full:",
        ),
        (
            OSError(28, "No space left on device", "from/y.bin", None, "to/y.bin"),
            "to/y.bin cannot be written, because its disk is full:",
        ),
        (
            OSError(122, "Disk quota exceeded"),
            "A file cannot be written, because its disk is full: free ",
        ),
        (ValueError("I/O error: No space left on device (os error 28)"), "A file cannot be written, because its disk"),
        (RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0"), "A file cannot be written"),
        (
            RuntimeError("no shared memory: No space left on device (28)"),
            "unexpected RuntimeError",
        ),
        (OSError(5, "Input/output error"), "unexpected OSError"),
    ],
)
def test_a_full_disk_is_a_sentence_wherever_it_is_met(error, said, monkeypatch, capsys):
    def fail(*_, **options):
        raise error

    monkeypatch.setattr("pct_mlops.workflows.listing.list_names", fail)
    assert main(["list", "losses"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: {said}")


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
        raise PctError("The output cannot be printed (No space left on device): redirect it elsewhere.")

    monkeypatch.setattr("rich.console.Console.print", fails)
    assert store.pct("gate", f"{NAME}/2", "--policy", store.policy("lenient"), "--promote") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: The verdict is PASS. Promoted: models:/digits/2 is production now. The output")


@pytest.mark.parametrize("ending", [".parquet", ".result"])
def test_a_file_or_a_copy_of_it_is_no_candidate_against_itself(tmp_path, ending, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    old, policy = tmp_path / f"old{ending}", tmp_path / "policy.yaml"
    policy.write_text("rules: [{metric: nfr, max: 0.5}]\n")
    labels = np.arange(60) % 3
    logits = np.random.RandomState(0).normal(size=(60, 3)).astype(np.float32)
    if ending == ".result":
        torch.save({"pred": logits.argmax(1), "gt": labels, "outputs": torch.from_numpy(logits)}, old)
    else:
        ids = [f"test/{row:06d}" for row in range(60)]
        Predictions.from_arrays(ids, labels, logits, class_names="012", split="test").save(old)
    shutil.copy(old, tmp_path / f"copy{ending}")
    (tmp_path / f"link{ending}").symlink_to(old)
    for name in ("old", "copy", "link"):
        assert main(["gate", f"{name}{ending}", "--baseline", old.name]) == 2, name
        assert f"{name}{ending} is the baseline itself or a copy of it" in " ".join(capsys.readouterr().out.split())
    if ending == ".result":
        assert main(["import", old.name, "imported.parquet"]) == 0
        assert main(["gate", "imported.parquet", "--baseline", old.name]) == 2
        assert "is the baseline itself or a copy of it" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("verb", ["gate", "compare"])
def test_a_report_on_standard_output_is_the_only_thing_there(tmp_path, verb):
    write_table(tmp_path / "old.parquet", right=10)
    write_table(tmp_path / "new.parquet", right=2)
    (tmp_path / "policy.yaml").write_text("rules: [{metric: nfr, max: 0.1}]\n")
    tables = ("new.parquet", "--baseline", "old.parquet") if verb == "gate" else ("old.parquet", "new.parquet")
    done = pct(verb, *tables, "--json", "-", folder=tmp_path)
    report = json.loads(done.stdout)
    assert report["verdict" if verb == "gate" else "metrics"]
    assert "NFR" in done.stderr or "nfr" in done.stderr
    assert not (tmp_path / "-").exists()
    if verb == "gate":
        done = pct(verb, *tables, "--json", "-", "--junit", "-", folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "would be mixed on standard output" in done.stderr


BAR = """
import duckdb
from pct_mlops.predictions import sql

ours, cursor = sql.connect(), sql.connect().cursor()
sql.show_progress(cursor)
for connection in (duckdb.connect(), ours, cursor):
    print(sql.one(connection, "SELECT current_setting('enable_progress_bar')")[0])
"""


def test_a_long_query_draws_no_bar_into_what_a_program_reads(tmp_path):
    """DuckDB takes `python -c` for a person at a prompt, and draws its bar there into whatever reads the output."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", BAR]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "False", "False"], done.stderr


def test_every_connection_comes_from_one_place():
    root = Path(__file__).resolve().parents[2]
    found = [
        str(path.relative_to(root))
        for folder in ("pct_mlops", "app")
        for path in sorted((root / folder).rglob("*.py"))
        if "duckdb.connect(" in path.read_text(encoding="utf-8")
    ]
    assert found == ["pct_mlops/predictions/sql.py"]
