"""The wheel: one top-level name, with the explorer's program and the demo's recipes inside, and it works elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pct_mlops.predictions import Predictions

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".venv", ".git", "build", "*.egg-info", "demo", "site", "mlruns")
PROBE = """
import pct_mlops
from pct_mlops.explorer.program import main_script
from pct_mlops.workflows import demo
print(pct_mlops.__file__)
print(main_script())
print(demo._source())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in ("pct_mlops", "app", "projects"):
        shutil.copytree(ROOT / name, tree / name, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MLproject"):
        shutil.copy(ROOT / name, tree)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=tree, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The wheel unpacked, as an installer does."""
    place = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(place)
    return place


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    options = {"capture_output": True, "text": True, "timeout": 200}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, check=False, **options)


def test_one_top_level_name_is_installed(installed):
    names = sorted(path.name for path in installed.iterdir())
    assert [name for name in names if not name.endswith(".dist-info")] == ["pct_mlops"]
    assert (installed / "pct_mlops" / "py.typed").is_file()
    fonts = "pct_mlops/data/font_packages.txt"
    assert (installed / fonts).read_text() == (ROOT / fonts).read_text()
    updates = "pct_mlops/workflows/advice/evidence.csv"
    assert (installed / updates).read_text() == (ROOT / updates).read_text()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pct_mlops").rglob("*.py")}
    assert modules <= {path.relative_to(installed).as_posix() for path in installed.rglob("*.py")}


def test_program_and_recipes_are_found_inside(installed, tmp_path):
    done = run(installed, tmp_path, "-c", PROBE)
    package = installed / "pct_mlops"
    assert done.stdout.split() == [str(package / "__init__.py"), str(package / "app" / "main.py"), str(package)]
    assert (package / "app" / ".streamlit" / "config.toml").is_file()
    text = (package / "projects" / "MLproject").read_text()
    assert "python -m pct_mlops train" in text
    assert "conda" not in text, "the installed package is its own environment"


def test_verbs_work_outside_the_checkout(installed, tmp_path):
    labels = np.arange(90) % 3
    for name, wrong in (("old", 9), ("new", 3)):
        said = np.where(np.arange(90) < wrong, (labels + 1) % 3, labels)
        info = {"class_names": ("a", "b", "c"), "model_name": name, "split": "test"}
        ids = [str(row) for row in range(90)]
        Predictions.from_arrays(ids, labels, np.eye(3)[said], **info).save(tmp_path / f"{name}.parquet")
    (tmp_path / "policy.yaml").write_text("rules: [{metric: nfr, max: 0.1}]")
    done = run(installed, tmp_path, "-m", "pct_mlops", "compare", "old.parquet", "new.parquet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "accuracy_change" in done.stdout
    done = run(installed, tmp_path, "-m", "pct_mlops", "gate", "new.parquet", "--baseline", "old.parquet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "PASS" in done.stdout
