"""Reads the stored images of single examples."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import duckdb

from pct_mlops.errors import DataError
from pct_mlops.predictions import sql


def read_pngs(path: Path, sample_ids: Sequence[str], largest: int) -> dict[str, bytes]:
    """Return id -> PNG of these examples. One without an image, or with one of more than `largest` bytes, is left out.

    Args:
        path: Parquet with the columns `sample_id` and `png`.
        sample_ids: Ids of the examples.
        largest: Bytes of an image, at most.

    Raises:
        DataError: The file cannot be read.
    """
    if not sample_ids:
        return {}
    places = ",".join("?" * len(sample_ids))
    query = f"SELECT sample_id, png FROM read_parquet(?) WHERE sample_id IN ({places}) AND octet_length(png) <= ?"
    try:
        with sql.connect() as connection:
            return dict(connection.execute(query, [glob.escape(str(path)), *sample_ids, largest]).fetchall())
    except duckdb.Error as error:
        raise DataError(f"The images in {path} cannot be read: give a Parquet file of sample_id and png.") from error
