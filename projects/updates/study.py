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
    parser.add_argument("--methods", help="names separated by ';' (default: all of the study)")
    parser.add_argument(
        "--registry", type=Path, default=HERE / "registry", help="folder of the runs (default: registry)"
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
    folder = (arguments.registry / name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    model = f"updates-{name}"
    recipe = [str(HERE / change["recipe"]), "--set", f"model_name={model}"]
    promoted = folder / "promoted"
    if not promoted.exists():
        policy = folder / "first.yaml"
        policy.write_text("rules: [{metric: nfr, max: 0.99, bound: point}]\n")  # a first version meets any policy
        code = pct(folder, "train", *recipe, *words(OLD_SEEDS), *words(change["old"]))
        code = code or pct(folder, "gate", f"{model}@candidate", "--policy", str(policy), "--promote")
        if change["change"] == "class growth":  # the old model is wrong on what it does not know
            for split in ("val", "test"):
                code = code or pct(folder, "score", f"{model}/1", "--split", split, "--set", "data.classes=null")
        if code:
            return code
        promoted.touch()
    wanted = arguments.methods.split(";") if arguments.methods else list(change["methods"])
    methods = folder / "methods.yaml"
    chosen = {key: value for key, value in change["methods"].items() if key in wanted}
    methods.write_text(yaml.safe_dump(chosen, sort_keys=False))
    limit = [] if end is None else ["--minutes", f"{max((end - time.monotonic()) / 60, 0.01):.2f}"]
    options = ["--seeds", str(arguments.seeds), "--methods", str(methods), *limit]
    output = ["--output", str(HERE / "results" / name)]
    return pct(folder, "sweep", *recipe, *words(change["new"]), *options, *output)


def words(values: list[str]) -> list[str]:
    """Return values as --set options."""
    return [word for value in values for word in ("--set", shlex.quote(value))]


def pct(folder: Path, *arguments: str) -> int:
    """Run pct in a folder of its own, and return the exit code."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    command = [sys.executable, "-m", "pct_mlops", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
