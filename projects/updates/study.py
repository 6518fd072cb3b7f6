"""Trains every update of study.yaml with every method, in pieces.

Run it from this folder: `python study.py --minutes 9`. The same command continues until nothing is left, and then ends
with exit code 0. Exit code 3 says that trainings are left. tables.py then writes the tables.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
DONE, LEFT = 0, 3
OLD_SEEDS = ["seed.model=101", "seed.sampler=101"]  # none of the seeds that the new models have


def main() -> int:
    """Run the changes one after the other, until all are done or the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    study = yaml.safe_load((HERE / "study.yaml").read_text())
    parser.add_argument("changes", nargs="*", metavar="CHANGE", help=f"of {', '.join(study)}; default: all")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each method (default: 5)")
    parser.add_argument("--minutes", type=float, help="begin no training that would end later (default: no limit)")
    parser.add_argument(
        "--registry", type=Path, default=HERE / "registry", help="folder of the runs (default: registry)"
    )
    parser.add_argument(
        "--results", type=Path, default=HERE / "results", help="folder of the tables (default: results)"
    )
    arguments = parser.parse_args()
    chosen = [name for name in arguments.changes if name] or list(study)  # a project passes '' for none
    for name in chosen:
        if name not in study:
            parser.error(f"{name} is none of {', '.join(study)}")
    end = time.monotonic() + 60 * arguments.minutes if arguments.minutes else None
    for name in chosen:
        code = run_change(name, study[name], arguments, end)
        if code != DONE:
            return code
    return DONE


def run_change(name: str, change: dict[str, Any], arguments: argparse.Namespace, end: float | None) -> int:
    """Train the old model, put it into production, and sweep the methods against it. Return the exit code."""
    if end is not None and time.monotonic() >= end:
        return LEFT
    folder = (arguments.registry / name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    model = f"updates-{name}"
    recipe = [str(HERE / change["recipe"]), "--set", f"model_name={model}"]
    code = make_production(folder, change, model, recipe)
    if code:
        return code
    methods = folder / "methods.yaml"
    methods.write_text(yaml.safe_dump(change["methods"], sort_keys=False))
    limit = [] if end is None else ["--minutes", f"{max((end - time.monotonic()) / 60, 0.01):.2f}"]
    options = ["--seeds", str(arguments.seeds), "--methods", str(methods), *limit]
    output = ["--output", str(arguments.results.resolve() / name)]
    return pct(folder, "sweep", *recipe, *words(change["new"]), *options, *output)


def make_production(folder: Path, change: dict[str, Any], model: str, recipe: list[str]) -> int:
    """Train the old model and promote it, where that is not done yet. Each step leaves a file, so none is repeated."""
    policy = folder / "first.yaml"
    policy.write_text("rules: [{metric: nfr, max: 0.99, bound: point}]\n")  # a first version meets any policy
    steps = {
        "trained": ["train", *recipe, *words(OLD_SEEDS), *words(change["old"])],
        "promoted": ["gate", f"{model}/1", "--policy", str(policy), "--promote"],
    }
    if change["change"] == "class growth":  # the old model is wrong on what it does not know
        for split in ("val", "test"):
            steps[f"scored-{split}"] = ["score", f"{model}/1", "--split", split, "--set", "data.classes=null"]
    for done, command in steps.items():
        if not (folder / done).exists():
            code = pct(folder, *command)
            if code:
                return code
            (folder / done).touch()
    return DONE


def words(values: list[str]) -> list[str]:
    """Return values as --set options."""
    return [word for value in values for word in ("--set", shlex.quote(value))]


def pct(folder: Path, *arguments: str) -> int:
    """Run pct in a folder of its own, and return the exit code."""
    # Inside `mlflow run` the launcher's run is in another store.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    command = [sys.executable, "-m", "pct_mlops", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
