"""Changes what a table says about itself (model, split, weights), and leaves its rows as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from pct_mlops.predictions.schema import check_class_names, to_metadata
from pct_mlops.predictions.writing import write, write_aside

if TYPE_CHECKING:
    from pct_mlops.predictions.table import Predictions

BATCH = 65_536


def with_info(table: Predictions, **words: Any) -> Predictions:
    """Return a handle on the same rows whose info holds `words`. The file itself stays as it is."""
    return type(table)(replace(table.info, **words), path=table.path, table=table._table)


def save_with_info(table: Predictions, path: Path, **words: Any) -> Predictions:
    """Write the table to `path` with `words` in its metadata, a few rows at a time.

    Args:
        table: In memory or in a file.
        path: The file to write. It appears only once it is whole.
        words: Fields of `TableInfo`, for example `model_name` or `weights`.

    Returns:
        A handle on the new file.
    """
    changed = with_info(table, **words)
    if table.path is None:
        return changed.save(path)
    check_class_names(changed.info.class_names, table.what, written=True)
    with pq.ParquetFile(table.path) as source:
        schema = source.schema_arrow.with_metadata(to_metadata(changed.info))
        write_aside(path, lambda aside: write(aside, schema, source.iter_batches(BATCH)))
    return type(table).load(path)
