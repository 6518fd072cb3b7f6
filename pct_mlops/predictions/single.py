"""Reads a few rows about one example of a table: its prediction, its likeliest classes and similar examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pct_mlops.predictions import sql
from pct_mlops.predictions.schema import CONFIDENCE_COLUMNS
from pct_mlops.predictions.scores import softmax
from pct_mlops.predictions.table import Predictions

# Distances are worked out row by row. Reading so many numbers takes about a second.
MAX_FEATURES = 20_000_000
_ROW = "FROM mine WHERE sample_id = $id"


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
    rows = _read(table, f"SELECT label, prediction, {', '.join(columns)} {_ROW}", sample_id)
    return ExamplePrediction(*rows[0]) if rows else None


def top_classes(table: Predictions, sample_id: str, limit: int = 5) -> list[tuple[int, float]] | None:
    """Return (class, probability) of the likeliest classes, the likeliest first, or None where no logits are stored."""
    if "logits" not in table.info.columns:
        return None
    rows = _read(table, f"SELECT logits {_ROW}", sample_id)
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
    with sql.connect() as connection, sql.reading(table.info.title):
        table.attach(connection, "mine", vectors=True)
        mine = connection.execute(f"SELECT features {_ROW}", {"id": sample_id}).fetchall()
        if not mine or len(mine[0][0]) * size > MAX_FEATURES:
            return None
        read = connection.sql("SELECT sample_id, label, prediction, features FROM mine").to_arrow_table()
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


def _read(table: Predictions, query: str, sample_id: str) -> list[Any]:
    with sql.connect() as connection, sql.reading(table.info.title):
        table.attach(connection, "mine", vectors=True)
        return connection.execute(query, {"id": sample_id}).fetchall()
