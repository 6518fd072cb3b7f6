"""Every program in examples/ runs as its own first lines say, small, and says what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def run(name: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLES / name), *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200
    )


def test_two_tables_of_another_library_go_through_the_gate(tmp_path):
    done = run("gate_two_tables.py", tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert done.returncode == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[report["verdict"]], done.stderr
    assert "negative flips: NFR" in done.stdout
    assert report["verdict"] in done.stdout
    assert len(report["checks"]) == 1


def test_the_smallest_training_prints_both_updates(tmp_path):
    done = run("minimal_training.py", tmp_path, "--epochs", "2", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["old", "none", "ldi"]
    assert all("accuracy" in line for line in lines)
    assert "NFR" in lines[1]


def test_flip_rates_of_a_stream(tmp_path):
    done = run("torchmetrics_nfr.py", tmp_path)
    assert done.returncode == 0, done.stderr
    rates = {name: float(text.rstrip("%")) for name, text in (line.split(": ") for line in done.stdout.splitlines())}
    assert rates.keys() == {"nfr", "pfr", "churn"}
    assert rates["nfr"] + rates["pfr"] <= rates["churn"] + 0.02


def test_a_notebook_draws_the_charts(tmp_path, monkeypatch):
    cells = json.loads((EXAMPLES / "flips.ipynb").read_text(encoding="utf-8"))["cells"]
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "notebook"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "flips.ipynb", "exec"), namespace)
    figures = [value for value in namespace.values() if type(value).__name__ == "Figure"]
    assert len(figures) == 3
    assert all(figure.data for figure in figures)


def test_every_example_is_run_here():
    here = Path(__file__).read_text()
    names = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    assert names == {"gate_two_tables.py", "minimal_training.py", "torchmetrics_nfr.py", "flips.ipynb"}
    assert [name for name in names if name not in here] == []


@pytest.mark.parametrize("name", ["gate_two_tables.py", "minimal_training.py", "torchmetrics_nfr.py"])
def test_examples_are_short(name):
    assert len((EXAMPLES / name).read_text().splitlines()) <= 125
