"""Averages the logits of two tables: the predictions of an ensemble."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from pct_mlops.errors import NotComparableError, TableError
from pct_mlops.predictions import sql
from pct_mlops.predictions.arrow_numbers import as_batch, numbers
from pct_mlops.predictions.pairing import JOINED
from pct_mlops.predictions.schema import TableInfo, arrow_schema
from pct_mlops.predictions.scores import ScoreReader
from pct_mlops.predictions.writing import TemporaryTable, write_temporary

if TYPE_CHECKING:
    from pct_mlops.predictions.table import Predictions


def write_mean(left: Predictions, right: Predictions, shares: tuple[float, float] | None = None) -> TemporaryTable:
    """Write the mean of the members' logits.

    Without `shares` every member weighs the same, however the sum is nested. With them, the two tables weigh that much.
    The mean may be larger than memory, and is written to a temporary file.
    """
    _check_logits(left.info, left.what)
    _check_logits(right.info, right.what)
    _check_classes(left, right)
    connection = sql.connect()
    right.pairs(left, connection)
    left.attach(connection, "old_table", vectors=True)
    right.attach(connection, "new_table", vectors=True)
    weights = shares or (left.info.num_members, right.info.num_members)
    info, batches = _mean_logits(connection, left.info, right.info, weights)
    schema = arrow_schema(len(info.class_names), 0, info.slices, logits=True)
    with sql.reading(f"{left.what} or {right.what}"):
        return write_temporary(info, schema, batches)


def weighted_mean(tables: Sequence[Predictions], weights: Sequence[float]) -> Predictions:
    """Return the weighted mean of the logits of tables about the same examples and classes.

    Raise PctError when a table holds no logits, or the tables do not compare.
    """
    mean, total = tables[0], weights[0]
    for table, weight in zip(tables[1:], weights[1:], strict=True):
        mean = table.temporary(write_mean(mean, table, (total, weight)))
        total += weight
    return mean


def _check_logits(info: TableInfo, what: str) -> None:
    if info.known_classes:
        raise TableError(
            f"An ensemble averages the logits of every class, and the model of {what} does not know "
            f"{_some(info.class_names, info.known_classes)}: give models that know the same classes."
        )
    if "logits" not in info.columns:
        raise TableError(f"{what} holds no logits, which an ensemble averages: score the model again.")


def _check_classes(left: Predictions, right: Predictions) -> None:
    names = left.info.class_names, right.info.class_names
    lone = [_some(*pair) for pair in (names, names[::-1])]
    if any(lone):
        raise NotComparableError(
            f"An ensemble averages the logits of every class, and {left.what} and {right.what} have other classes "
            f"(only in the first: {lone[0] or 'none'}; only in the second: {lone[1] or 'none'}): give models that know "
            "the same classes."
        )


def _some(names: Sequence[str], without: Sequence[str]) -> str:
    """Return the first of the names that are not among others."""
    left = [name for name in names if name not in set(without)]
    return ", ".join(left[:3]) + (f" and {len(left) - 3:,} more" if len(left) > 3 else "")


def _mean_logits(
    connection: duckdb.DuckDBPyConnection, old: TableInfo, new: TableInfo, shares: tuple[float, float]
) -> tuple[TableInfo, Iterator[pa.RecordBatch]]:
    """Return the ensemble of the views `old_table` and `new_table`: its info, and its rows in batches sorted by id."""
    schema = arrow_schema(len(new.class_names), 0, new.slices, logits=True)
    info = replace(
        new,
        model_name=" + ".join(part.title for part in (old, new)),
        model_version="",
        model_uri="",
        weights="",
        columns=tuple(schema.names),
        num_members=old.num_members + new.num_members,
        predictions_stated=False,
        confidences_stated=False,
        preprocessing=" + ".join(dict.fromkeys((old.preprocessing, new.preprocessing))),
    )
    reader = ScoreReader("logits", len(new.class_names), info.title)
    extra = "".join(f", n.{sql.quoted(name)}" for name in new.slices)
    query = f"""SELECT n.sample_id, n.label, o.logits, n.logits{extra}
                FROM old_table AS o JOIN new_table AS n {JOINED} ORDER BY n.sample_id"""

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in connection.sql(query).to_arrow_reader(8_192):
            ids, labels, *logits = batch.columns[:4]
            parts = [numbers(part.flatten()).astype(np.float64).reshape(len(ids), -1) for part in logits]
            mean = ((parts[0] * shares[0] + parts[1] * shares[1]) / sum(shares)).astype(np.float32)
            columns = {"sample_id": ids, "label": labels, **reader.of_arrays(mean, numbers(labels), None, ids)}
            yield as_batch(columns | dict(zip(new.slices, batch.columns[4:], strict=True)), schema)

    return info, batches()
