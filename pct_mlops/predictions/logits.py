"""Checks that the predictions of a table are where its logits are largest."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pct_mlops.errors import TableError
from pct_mlops.predictions import sql
from pct_mlops.predictions.arrow_numbers import numbers

# Up to so many logits are checked before anything is decided on a table, which takes about a second. Those of larger
# tables are checked by `pct_mlops.predictions.Predictions.verify` alone.
MAX_LOGITS = 50_000_000
# The greatest is NaN where one is; a missing logit makes the list shorter.
_WRONG = """SELECT count(*) FROM (SELECT prediction, logits::FLOAT[] AS scores FROM {name})
            WHERE NOT coalesce(list_count(scores) = $num_classes AND len(scores) = $num_classes
                               AND isfinite(list_min(scores)) AND isfinite(list_max(scores))
                               AND scores[prediction + 1] = list_max(scores), false)"""


def agree(path: Path, num_classes: int) -> bool:
    """Tell whether every prediction is where its logits are largest. This is faster than `check`, which counts."""
    try:
        with pq.ParquetFile(path) as file:
            batches = file.iter_batches(8_192, columns=["prediction", "logits"])
            return all(_agree(batch, num_classes) for batch in batches)
    except (pa.ArrowException, OSError, ValueError, IndexError):
        return False


def check(connection: duckdb.DuckDBPyConnection, name: str, num_classes: int, what: str) -> None:
    """Raise PctError where logits of the view `name` are not finite, or not largest at the prediction."""
    with sql.reading(what):
        (number,) = sql.one(connection, _WRONG.format(name=name), {"num_classes": num_classes})
    if number:
        raise TableError(
            f"{what} has {number} rows whose prediction is not where their logits are largest: score the model again."
        )


def _agree(batch: pa.RecordBatch, num_classes: int) -> bool:
    predictions, lists = batch.column("prediction"), batch.column("logits")
    lengths, scores = pc.list_value_length(lists), lists.flatten()
    if lists.null_count or scores.null_count or predictions.null_count or (numbers(lengths) != num_classes).any():
        return False
    values = numbers(scores).reshape(-1, num_classes)
    top = values.max(axis=1)
    return bool(np.isfinite(values).all() and (values[np.arange(len(batch)), numbers(predictions)] == top).all())
