"""Measures how long the gate takes, over files and over a registry, compared with `import mlflow`.

Every command is a process of its own, as CI starts it. Commands take turns, so that other work on the machine slows all
of them alike. Prints medians and their ratio to `import mlflow`. The target is at most 1.5.

    python bench/gate_latency.py [--rounds 5] [--examples 10000] [--classes 10 1000]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pct_mlops.predictions import Predictions
from pct_mlops.registry import Registry, record_evidence

TARGET = 1.5
POLICY = """
rules:
  - {metric: nfr, max: 0.05}
  - {metric: accuracy_change, min: -0.01}
  - {metric: class_nfr, max: 0.99, min_support: 1}
"""


def make_table(num_examples: int, num_classes: int, version: int) -> Predictions:
    """Make a table of the old model (version 1) or the new one (version 2).

    About nine in ten predictions are right. Two in a hundred of the old model's right predictions flip in the new one.
    """
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, num_examples)
    right = rng.random(num_examples) < 0.9
    if version == 2:
        right = np.where(right, rng.random(num_examples) > 0.02, rng.random(num_examples) < 0.5)
    answers = np.where(right, labels, (labels + 1) % num_classes)
    logits = rng.normal(0, 1, (num_examples, num_classes)).astype(np.float32)
    logits[np.arange(num_examples), answers] += 12
    return Predictions.from_arrays(
        [f"test/{i:06d}" for i in range(num_examples)],
        labels,
        logits,
        class_names=[f"class {i}" for i in range(num_classes)],
        model_name=f"bench{num_classes}",
        dataset="bench",
        split="test",
    )


def register(uri: str, folder: Path, name: str, table: Predictions, alias: str) -> None:
    """Register a version that carries the table, as training does, but without a served model."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(name)
    place = experiment.experiment_id if experiment else client.create_experiment(name, (folder / "files").as_uri())
    run = client.create_run(place)
    model = client.create_logged_model(place, name="model", source_run_id=run.info.run_id)
    client.log_model_artifact(model.model_id, str(table.path), "predictions")
    client.finalize_logged_model(model.model_id, "READY")
    client.set_terminated(run.info.run_id)
    if alias == "production":
        client.create_registered_model(name)
    version = client.create_model_version(
        name, f"models:/{model.model_id}", run.info.run_id, model_id=model.model_id
    ).version
    client.set_registered_model_alias(name, alias, str(version))
    registry = Registry(uri)
    record_evidence(registry, registry.get(name, int(version)), "test")


def prepare(folder: Path, num_examples: int, classes: list[int]) -> dict[str, list[str]]:
    """Write tables, registry and policy. Return the commands to time, by name."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    (folder / "policy.yaml").write_text(POLICY)
    pct = [sys.executable, "-m", "pct_mlops", "gate"]
    words = ["--policy", str(folder / "policy.yaml")]
    commands = {"import mlflow": [sys.executable, "-c", "import mlflow"]}
    # The cost of opening a registry in SQLite, which no program can avoid.
    opened = f"import mlflow; mlflow.MlflowClient('{uri}').get_registered_model('bench{classes[0]}')"
    commands["mlflow opens the registry"] = [sys.executable, "-c", opened]
    for number in classes:
        files = []
        for version, alias in ((1, "production"), (2, "candidate")):
            file = folder / f"{number}-{version}" / "test.parquet"
            table = make_table(num_examples, number, version).save(file)
            register(uri, folder, f"bench{number}", table, alias)
            files.append(str(file))
        commands[f"gate, files, {number} classes"] = [*pct, files[1], "--baseline", files[0], *words]
        over = [f"bench{number}@candidate", *words, "--tracking-uri", uri]
        commands[f"gate, registry, {number} classes"] = [*pct, *over]
    return commands


def seconds(command: list[str], folder: Path) -> float:
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    # Without compiled files each start would compile mlflow again, which does not happen in an installation.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    spent = time.perf_counter() - start
    if done.returncode not in (0, 1, 3):
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 1000])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        commands = prepare(folder, given.examples, given.classes)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(given.rounds + 1):
            for name, command in commands.items():
                spent = seconds(command, folder)
                if turn:  # the first round warms the disk cache and compiles
                    times[name].append(spent)
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = medians["import mlflow"]
    print(
        f"{given.examples:,} examples, {given.rounds} rounds, {os.cpu_count()} cores, Python {sys.version.split()[0]}"
    )
    for name, median in medians.items():
        spread = f"{min(times[name]):.2f} to {max(times[name]):.2f}"
        print(f"{name:<30} {median:6.2f} s  ({spread})  {median / base:5.2f} x import mlflow")
    worst = max(median for name, median in medians.items() if name.startswith("gate")) / base
    print(f"target: at most {TARGET} x. Worst {worst:.2f} x: {'met' if worst <= TARGET else 'missed'}")


if __name__ == "__main__":
    main()
