"""Measures how far the demo's verdicts lie from their limits, in standard deviations over seeds.

    python bench/demo_margins.py FOLDER [--seeds 10]

Trains the demo's baseline once and its two candidates with every seed, and holds each against the demo's policy. For
each rule it prints the bound that decides: its mean, its standard deviation over seeds, and the distance of the mean to
the limit in such deviations. A class rule is represented by its worst class. FOLDER keeps the registry, so that the
same command continues.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from pct_mlops import Decision, Policy, Predictions, compare, decide

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "projects" / "fashion_mnist"
LOSSES = ("none", "update")


def pct(folder: Path, *words: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    command = [sys.executable, "-m", "pct_mlops", *words]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)


def train(folder: Path, seeds: int) -> None:
    """Train what is missing."""
    if not (folder / "promoted").exists():
        pct(folder, "train", str(PROJECT / "baseline.yaml"))
        pct(folder, "gate", "fashion-mnist@candidate", "--policy", str(PROJECT / "policy.yaml"), "--promote")
        (folder / "promoted").touch()
    losses = ",".join(LOSSES)
    recipe = str(PROJECT / "recipe.yaml")
    pct(folder, "sweep", recipe, "--losses", losses, "--seeds", str(seeds), "--no-controls")


def tables(folder: Path, seeds: int) -> tuple[Predictions, dict[str, dict[int, Predictions]]]:
    """Return the test predictions of the baseline, and of each candidate by loss and seed."""
    from pct_mlops.registry import Registry, run_file
    from pct_mlops.workflows.studies.plan import FIRST_SEED

    registry = Registry(f"sqlite:///{folder / 'mlflow.db'}")
    old = registry.predictions(registry.resolve("fashion-mnist@production"))
    client = registry.client
    places = [item.experiment_id for item in client.search_experiments()]
    found: dict[str, dict[int, Predictions]] = defaultdict(dict)
    for run in client.search_runs(places, "tags.`pct.member` != ''", max_results=1000):
        path = run_file(registry, run.info.run_id, "predictions/test.parquet")
        seed = int(run.data.tags["pct.seed"])
        if path is not None and run.data.tags["pct.method"] in LOSSES and seed < FIRST_SEED + seeds:
            found[run.data.tags["pct.method"]][seed] = Predictions.load(path)
    return Predictions.load(old), found


def deciding(decision: Decision) -> dict[str, tuple[float, float]]:
    """Return, for each rule, the bound that is held against the limit and its distance to it, positive where it passes.

    Of a class rule the check that is nearest to failing counts.
    """
    found: dict[str, tuple[float, float]] = {}
    for check in decision.checks:
        bound = check.lower if check.bound == "lower" else check.upper
        if bound is None or check.limit is None:
            continue
        distance = bound - check.limit if check.bound == "lower" else check.limit - bound
        if check.metric not in found or distance < found[check.metric][1]:
            found[check.metric] = (bound, distance)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    if given.seeds < 2:
        parser.error("--seeds should be 2 or more: one training has no deviation")
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    train(folder, given.seeds)
    policy = Policy.read(PROJECT / "policy.yaml")
    old, candidates = tables(folder, given.seeds)
    print("| candidate | rule | bound, mean | deviation | limit | distance in deviations |")
    print("|---|---|---:|---:|---:|---:|")
    for loss in LOSSES:
        decisions = [decide(policy, compare(old, table)) for table in candidates[loss].values()]
        limits = {check.metric: check.limit for check in decisions[0].checks}
        every = [deciding(decision) for decision in decisions]
        for metric in every[0]:
            bounds, distances = zip(*(one[metric] for one in every if metric in one), strict=True)
            spread = statistics.stdev(bounds) or float("nan")
            cells = [f"{100 * value:.2f}%" for value in (statistics.fmean(bounds), spread, limits[metric] or 0)]
            print(f"| {loss} | {metric} | {' | '.join(cells)} | {statistics.fmean(distances) / spread:+.1f} |")
        verdicts = Counter(decision.verdict.value for decision in decisions)
        print(f"\n{loss}: {', '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}\n")


if __name__ == "__main__":
    main()
