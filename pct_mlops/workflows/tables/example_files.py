"""Checks pictures and texts of examples that somebody brings along with a table."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pct_mlops.errors import DataError
from pct_mlops.predictions import Predictions, sql
from pct_mlops.predictions.example_texts import open_texts
from pct_mlops.predictions.writing import write_aside


def prepared_thumbnails(path: Path, table: Predictions, target: Path) -> int:
    """Write the pictures of a table's examples to `target`, as the explorer reads them.

    Args:
        path: Parquet with the columns `sample_id` (text) and `png` (bytes).
        table: Whose examples the pictures show.
        target: The file to write.

    Returns:
        How many examples of the table have a picture.

    Raises:
        DataError: When the file cannot be read, or has a picture of none of the examples.
    """
    wanted = "a Parquet file with the columns sample_id (text) and png (bytes)"
    try:
        found = pq.read_table(path, columns=["sample_id", "png"])
        rows = found.cast(pa.schema([("sample_id", pa.string()), ("png", pa.binary())]))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} holds no pictures that can be read: give --thumbnails {wanted}.") from error
    first = next((png.as_py() for png in rows["png"] if png.is_valid), b"")
    if not first.startswith(b"\x89PNG"):
        raise DataError(f"{path} holds no PNG in its column png: give --thumbnails {wanted}.")
    return _write_matching(rows, table, target, path)


def prepared_texts(path: Path, table: Predictions, target: Path) -> int:
    """Write the texts or rows of a table's examples to `target`, as the explorer reads them.

    Args:
        path: .csv, .tsv, .jsonl or .parquet, as `pct explore --texts` takes it.
        table: The predictions whose examples the texts are.
        target: The file to write.

    Returns:
        How many examples of the table have a text.

    Raises:
        DataError: When the file cannot be read, or has a text of none of the examples.
    """
    texts = open_texts(path)
    with sql.connect() as connection:
        table.attach(connection, "examples")
        num = texts.copy_known(connection, "examples", target)
    if not num:
        raise DataError(f"{path} has texts of none of the table's examples: use the same sample_ids in both.")
    return num


def _write_matching(rows: pa.Table, table: Predictions, target: Path, path: Path) -> int:
    """Write one picture for each example of the table that has one, and return their number."""
    with sql.connect() as connection, sql.reading(str(path)):
        table.attach(connection, "examples")
        sql.view_arrow(connection, "given", rows)
        query = """SELECT sample_id, any_value(png) AS png FROM given
                   SEMI JOIN examples USING (sample_id) WHERE png IS NOT NULL GROUP BY sample_id"""
        try:
            kept = connection.sql(query).to_arrow_table().cast(rows.schema)
        except duckdb.Error as error:
            raise DataError(f"{path} cannot be joined with the table: write its sample_ids as text.") from error
    if not len(kept):
        raise DataError(f"{path} has pictures of none of the table's examples: use the same sample_ids in both.")
    write_aside(target, lambda aside: pq.write_table(kept, aside, row_group_size=1000, compression="none"))
    return len(kept)
