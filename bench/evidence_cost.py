"""Measures what fixing the evidence costs the gate, beside reading and comparing the same two tables.

All parts take turns in one process. The digest of a file's bytes is what a gate pays for a table that was recorded,
twice: when it reads the table, and under the lock. The digest of the content is paid once, when a table is recorded.

    python bench/evidence_cost.py [--rows 1000000] [--classes 10] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pct_mlops.comparison import compare
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.content_digest import content_digest
from pct_mlops.registry.model_digests import digest_of_files


def write(path: Path, num_rows: int, num_classes: int, seed: int) -> Path:
    """Write a table with logits. That of the seed 1 comes in the order of its ids, any other one in a random order."""
    truth, rng = np.random.default_rng(0), np.random.default_rng(seed)
    labels = truth.integers(0, num_classes, num_rows)
    logits = rng.normal(0, 1, (num_rows, num_classes)).astype(np.float32)
    logits[np.arange(num_rows), labels] += 3
    order = np.arange(num_rows) if seed == 1 else rng.permutation(num_rows)
    names = [f"class {place}" for place in range(num_classes)]
    ids = [f"test/{place:08d}" for place in order]
    about = {"class_names": names, "model_name": f"m{seed}", "split": "test"}
    Predictions.from_arrays(ids, labels[order], logits[order], **about).save(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        paths = [write(Path(temporary) / f"{seed}.parquet", given.rows, given.classes, seed) for seed in (1, 2)]
        parts: dict[str, Callable[[], object]] = {
            "read both tables": lambda: [pq.read_table(path) for path in paths],
            "compare, as the gate does": lambda: compare(*(Predictions.load(path) for path in paths)).counts,
            "digests of the bytes": lambda: [digest_of_files([path]) for path in paths],
            "digests of the content": lambda: [content_digest(path) for path in paths],
        }
        spent: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(given.rounds):
            for name, run in parts.items():
                start = time.process_time()
                run()
                spent[name].append(time.process_time() - start)
    middle = {name: statistics.median(values) for name, values in spent.items()}
    print(f"{given.rows:,} rows, {given.classes:,} classes, two tables, {given.rounds} rounds, processor seconds")
    for name, value in middle.items():
        print(f"{name:<28} {value:6.2f}  {value / middle['compare, as the gate does']:5.2f} x compare")


if __name__ == "__main__":
    main()
