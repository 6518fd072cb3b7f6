"""examples/own_loss: built, installed and used by a process of its own, as its README says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
import pytest
from pct_mlops.cli import main

assert main(["list", "distances"]) == 0
assert main(["train", "recipe.yaml", "--loss", "huber", "--set", "objective.distance.delta=0.5 optim.epochs=1"]) == 0
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1]]))
"""


@pytest.mark.slow
def test_the_example_package_is_installed_listed_trained_with_and_tested(store, tmp_path):
    source, site = tmp_path / "own_loss", tmp_path / "site"
    shutil.copytree(ROOT / "examples" / "own_loss", source)
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*uv, "--python", sys.executable, "--target", str(site), str(source)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "MLFLOW_TRACKING_URI": store.uri}
    program = [sys.executable, "-c", PROGRAM, str(source / "test_own_loss.py")]
    done = subprocess.run(
        program, cwd=store.folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "huber  Huber's loss between the logits: outliers pull less than in l2. (own-loss 0.1.0)" in done.stdout
    assert "1 passed" in done.stdout
    version = store.registry.resolve("digits@candidate")
    assert version.version == 3
    assert version.tags["pct.loss"] == "huber"
    assert version.tags["pct.plugins"] == "distance huber: own_loss:Huber (own-loss 0.1.0)"
