"""Writes tables a few batches at a time, and each file as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pct_mlops.errors import OutputError
from pct_mlops.predictions.schema import VECTOR_COLUMNS, TableInfo, to_metadata

ROW_GROUP = 100_000


def without_vectors(table: pa.Table) -> pa.Table:
    """Return the table without logits and features."""
    return table.drop_columns([name for name in VECTOR_COLUMNS if name in table.column_names])


def write(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write batches as one Parquet file, a few at a time in memory."""
    # Vectors as they are: zstd finds 7 % in logits, and reading them takes half as long again.
    others = [name for name in schema.names if name not in VECTOR_COLUMNS]
    compression = dict.fromkeys(others, "zstd") | {f"{name}.list.element": "none" for name in VECTOR_COLUMNS}
    with pq.ParquetWriter(path, schema, compression=compression, use_dictionary=others) as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_batches([batch]).cast(schema), row_group_size=ROW_GROUP)


def write_table(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], info: TableInfo) -> None:
    """Write a table with what it says about itself, whole or not at all."""
    schema = schema.with_metadata(to_metadata(info))
    write_aside(path, lambda aside: write(aside, schema, batches))


@dataclass(frozen=True)
class TemporaryTable:
    """A table at `path` in a temporary `folder`, which goes with the handle on it. The file has no metadata.

    `absent` holds the meanings for which a person named columns that the file of another program does not have. It is
    None for a table that was not read from such a file.
    """

    info: TableInfo
    path: Path
    folder: str
    absent: tuple[str, ...] | None = None


def write_temporary(
    info: TableInfo,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    finish: Callable[[TableInfo], TableInfo] = lambda info: info,
) -> TemporaryTable:
    """Write batches into a temporary folder. `finish` adds what is known of the table after the last of them."""
    folder = tempfile.mkdtemp(prefix="pct-mlops-")
    path = Path(folder) / "table.parquet"
    try:
        write(path, schema, batches)
        info = finish(info)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return TemporaryTable(info, path, folder)


def write_aside(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file so that a reader sees the old one or the whole new one, even after a power cut."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
