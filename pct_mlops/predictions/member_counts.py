"""Counts for each example how many retrainings of one recipe are right on it: a small table with the floor."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from pct_mlops.errors import TableError
from pct_mlops.predictions import sql
from pct_mlops.predictions.schema import read_footer
from pct_mlops.predictions.writing import write, write_aside

if TYPE_CHECKING:
    from pct_mlops.predictions.table import Predictions

MIN_MEMBERS = 2
_BATCH = 65_536
_SCHEMA = pa.schema(
    [pa.field("sample_id", pa.string(), nullable=False), pa.field("num_correct", pa.int32(), nullable=False)]
)
_DIGEST, _NUMBER = b"pct.digest", b"pct.num_members"


@dataclass(frozen=True)
class MemberCounts:
    """A file with the columns sample_id and num_correct: how many members are right on each example.

    Members are retrainings of one recipe with other seeds. `attach` shows the file to SQL.

    Attributes:
        path: The file.
        digest: Digest of the evaluation set, as the old model's table has it.
        num_members: Number of members, at least 2.
        num_examples: Number of examples.
    """

    path: Path
    digest: str
    num_members: int
    num_examples: int

    @classmethod
    def load(cls, path: Path) -> MemberCounts:
        """Open a file that `save_counts` wrote. Raise PctError for any other one."""
        schema, num_rows = read_footer(path)
        meta = schema.metadata or {}
        number, digest = (meta.get(key, b"").decode("utf-8", "replace") for key in (_NUMBER, _DIGEST))
        if not schema.equals(_SCHEMA) or not re.fullmatch(r"[1-9]\d{0,8}", number) or int(number) < MIN_MEMBERS:
            raise TableError(f"{path} holds no counts of members: run 'pct floor' again.")
        return cls(path, digest, int(number), num_rows)

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Make the file visible to SQL on this connection as `name`."""
        with sql.reading(str(self.path)):
            sql.view_parquet(connection, name, self.path)

    @property
    def stamp(self) -> int:
        """Modification time of the file in nanoseconds, 0 where it has gone."""
        return self.path.stat().st_mtime_ns if self.path.exists() else 0

    def relation(self) -> str:
        """Return the file as a relation for SQL that binds its path as the parameter `counts_path`."""
        return "read_parquet($counts_path, hive_partitioning = false)"


def count_correct(old: Predictions, members: Sequence[Predictions]) -> MemberCounts:
    """Count for each example of `old` how many members are right, into a temporary file that goes with the counts.

    Args:
        old: The table of the model that the members are retrainings of.
        members: Their tables about the same examples, at least 2.

    Raises:
        PctError: There are too few members, one is there twice, or one is about other examples.
    """
    if len(members) < MIN_MEMBERS:
        raise TableError(f"{len(members)} retraining is too few to tell what is noise: give at least {MIN_MEMBERS}.")
    _check_copies(old, members)
    folder = tempfile.mkdtemp(prefix="pct-mlops-")
    try:
        path = Path(folder) / "members.parquet"
        save_counts(old, members, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    counts = MemberCounts.load(path)
    weakref.finalize(counts, shutil.rmtree, folder, ignore_errors=True)
    return counts


def save_counts(old: Predictions, members: Sequence[Predictions], path: Path) -> None:
    """Write the counts of `count_correct` to `path`, whole or not at all."""
    with sql.connect() as connection:
        kept = [_attach_member(connection, old, member, place) for place, member in enumerate(members)]
        votes = " UNION ALL ".join(
            f"SELECT sample_id, prediction = label AS is_right FROM member_{place}" for place in range(len(kept))
        )
        query = f"SELECT sample_id, count(*) FILTER (WHERE is_right)::INT AS num_correct FROM ({votes}) GROUP BY 1"
        meta = {_DIGEST: old.info.digest.encode(), _NUMBER: str(len(members)).encode()}
        batches = _batches(connection, f"{query} ORDER BY sample_id")
        write_aside(path, lambda aside: write(aside, _SCHEMA.with_metadata(meta), batches))


def _attach_member(
    connection: duckdb.DuckDBPyConnection, old: Predictions, member: Predictions, place: int
) -> Predictions:
    """Show a member to SQL, and return the handle that keeps its file. Raise PctError for other examples."""
    first, second = old.aligned(member)
    with sql.connect() as apart:
        number = second.pairs(first, apart).aggregate("count(*)").fetchall()[0][0]
    if number != old.info.num_examples:
        raise TableError(f"{member.what} is about other examples than {old.what}: score both on the same data.")
    second.attach(connection, f"member_{place}")
    return second


def _check_copies(old: Predictions, members: Sequence[Predictions]) -> None:
    """Raise PctError for a table that is there twice. Counted as a retraining of its own, it would hide flips.

    Models that are right on every example may well agree on all of them.
    """
    known: dict[Any, Predictions] = {}
    for table in (old, *members):
        aligned = old.aligned(table)[1]
        with sql.connect() as connection:
            aligned.attach(connection, "copies")
            query = "SELECT sum(hash(sample_id, prediction)::HUGEINT), bool_and(prediction = label) FROM copies"
            digest, is_perfect = connection.sql(query).fetchall()[0]
        if digest in known and not is_perfect:
            raise TableError(
                f"{table.what} has the same prediction as {known[digest].what} on every example: give each retraining "
                "once, with a seed of its own."
            )
        known[digest] = table


def _batches(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.RecordBatch]:
    for batch in connection.sql(query).to_arrow_reader(_BATCH):
        yield batch.cast(_SCHEMA)
