"""DuckDB at arm's length: connections, views over tables, and errors that name the file.

Paths reach DuckDB through its Python interface, never inside SQL text; column names are quoted identifiers.
"""

from __future__ import annotations

import glob
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pct_mlops.config import PctError


def connection_config() -> dict[str, Any]:
    """Settings of a database that spills into a temporary folder and loads no extensions."""
    return {
        # A folder of its own: two processes that spill into one folder overwrite each other's blocks.
        "temp_directory": str(Path(tempfile.gettempdir()) / f"pct-mlops-{uuid.uuid4().hex}"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }


def connect() -> duckdb.DuckDBPyConnection:
    """A private in-memory database."""
    return duckdb.connect(config=connection_config())


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def view_parquet(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    """Make the file visible as the view `name`. Wildcards in the path are literal; folder names add no columns."""
    literal = glob.escape(str(path.absolute()))
    connection.read_parquet(literal, hive_partitioning=False).create_view(name, replace=True)


def view_arrow(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Copy an Arrow table in as `name` (a copy, because other cursors of this database must see it too)."""
    connection.execute(f"DROP TABLE IF EXISTS {quoted(name)}")
    connection.from_arrow(table).create(name)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns a DuckDB error into one sentence about `what` is being read."""
    try:
        yield
    except duckdb.Error as error:
        first = str(error).strip().split("\n", 1)[0].rstrip(".")
        raise PctError(f"{what} cannot be read ({first}): write the table again.") from error


def one(connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any] | None = None) -> tuple:
    """The only row of an aggregate. Fetched to the end: a result left open blocks the connection."""
    (row,) = connection.execute(query, parameters or {}).fetchall()
    return row
