"""Measures the training time of each method by that of the untreated update, and writes results/cost.csv.

Run it in this folder on a machine that does nothing else: `python cost.py`. It trains every method of two changes for a
few epochs with four seeds, and compares the medians of the last three. The other changes keep the network, so data
growth speaks for them.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
from pathlib import Path
from typing import Any

import yaml
from study import DONE, HERE, run_change

MEASURED = {"data growth": "fashion-mnist-data", "architecture growth": "fashion-mnist-network"}
TIMED = 3  # trainings of each method whose times count
MEMBERS = {"update+mixture": 1}  # plain models that are trained first, for every update anew


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each training (default: 4)")
    given = parser.parse_args()
    study = yaml.safe_load((HERE / "study.yaml").read_text())
    rows = []
    for kind, name in MEASURED.items():
        seconds = measure(name, study[name], given.epochs)
        for method, own in seconds.items():
            cost = own / seconds["untreated"] + MEMBERS.get(method, 0)
            rows.append({"change": kind, "method": method, "cost": f"{cost:.2f}"})
    with (HERE / "results" / "cost.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["change", "method", "cost"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def measure(name: str, change: dict[str, Any], epochs: int) -> dict[str, float]:
    """Return the median training time of each method in seconds, without the training of further models."""
    methods = {
        method: words
        for method, words in change["methods"].items()
        # Two deployed models train nothing, and a longer training takes longer by its number of epochs.
        if isinstance(words, list) and not any(word.startswith("optim.epochs") for word in words)
    }
    short = {"old": [*change["old"], "optim.epochs=1"], "new": [*change["new"], f"optim.epochs={epochs}"]}
    with tempfile.TemporaryDirectory() as folder:
        places = {"registry": Path(folder), "results": Path(folder)}
        # The first seed also trains the further models. They are kept, so the others do not.
        given = argparse.Namespace(seeds=1 + TIMED, **places)
        if run_change(name, {**change, **short, "methods": methods}, given, None) != DONE:
            raise SystemExit(f"The trainings of {name} failed: see above.")
        with (Path(folder) / name / "trainings.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["seconds"]]
    kept = {method: [float(row["seconds"]) for row in rows if row["method"] == method][1:] for method in methods}
    return {method: statistics.median(values) for method, values in kept.items()}


if __name__ == "__main__":
    main()
