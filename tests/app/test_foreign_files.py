"""Nothing of the current folder is imported, whatever a user's files there are called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chromium import ROOT, browser, explorer  # noqa: F401
from playwright.sync_api import expect

sys.path.append(str(ROOT / "tests" / "cli"))

from shadowing_modules import imported, write_modules

RECIPE = "model_name: d\ndata: {name: digits}\nmodel: {name: small_resnet8}\nengine: {cpu: true}\n"


@pytest.fixture
def foreign(tmp_path, files) -> Path:
    """A folder with two tables, a policy and a recipe, beside modules, and a package `app`, that nobody may import."""
    for table in files:
        shutil.copy(table, tmp_path / table.name)
    (tmp_path / "policy.yaml").write_text("rules: [{metric: nfr, max: 0.5}]\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    write_modules(tmp_path)
    return tmp_path


def start(folder: Path, words: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/none.db"}
    return subprocess.run(
        [*command, *words.split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_the_files_are_imported_where_python_looks_first(foreign):
    """Or the other tests show nothing."""
    done = start(foreign, "", [sys.executable, "-m", "app"])
    assert done.returncode == 77
    assert imported(foreign) == ["imported-app"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("compare old.parquet new.parquet", 0),
        ("gate new.parquet --baseline old.parquet", 0),
        ("list models", 0),
        ("history shoes", 2),
        # tests/cli/test_cli_updates.py has two processes in such a folder
        ("train recipe.yaml --loss ldi", 2),
    ],
)
def test_a_verb(foreign, words, code):
    """By `python -m`, which puts the current folder first on the path."""
    done = start(foreign, words, [sys.executable, "-m", "pct_mlops"])
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert imported(foreign) == []


def test_the_program_by_its_path_from_a_checkout_that_is_not_installed(foreign):
    done = start(foreign, "compare old.parquet new.parquet", [sys.executable, str(ROOT / "pct_mlops" / "__main__.py")])
    assert done.returncode == 0, done.stderr
    assert imported(foreign) == []


def test_the_explorer(foreign, browser):  # noqa: F811
    with explorer(foreign, ["old.parquet", "new.parquet", "--policy", "policy.yaml"]) as (address, _):
        page = browser.new_page()
        page.goto(address)
        expect(page.get_by_test_id("stMetric").filter(has_text="NFR")).to_be_visible(timeout=60_000)
    assert imported(foreign) == []
