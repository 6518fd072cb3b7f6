"""Reads the files that a policy names.

Pinned examples and costs are read together with the policy. Of the slices file, only the digest is taken here.
"""

from __future__ import annotations

import csv
import hashlib
import math
from pathlib import Path
from typing import Any

from pct_mlops.errors import ConfigError

# People and CI keep the list of pinned examples. It stays far below this size.
MAX_LIST_BYTES = 256 * 1024**2
FORMATS = (".csv", ".parquet")
# Within these limits, sums of squared costs neither overflow nor underflow.
LEAST_COST, GREATEST_COST = 1e-9, 1e9


def file_digest(path: Path, what: str) -> str:
    """Return the sha256 of a file's bytes. Raise ConfigError that says what the file is for."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{what}: {path} should be a .csv or .parquet file")
    try:
        # Check first: opening a pipe would wait for a writer.
        if path.exists() and not path.is_file():
            raise ConfigError(f"{what}: {path} is a folder, pipe or device, and should be a file")
        with path.open("rb") as file:
            found = hashlib.sha256()
            while block := file.read(1 << 20):
                found.update(block)
            return found.hexdigest()
    except FileNotFoundError:
        raise ConfigError(f"{what}: there is no file {path} (its place counts from the policy's folder)") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{what}: {path} cannot be read ({getattr(error, 'strerror', None) or error})") from error


def read_id_column(path: Path, what: str) -> tuple[str, ...]:
    """Read the column `sample_id` of a CSV with a header, or of a Parquet file.

    Returns:
        The ids in order, each once.

    Raises:
        ConfigError: The column is missing, or an id is empty.
    """
    ids = [row[0] for row in _columns(path, what, ("sample_id",))]
    if not all(ids):
        raise ConfigError(f"{what}: {path} has an empty sample_id in row {ids.index('') + 1}")
    return tuple(dict.fromkeys(ids))


def read_costs(path: Path, what: str) -> dict[str, float]:
    """Read class name -> cost from the columns `class` and `cost`.

    Raises:
        ConfigError: A class is given twice, or a cost is out of range (see `to_cost`).
    """
    costs: dict[str, float] = {}
    for name, text in _columns(path, what, ("class", "cost")):
        if name in costs:
            raise ConfigError(f"{what}: {path} gives class '{name}' twice")
        costs[name] = to_cost(name, text)
    return costs


def to_cost(name: str, value: Any) -> float:
    """Return a cost as a number: 0, or LEAST_COST to GREATEST_COST. Raise ConfigError for anything else."""
    try:
        cost = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        cost = math.nan
    except OverflowError:
        # An integer too large for a float. Python may refuse to print it.
        cost, value = math.inf, "far larger"
    if not (cost == 0 or LEAST_COST <= cost <= GREATEST_COST):
        raise ConfigError(
            f"the cost of '{name}' should be a number from 0 up to {GREATEST_COST:g} (0, or at least {LEAST_COST:g}), "
            f"and it is {str(value)[:40]!r}"
        )
    return cost


def _columns(path: Path, what: str, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    if path.stat().st_size > MAX_LIST_BYTES:
        raise ConfigError(f"{what}: {path} has more than {MAX_LIST_BYTES >> 20} MiB: keep the list short")
    rows = _parquet_rows(path, what, names) if path.suffix.lower() == ".parquet" else _csv_rows(path, what, names)
    return [tuple("" if value is None else str(value) for value in row) for row in rows]


def _csv_rows(path: Path, what: str, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in names if name not in (reader.fieldnames or [])]
            if missing:
                found = ", ".join((reader.fieldnames or ["nothing"])[:8])
                raise ConfigError(
                    f"{what}: {path} needs a first line that names the column {missing[0]} (found: {found})"
                )
            return [tuple(row[name] for name in names) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{what}: {path} is not a CSV file in UTF-8 ({error})") from error


def _parquet_rows(path: Path, what: str, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_schema(path).names
        missing = [name for name in names if name not in found]
        if missing:
            raise ConfigError(f"{what}: {path} needs the column {missing[0]} (found: {', '.join(found[:8])})")
        table = pq.read_table(path, columns=list(names))
        return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConfigError(f"{what}: {path} is not a Parquet file that can be read") from error
