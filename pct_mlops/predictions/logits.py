"""Checks that predictions and confidences of a table are those of its logits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pct_mlops.errors import TableError
from pct_mlops.predictions import sql
from pct_mlops.predictions.arrow_numbers import numbers
from pct_mlops.predictions.schema import CONFIDENCE_COLUMNS, TableInfo

# Up to so many logits are checked before anything is decided on a table, which takes about a second. Those of larger
# tables are checked by `pct_mlops.predictions.Predictions.verify` alone.
MAX_LOGITS = 50_000_000
# The greatest is NaN where one is; a missing logit makes the list shorter.
_WRONG = """SELECT count(*) FROM (SELECT prediction, logits::FLOAT[] AS scores FROM {name})
            WHERE NOT coalesce(list_count(scores) = $num_classes AND len(scores) = $num_classes
                               AND isfinite(list_min(scores)) AND isfinite(list_max(scores))
                               AND (NOT $predictions OR scores[prediction + 1] = list_max(scores)), false)"""


# By how much a confidence may differ from the softmax of the logits: absolutely, and as a share of it. Probabilities
# in half precision sum to 1 within a thousandth, and their logarithms are as coarse. LEAST is for a probability of 0.
CONFIDENCE_TOLERANCE, CONFIDENCE_SHARE, LEAST = 1.2e-3, 1e-2, 1e-37
CLASS_OF = {"confidence": "prediction", "label_confidence": "label"}


class Claims(NamedTuple):
    """Claims of a table about its logits: predictions are where they are largest, `confidences` are their softmax."""

    predictions: bool
    confidences: tuple[str, ...]


def claims_of(info: TableInfo) -> Claims:
    """Return what must be that of the logits in a table. Nothing must where it holds none."""
    if "logits" not in info.columns:
        return Claims(predictions=False, confidences=())
    known = tuple(name for name in CONFIDENCE_COLUMNS if name in info.columns)
    return Claims(not info.predictions_stated, () if info.confidences_stated else known)


def agree(path: Path, info: TableInfo) -> bool:
    """Tell whether predictions and confidences are those of the logits. This is faster than `check`, which counts."""
    claims, num_classes = claims_of(info), len(info.class_names)
    columns = ["prediction", "logits", *claims.confidences]
    columns += ["label"] if "label_confidence" in claims.confidences else []
    try:
        with pq.ParquetFile(path) as file:
            batches = file.iter_batches(8_192, columns=columns)
            return all(_agree(batch, num_classes, claims) for batch in batches)
    except (pa.ArrowException, OSError, ValueError, IndexError):
        return False


def confidences_agree(
    confidences: Mapping[str, npt.NDArray[Any]],
    logits: npt.NDArray[np.float32],
    classes: Mapping[str, npt.NDArray[Any]],
) -> npt.NDArray[np.bool_]:
    """Tell for each example whether confidences [n] are the softmax of the logits [n, C] at their classes [n]."""
    right = np.ones(len(logits), np.bool_)
    if not confidences:
        return right
    top = logits.max(axis=1)
    totals = np.exp(logits - top[:, None]).sum(axis=1)
    for name, confidence in confidences.items():
        at_class = logits[np.arange(len(logits)), classes[name]]
        right &= is_rounding(confidence, np.exp(at_class - top, dtype=np.float64) / totals)
    return right


def is_rounding(confidence: npt.NDArray[Any], shares: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell for each confidence whether it differs from a softmax by no more than rounding does."""
    allowed = np.minimum(CONFIDENCE_TOLERANCE, CONFIDENCE_SHARE * np.maximum(shares, confidence)) + LEAST
    return np.asarray(np.abs(confidence - shares) <= allowed)


def check_confidences(path: Path, info: TableInfo, what: str) -> None:
    """Raise PctError where confidences are not the softmax of the logits, which must be sound otherwise."""
    claims, num_classes, wrong = claims_of(info), len(info.class_names), 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(8_192, columns=["label", "prediction", "logits", *claims.confidences]):
            values = numbers(batch.column("logits").flatten()).reshape(-1, num_classes)
            wrong += int((~_softmax_agrees(batch, values, claims)).sum())
    if wrong:
        raise TableError(
            f"{what} has {wrong} rows whose confidence is not the softmax of their logits: score the model again, or, "
            "where confidences were rescaled, write the table again from a file that holds both."
        )


def check(connection: duckdb.DuckDBPyConnection, name: str, info: TableInfo, what: str) -> None:
    """Raise PctError where logits of the view `name` are not finite, or not largest at the prediction."""
    given = {"num_classes": len(info.class_names), "predictions": claims_of(info).predictions}
    with sql.reading(what):
        (number,) = sql.one(connection, _WRONG.format(name=name), given)
    if number:
        raise TableError(
            f"{what} has {number} rows whose prediction is not where their logits are largest: score the model again."
        )


def _agree(batch: pa.RecordBatch, num_classes: int, claims: Claims) -> bool:
    predictions, lists = batch.column("prediction"), batch.column("logits")
    lengths, scores = pc.list_value_length(lists), lists.flatten()
    if lists.null_count or scores.null_count or predictions.null_count or (numbers(lengths) != num_classes).any():
        return False
    values = numbers(scores).reshape(-1, num_classes)
    if not np.isfinite(values).all():
        return False
    at_prediction = values[np.arange(len(batch)), numbers(predictions)]
    if claims.predictions and not (at_prediction == values.max(axis=1)).all():
        return False
    return bool(_softmax_agrees(batch, values, claims).all())


def _softmax_agrees(batch: pa.RecordBatch, values: npt.NDArray[np.float32], claims: Claims) -> npt.NDArray[np.bool_]:
    confidences = {name: numbers(batch.column(name)) for name in claims.confidences}
    classes = {name: numbers(batch.column(CLASS_OF[name])) for name in claims.confidences}
    return confidences_agree(confidences, values, classes)
