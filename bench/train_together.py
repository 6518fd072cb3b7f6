"""Measures trainings that share processors: one alone, two at once, and two processes of one training on one core.

Each line is a `pct train` of a small network in processes of its own, with the thread settings that the line names.
Speeds are those of the last epoch. They are relative to one training alone as `pct` sets it up.

    python bench/train_together.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPE = """
model_name: together
data: {name: fashion_mnist, train_fraction: 0.1, augment: {crop: pad, padding: 2, flip: true}}
model: {name: small_resnet8, kwargs: {width: 16, stem_stride: 2}}
optim: {epochs: 2, lr: 0.1, global_batch_size: 128}
engine: {cpu: true}
"""
# libgomp's default: waiting threads keep their processors busy some 30 times as long as under `pct`.
LIBGOMP = {"GOMP_SPINCOUNT": "300000"}
CASES: dict[str, tuple[int, list[str], dict[str, str]]] = {
    "one": (1, [], {}),
    "one, libgomp's own waiting": (1, [], LIBGOMP),
    "two at once": (2, [], {}),
    "two at once, libgomp's own waiting": (2, [], LIBGOMP),
    "two at once, OMP_NUM_THREADS=1": (2, [], {"OMP_NUM_THREADS": "1"}),
    "one on one core": (1, ["taskset", "-c", "0"], {}),
    "one of two processes on one core": (1, ["taskset", "-c", "0", "--num-processes", "2"], {}),
}


def speeds(number: int, words: list[str], settings: dict[str, str]) -> list[float]:
    """Return the images per second of each of `number` trainings that start together."""
    wrapper, flags = words[:3], words[3:]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "OMP_", "GOMP_"))}
    environment |= {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true", **settings}
    with tempfile.TemporaryDirectory() as folder:
        started = []
        for index in range(number):
            place = Path(folder, str(index))
            place.mkdir()
            (place / "recipe.yaml").write_text(RECIPE)
            command = [*wrapper, sys.executable, "-m", "pct_mlops", "train", "recipe.yaml", "--loss", "none", *flags]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            started.append(subprocess.Popen(command, cwd=place, env=environment, text=True, **pipes))
        said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit("\n".join(said))
    return [float(re.findall(r"([\d,]+) images/s", text)[-1].replace(",", "")) for text in said]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    found: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, case in CASES.items():
            found[name] += speeds(*case)
    alone = statistics.median(found["one"])
    print("| trainings | images/s of each | slowest | relative to one alone |\n|---|---:|---:|---:|")
    for name, values in found.items():
        middle = statistics.median(values)
        print(f"| {name} | {middle:,.0f} | {min(values):,.0f} | {middle / alone:.2f} |")


if __name__ == "__main__":
    main()
