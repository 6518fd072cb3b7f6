"""Joins columns from a file as slices, and finds slices in which the new model flips more than elsewhere."""

from __future__ import annotations

import csv
import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from pct_mlops.comparison.intervals import clopper_pearson
from pct_mlops.errors import ConfigError, reason_of
from pct_mlops.predictions.sql import quoted

if TYPE_CHECKING:
    from pct_mlops.comparison.totals import Totals

_ROWS = """SELECT count(*), count(DISTINCT sample_id), count(*) FILTER (WHERE coalesce(sample_id, '') = '')
FROM extra"""
_MISSING = """SELECT count(*) FILTER (WHERE sample_id NOT IN (SELECT sample_id FROM extra)), count(*)
FROM new_table"""


@dataclass(frozen=True)
class SliceExcess:
    """A slice that flips more than the rest of the examples.

    Attributes:
        column: the slice column.
        value: the value that the examples share.
        support: number of examples in the slice.
        flips: number of negative flips in it that count.
        nfr: flips / support.
        lower: one-sided lower bound of `nfr`, for all slices that were searched at once (Bonferroni).
        upper: one-sided upper bound, likewise.
        rest_nfr: NFR of all other examples.
        p_value: of Fisher's exact test, one-sided, corrected for the number of slices that were searched (Holm).
    """

    column: str
    value: str
    support: int
    flips: int
    nfr: float
    lower: float
    upper: float
    rest_nfr: float
    p_value: float


@dataclass(frozen=True)
class Joined:
    """Columns of a file that was joined, and the number of examples that it lacks (their value is '(none)')."""

    columns: tuple[str, ...] = ()
    num_missing: int = 0
    path: Path | None = None


def join_slices(connection: duckdb.DuckDBPyConnection, path: Path | None) -> Joined:
    """Make the view `sliced`: `pairs` with the columns of a CSV or Parquet file as text, joined by sample_id.

    Without `path`, it is the same as `pairs`.

    Raises:
        PctError: the file is missing, or cannot be joined without guessing.
    """
    if path is None:
        connection.execute("CREATE VIEW sliced AS SELECT * FROM pairs")
        return Joined()
    if not path.is_file():
        raise ConfigError(f"There is no file {path} with slices: give a CSV or Parquet file.")
    try:
        columns = _read(connection, path)
        missing = _check_ids(connection, path)
    except (duckdb.Error, UnicodeDecodeError, csv.Error) as error:
        why = reason_of(error)
        raise ConfigError(f"{path} cannot be joined ({why}): give a CSV file with a header, or Parquet.") from error
    names = "".join(f", extra.{quoted(name)}" for name in columns)
    join = "FROM pairs LEFT JOIN extra ON extra.sample_id = pairs.sample_id"
    connection.execute(f"CREATE VIEW sliced AS SELECT pairs.*{names} {join}")
    return Joined(columns, missing)


def _read(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...]:
    """Make the view or table `extra` of the file, all as text. Return its columns without sample_id."""
    literal = glob.escape(str(path.absolute()))
    is_parquet = path.suffix.lower() == ".parquet"
    if is_parquet:
        raw = connection.read_parquet(literal, hive_partitioning=False)
    else:
        raw = _read_csv(connection, path, literal)
    columns = tuple(name for name in raw.columns if name != "sample_id")
    if "sample_id" not in raw.columns or not columns:
        raise _no_columns(path, raw.columns)
    taken = {name.lower() for name in connection.view("pairs").columns}
    for name in columns:
        if not name.strip() or name.lower() in taken:
            why = "is empty" if not name.strip() else "is already a column of the predictions"
            raise ConfigError(f"{path}: rename the column '{name}', because its name {why}.")
    # As text, so that a file that holds numbers today and words tomorrow has the same slices.
    texts = raw.project(", ".join(f"{quoted(name)}::VARCHAR AS {quoted(name)}" for name in ("sample_id", *columns)))
    if is_parquet:
        texts.create_view("extra")
    else:
        # A table, because a view would parse the file at every query.
        texts.create("extra")
    return columns


def _read_csv(connection: duckdb.DuckDBPyConnection, path: Path, literal: str) -> duckdb.DuckDBPyRelation:
    """Read the rows as text. Nothing is guessed: 007 stays 007, and no line is taken for a comment or skipped."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    if len(set(names)) < len(names):
        raise ConfigError(f"{path} names a column twice: give each its own name.")
    if "sample_id" not in names:
        raise _no_columns(path, names)
    return connection.read_csv(
        literal,
        header=True,
        sep=",",
        quotechar='"',
        escapechar='"',
        auto_detect=False,
        columns=dict.fromkeys(names, "VARCHAR"),
    )


def _no_columns(path: Path, found: Sequence[str]) -> ConfigError:
    shown = ", ".join(name[:40] for name in found[:8]) or "nothing"
    return ConfigError(f"{path} needs a column sample_id and one for each slice (found: {shown}).")


def _check_ids(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Count the examples that the file lacks. Raise PctError for empty or repeated ids, or when it lacks them all."""
    total, distinct, empty = connection.execute(_ROWS).fetchall()[0]
    if empty or distinct < total:
        what = f"{empty:,} empty sample_ids" if empty else f"{total - distinct:,} repeated sample_ids"
        raise ConfigError(f"{path} has {what}: each example needs one row.")
    missing, num = connection.execute(_MISSING).fetchall()[0]
    if missing == num:
        raise ConfigError(f"{path} holds none of the {num:,} examples of the tables: use the tables' sample_ids in it.")
    return int(missing)


def excesses(
    slices: Sequence[tuple[str, str, Totals]], whole: Totals, confidence: float, limit: int
) -> list[SliceExcess]:
    """Return at most `limit` slices that flip more than the rest, the surest first, corrected for all that are given.

    `slices` are (column, value, totals), and `whole` are the totals of all examples.
    """
    from scipy.stats import hypergeom

    searched = [item for item in slices if 0 < item[2].num < whole.num]
    level = 1 - (1 - confidence) / max(len(searched), 1)
    found = []
    for column, value, part in searched:
        support, flips = int(part.num), int(part.counted_flips)
        rest = (whole.counted_flips - flips) / (whole.num - support)
        p = float(hypergeom.sf(flips - 1, int(whole.num), int(whole.counted_flips), support))
        bounds = clopper_pearson(flips, support, level)
        found.append(SliceExcess(column, value, support, flips, flips / support, *bounds, rest, p))
    found.sort(key=lambda item: (item.p_value, item.rest_nfr - item.nfr, item.column, item.value))
    return [item for item in _holm(found) if item.nfr > item.rest_nfr][:limit]


def _holm(ordered: Sequence[SliceExcess]) -> list[SliceExcess]:
    """Adjust p-values in ascending order (Holm 1979): each times the number not yet rejected, and never falling."""
    adjusted, reached = [], 0.0
    for index, item in enumerate(ordered):
        reached = max(reached, min(1.0, item.p_value * (len(ordered) - index)))
        adjusted.append(replace(item, p_value=reached))
    return adjusted
