"""Reads a few rows about one example of a table: its prediction, its likeliest classes and similar examples."""

from __future__ import annotations

import functools
import glob
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pct_mlops.predictions import sql
from pct_mlops.predictions.schema import CONFIDENCE_COLUMNS
from pct_mlops.predictions.scores import softmax
from pct_mlops.predictions.table import Predictions

# Distances are worked out row by row. Reading so many numbers takes about a second.
MAX_FEATURES = 20_000_000


@dataclass(frozen=True)
class ExamplePrediction:
    """The prediction of one model for one example: class indices, and confidences in [0, 1] where they are known."""

    label: int
    prediction: int
    confidence: float | None
    label_confidence: float | None


@dataclass(frozen=True)
class Neighbour:
    """An example near another one. `distance` is 1 - cosine similarity of their features, 0 to 2."""

    sample_id: str
    label: int
    prediction: int
    distance: float


def prediction_of(table: Predictions, sample_id: str) -> ExamplePrediction | None:
    """Return the prediction for an example, None when the table has none of this id."""
    columns = [name if name in table.info.columns else f"NULL::FLOAT AS {name}" for name in CONFIDENCE_COLUMNS]
    rows = _read(table, f"label, prediction, {', '.join(columns)}", sample_id)
    return ExamplePrediction(*rows[0]) if rows else None


def top_classes(table: Predictions, sample_id: str, limit: int = 5) -> list[tuple[int, float]] | None:
    """Return (class, probability) of the likeliest classes, the likeliest first, or None where no logits are stored."""
    if "logits" not in table.info.columns:
        return None
    rows = _read(table, "logits", sample_id)
    if not rows:
        return None
    shares = softmax(np.array([rows[0][0]]))[0]
    # The lower index first where two are alike, as the prediction itself has it.
    first = np.argsort(-shares, kind="stable")[:limit]
    return [(int(index), float(shares[index])) for index in first]


def nearest(table: Predictions, sample_id: str, limit: int = 8) -> list[Neighbour] | None:
    """Return the examples with the most similar features, or None where none are stored or there are too many."""
    if "features" not in table.info.columns:
        return None
    size = table.info.num_examples
    with _opened(table) as (connection, source):
        known = _given(source, sample_id)
        mine = connection.execute(f"SELECT features FROM {source.relation} WHERE sample_id = $id", known).fetchall()
        if not mine or len(mine[0][0]) * size > MAX_FEATURES:
            return None
        every = f"SELECT sample_id, label, prediction, features FROM {source.relation}"
        read = connection.sql(every, params=source.parameters).to_arrow_table()
    flat = np.concatenate([chunk.flatten().to_numpy() for chunk in read["features"].chunks])
    if flat.size != len(mine[0][0]) * size:
        return None  # rows of unequal length, which only a foreign program writes
    features = flat.reshape(size, -1)
    lengths = np.linalg.norm(features, axis=1)
    target = np.asarray(mine[0][0], np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = 1 - (features @ target) / (lengths * np.linalg.norm(target))
    distances = np.where(np.isfinite(distances), distances, np.inf)
    found = []
    # The example itself lies nearest, and another one may lie exactly there too.
    for index in np.argsort(distances, kind="stable")[: limit + 1]:
        name, label, prediction = (read[column][int(index)].as_py() for column in ("sample_id", "label", "prediction"))
        if name != sample_id and np.isfinite(distances[index]):
            found.append(Neighbour(name, label, prediction, max(float(distances[index]), 0.0)))
    return found[:limit]


def every_prediction(table: Predictions) -> pa.Table:
    """Read the predictions of all examples, for many calls of `prediction_in`."""
    columns = [name if name in table.info.columns else f"NULL::FLOAT AS {name}" for name in CONFIDENCE_COLUMNS]
    with _opened(table) as (connection, source):
        query = f"SELECT sample_id, label, prediction, {', '.join(columns)} FROM {source.relation}"
        return connection.sql(query, params=source.parameters).to_arrow_table().combine_chunks()


def prediction_in(every: pa.Table, sample_id: str) -> ExamplePrediction | None:
    """Return the prediction for an example among those of `every_prediction`, None where it is not among them."""
    place = pc.index(every["sample_id"], sample_id).as_py()
    return None if place < 0 else ExamplePrediction(*(every[name][place].as_py() for name in every.column_names[1:]))


class _Source(NamedTuple):
    """The FROM part of a query of a table, and the parameters of the query that belong to it."""

    relation: str
    parameters: dict[str, str]


# Opening a database takes longer than a query of one row. Each query has a cursor of its own.
@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    return sql.connect()


@contextmanager
def _opened(table: Predictions) -> Iterator[tuple[duckdb.DuckDBPyConnection, _Source]]:
    """Give a connection that can read the table. A file is named in the query, so that nothing stays behind."""
    with sql.reading(table.info.title):
        if table.path is None:
            with sql.connect() as connection:
                table.attach(connection, "mine", vectors=True)
                yield connection, _Source("mine", {})
        else:
            with _database().cursor() as connection:
                sql.show_progress(connection)
                path = glob.escape(str(table.path.absolute()))
                yield connection, _Source("read_parquet($path, hive_partitioning = false)", {"path": path})


def _given(source: _Source, sample_id: str) -> dict[str, str]:
    return {**source.parameters, "id": sample_id}


def _read(table: Predictions, columns: str, sample_id: str) -> list[Any]:
    with _opened(table) as (connection, source):
        query = f"SELECT {columns} FROM {source.relation} WHERE sample_id = $id"
        return connection.execute(query, _given(source, sample_id)).fetchall()
