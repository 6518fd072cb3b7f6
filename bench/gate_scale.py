"""Measures how a comparison grows with the number of examples: time, memory, and the ratio to a bare hash join.

Writes two tables of the given number of rows, with 1,000 classes and ids like ImageNet's, the second in another order.
Then `compare` and DuckDB's bare join of the same columns take turns, in processes of their own. The join matches
sample_id and counts by prediction and label. Both have the same memory limit.

    python bench/gate_scale.py [--rows 100000 1000000 10000000] [--rounds 3] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from table_info import table_info

from pct_mlops.predictions import Predictions, digest_of, sql
from pct_mlops.predictions.schema import CONFIDENCE_COLUMNS, FIXED_COLUMNS, to_metadata

NUM_CLASSES, SIMILAR = 1000, 20  # a wrong prediction is one of 20 similar classes
STRIDE = 7_919_000_001  # coprime to every power of ten, so that it gives the second table another order
TARGETS = {10_000_000: (3.0, 2.0), 100_000_000: (None, 4.0)}  # rows -> multiple of the bare join's time, GB

COMPARE = """
from pct_mlops.comparison import compare
from pct_mlops.predictions import Predictions
counts = compare(Predictions.load(old), Predictions.load(new)).counts
found = [counts.total, counts.negative_flips]
"""
BARE = """
from pct_mlops.predictions import sql
query = '''SELECT count(*), count(*) FILTER (WHERE o.prediction = o.label AND n.prediction <> n.label)
           FROM read_parquet($old) AS o JOIN read_parquet($new) AS n ON o.sample_id = n.sample_id'''
found = list(sql.connect().execute(query, {"old": old, "new": new}).fetchone())
"""
CHILD = """
import json, resource, sys, time
old, new = sys.argv[1:]
start = time.perf_counter()
{work}
used = resource.getrusage(resource.RUSAGE_SELF)
spent = {{"seconds": time.perf_counter() - start, "cpu": used.ru_utime + used.ru_stime}}
print(json.dumps({{**spent, "gb": used.ru_maxrss * 1024 / 1e9, "found": found}}))
"""


def rows_query(num_rows: int, version: int) -> str:
    """Return the query of a table's rows. About seven in ten are right in both versions, and a few differ."""
    stride, offset = (1, 0) if version == 1 else (STRIDE, num_rows // 3)
    return f"""
    WITH placed AS (SELECT (place * {stride}::HUGEINT + {offset}) % {num_rows} AS i FROM range({num_rows}) AS t(place)),
    drawn AS (
        SELECT i::BIGINT AS i, {label_of(num_rows)} AS label, hash(i::BIGINT, 0) % 1000 AS easy,
               hash(i::BIGINT, {version}) % 1000 AS luck, hash(i::BIGINT, {version + 2}) % {SIMILAR} + 1 AS other
        FROM placed),
    answered AS (
        SELECT *, CASE WHEN (easy < 750 AND luck < 980) OR (easy >= 750 AND luck < 200) THEN label
                       ELSE ((label + other) % {NUM_CLASSES})::INT END AS prediction,
               (0.4 + luck / 2000)::FLOAT AS confidence
        FROM drawn)
    SELECT {id_of(num_rows)} AS sample_id, label, prediction, confidence,
           (CASE WHEN prediction = label THEN confidence ELSE (1 - confidence) / 2 END)::FLOAT AS label_confidence
    FROM answered"""


def label_of(num_rows: int) -> str:
    return f"(i::BIGINT * {NUM_CLASSES} // {num_rows})::INT"


def id_of(num_rows: int) -> str:
    """Return the expression of an id. Ids have a fixed width and sort like i, as in the order of the digest."""
    folder = f"lpad(({label_of(num_rows)} + 1440764)::VARCHAR, 8, '0')"
    return f"'val/n' || {folder} || '/ILSVRC2012_val_' || lpad(i::VARCHAR, 9, '0') || '.JPEG'"


def write_tables(folder: Path, num_rows: int) -> list[Path]:
    """Write old.parquet and new.parquet as DuckDB writes them, with our metadata."""
    names = tuple(f"class {index}" for index in range(NUM_CLASSES))
    paths = []
    with sql.connect() as connection:
        connection.execute("SET preserve_insertion_order = true")
        pairs = f"SELECT {id_of(num_rows)}, {label_of(num_rows)} FROM range({num_rows}) AS t(i)"
        digest = digest_of(connection.sql(pairs).to_arrow_reader(65_536), names)
        for version, name in ((1, "old"), (2, "new")):
            info = table_info(version, names, num_rows, (*FIXED_COLUMNS, *CONFIDENCE_COLUMNS), digest=digest)
            meta = ", ".join(f"'{key}': '{value}'" for key, value in to_metadata(info).items())
            path = folder / f"{name}.parquet"
            options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 100000, KV_METADATA {{{meta}}}"
            connection.execute(f"COPY ({rows_query(num_rows, version)}) TO '{path}' ({options})")
            assert Predictions.load(path).info.num_examples == num_rows
            paths.append(path)
    return paths


def measure(work: str, paths: list[Path]) -> dict[str, float]:
    """Run once in a process of its own. Return seconds, CPU seconds and peak memory in GB."""
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", CHILD.format(work=work), *map(str, paths)]
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"A run failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def run(folder: Path, num_rows: int, rounds: int) -> None:
    """Write, measure in turns, and print one line of the table."""
    paths = write_tables(folder, num_rows)
    size = sum(path.stat().st_size for path in paths) / 1e9
    runs: dict[str, list[dict[str, float]]] = {BARE: [], COMPARE: []}
    for _ in range(rounds):
        for work, results in runs.items():
            results.append(measure(work, paths))
            assert results[-1]["found"] == runs[BARE][0]["found"]
            assert results[-1]["found"][0] == num_rows
    middle = {
        (work, key): statistics.median(result[key] for result in results)
        for work, results in runs.items()
        for key in ("seconds", "cpu", "gb")
    }
    ratio, cpu = (middle[COMPARE, key] / middle[BARE, key] for key in ("seconds", "cpu"))
    peak = max(result["gb"] for result in runs[COMPARE])
    print(
        f"| {num_rows:,} | {size:.2f} | {middle[BARE, 'seconds']:.1f} | {middle[COMPARE, 'seconds']:.1f} | {ratio:.2f} "
        f"| {cpu:.2f} | {middle[COMPARE, 'seconds'] / num_rows * 1e6:.2f} | {peak:.2f} |",
        flush=True,
    )
    most, memory = TARGETS.get(num_rows, (None, None))
    if (most and ratio > most) or (memory and peak > memory):
        print(f"missed: at most {most} times the bare join and {memory} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the tables are written (default: a temporary folder)")
    given = parser.parse_args()
    print("| rows | tables, GB | bare join, s | compare, s | ratio | ratio of CPU time | s per 10^6 rows | peak GB |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for num_rows in given.rows:
        with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
            free = shutil.disk_usage(temporary).free / 1e9
            # For the tables and the spilled parts of two joins, most of them ids.
            if free < num_rows * 300 / 1e9:
                sys.exit(
                    f"{num_rows:,} rows need about {num_rows * 300 / 1e9:.0f} GB of disk, and {free:.0f} are free."
                )
            run(Path(temporary), num_rows, given.rounds)


if __name__ == "__main__":
    main()
