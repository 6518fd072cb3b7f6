"""Opens DuckDB connections, makes tables visible as views, and words errors so that they name the file.

Paths reach DuckDB through its Python interface, never inside SQL text. Column names are quoted identifiers.
"""

from __future__ import annotations

import glob
import os
import re
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pct_mlops.errors import ConfigError, TableError, reason_of

MEMORY_LIMIT = "PCT_MEMORY_LIMIT"  # environment variable, for example 8GB
_MOST, _SHARE = 2_500_000_000, 0.5  # bytes, and the share of this machine's memory that is taken at most
_SIZE = re.compile(r"^[1-9]\d*(\.\d+)? ?([KMGT]i?)?B$", re.IGNORECASE)


def memory_limit() -> str:
    """Return how much memory a database takes before it spills to disk.

    This is PCT_MEMORY_LIMIT, else 2.5 GB or half of the machine's memory, whichever is less.
    """
    given = os.environ.get(MEMORY_LIMIT, "").strip()
    if given and not _SIZE.match(given):
        raise ConfigError(f"{MEMORY_LIMIT} is '{given}': write a size, for example 8GB.")
    if given:
        return given
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        there = _MOST
    return f"{int(min(_MOST, there * _SHARE))}B"


def show_progress(connection: duckdb.DuckDBPyConnection) -> None:
    """Show DuckDB's progress bar for queries of more than two seconds, in a terminal only.

    Elsewhere it is switched off. Under `python -c` and in a notebook DuckDB draws it unasked, even into a pipe that a
    program reads. Call this on every cursor as well, since cursors do not inherit the setting.
    """
    connection.execute(f"SET enable_progress_bar = {str(sys.stderr.isatty() and sys.stdout.isatty()).lower()}")


def connection_config() -> dict[str, Any]:
    """Return the settings of a database that spills into a temporary folder and loads no extensions."""
    return {
        "memory_limit": memory_limit(),
        # Nothing here depends on the order of rows in a file, and keeping it takes memory.
        "preserve_insertion_order": False,
        # A folder of its own: two processes that spill into one folder overwrite each other's blocks.
        "temp_directory": str(Path(tempfile.gettempdir()) / f"pct-mlops-{uuid.uuid4().hex}"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }


def connect() -> duckdb.DuckDBPyConnection:
    """Open a private in-memory database. All connections come from here, so that none draws a bar into a pipe."""
    connection = duckdb.connect(config=connection_config())
    show_progress(connection)
    return connection


def quoted(name: str) -> str:
    """Return a column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def view_parquet(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    """Make the file visible as the view `name`. Wildcards in the path are literal. Folder names add no columns."""
    literal = glob.escape(str(path.absolute()))
    connection.read_parquet(literal, hive_partitioning=False).create_view(name, replace=True)


def view_arrow(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Copy an Arrow table in as `name` (a copy, because other cursors of this database must see it too)."""
    connection.execute(f"DROP TABLE IF EXISTS {quoted(name)}")
    connection.from_arrow(table).create(name)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn a DuckDB error into one sentence about `what` is being read."""
    try:
        yield
    except duckdb.Error as error:
        raise TableError(f"{what} cannot be read ({reason_of(error)}): write the table again.") from error


def one(connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any] | None = None) -> tuple:
    """Return the only row of an aggregate. It is fetched to the end, as a result left open blocks the connection."""
    (row,) = connection.execute(query, parameters or {}).fetchall()
    return row
