"""Rules that hold for the whole project: what imports what, how long code is, how dependencies are given."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pct_mlops
from pct_mlops.predictions import Predictions

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted([*(ROOT / "pct_mlops").rglob("*.py"), *(ROOT / "app").rglob("*.py")])
MAX_MODULE, MAX_FUNCTION = 300, 60

LIGHT = ("gate", "comparison", "predictions", "reports", "charts", "cli")
HEAVY = ("torch", "torchvision", "mlflow", "streamlit", "pandas", "accelerate", "sklearn", "matplotlib")
PROBE = f"""
import importlib, sys
heavy = {HEAVY!r}
for name in {LIGHT!r}:
    importlib.import_module(f"pct_mlops.{{name}}")
    print(name, *[word for word in heavy if word in sys.modules])

from pct_mlops.cli import main

code = main(["gate", "new.parquet", "--baseline", "old.parquet", "--json", "report.json"])
assert code == 0, code
assert main(["compare", "old.parquet", "new.parquet"]) == 0
print("gate", *[word for word in heavy if word in sys.modules])
"""


def test_judging_files_needs_neither_torch_nor_mlflow(tmp_path):
    """Structure, not time: whatever is imported here, every CI job and every start of the app waits for."""
    labels = np.arange(300) % 3
    for name in ("old", "new"):
        info = {"class_names": ("a", "b", "c"), "model_name": name, "split": "test"}
        ids = [str(i) for i in range(300)]
        Predictions.from_arrays(ids, labels, np.eye(3)[labels], **info).save(tmp_path / f"{name}.parquet")
    (tmp_path / "policy.yaml").write_text("rules: [{metric: nfr, max: 0.1}]")
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    found = {line.split()[0]: line.split()[1:] for line in lines[: len(LIGHT)]}
    assert found == {name: [] for name in LIGHT}
    assert lines[-1].split() == ["gate"], "the gate over files imported more than its parts"


def test_help_loads_no_table_library():
    """`pct --help` and wrong words are what people type most."""
    heavy = (*HEAVY, "numpy", "pyarrow", "duckdb", "scipy", "plotly")
    code = f"import sys; import pct_mlops.cli.main; print([word for word in {heavy!r} if word in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_MODULE
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions}
    assert {name: lines for name, lines in long.items() if lines > MAX_FUNCTION} == {}


def test_every_test_file_has_a_name_of_its_own():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
    (longest,) = re.findall(r"^LONGEST = \((.*?)^\)", (ROOT / "tests" / "conftest.py").read_text(), re.M | re.S)
    assert set(re.findall(r'"(.+)"', longest)) <= set(names)


def test_the_lock_is_pinned_hashed_and_names_no_address():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host", text)
    pins = re.findall(r"^[a-z0-9][^\s;\\]*", text, re.MULTILINE)
    assert len(pins) > 50
    assert all("==" in pin for pin in pins)
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)


def test_every_dependency_has_a_reason_and_is_locked():
    text = (ROOT / "pyproject.toml").read_text()
    needed, tools = (
        re.search(rf"^{key} = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)[1].splitlines()
        for key in ("dependencies", "dev")
    )
    extras = re.findall(r"^(metrics|lightning|transformers) = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert len(extras) == 3
    lines = [*needed, *(line for _, extra in extras for line in extra.splitlines())]
    assert [line for line in lines if not re.search(r'",?\s+# \S', line)] == []
    names = {re.match(r'\s*"([A-Za-z0-9._-]+)', line)[1].lower() for line in (*needed, *tools)}
    locked = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert names - locked == set()


def test_only_the_pair_of_torch_and_torchvision_that_fits():
    text = (ROOT / "requirements.lock").read_text()
    torch, vision = (re.search(rf"^{name}==(\d+)\.(\d+)", text, re.MULTILINE) for name in ("torch", "torchvision"))
    assert (int(torch[1]), int(vision[1])) == (2, 0)
    assert int(vision[2]) - int(torch[2]) in (14, 15)


def test_the_changelog_knows_this_version():
    changelog = ROOT / "CHANGELOG.md"
    assert not changelog.exists() or pct_mlops.__version__ in changelog.read_text(encoding="utf-8")
