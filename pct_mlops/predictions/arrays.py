"""From arrays in memory to columns that are safe to store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pct_mlops.errors import TableError

SLAB = 1_000_000  # numbers, 8 MB of float64


def checked_columns(
    sample_ids: Sequence[str],
    arrays: Mapping[str, npt.ArrayLike],
    slices: Mapping[str, Sequence[str | None]],
    num_classes: int,
) -> tuple[pa.Array, dict[str, Any]]:
    """The ids, and label [N], logits [N, C] and perhaps features [N, D]: equal lengths, in range, finite, typed."""
    columns: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    for name, value in {**columns, **slices}.items():
        if len(value) != len(sample_ids):
            raise TableError(f"There are {len(sample_ids)} sample_ids but {len(value)} rows of {name}: give one each.")
    ids = _checked_ids(sample_ids)
    for name in columns.keys() - {"label"}:
        columns[name] = _checked_vectors(name, columns[name], sample_ids)
    if not num_classes or columns["logits"].shape[1] != num_classes:
        raise TableError(f"logits have {columns['logits'].shape[1]} classes, but there are {num_classes} class names.")
    columns["label"] = _checked_labels(columns["label"], num_classes)
    return ids, columns


def _checked_ids(sample_ids: Sequence[str]) -> pa.Array:
    try:
        ids = pa.array(sample_ids, pa.string())
    except (pa.ArrowException, TypeError) as error:
        raise TableError("sample_ids should be strings: name every example with one.") from error
    if len(ids) == 0:
        raise TableError("There are no examples: a prediction table needs at least one.")
    if ids.null_count or pc.any(pc.equal(ids, "")).as_py():
        raise TableError("A sample_id is empty: name every example.")
    if pc.count_distinct(ids).as_py() != len(ids):
        counts = pc.value_counts(ids)
        repeated = counts.filter(pc.greater(counts.field(1), 1))[0]["values"].as_py()
        raise TableError(f"sample_id '{repeated}' appears more than once: name every example differently.")
    return ids


def _checked_vectors(name: str, value: npt.NDArray[Any], sample_ids: Sequence[str]) -> npt.NDArray[np.float32]:
    if value.ndim != 2:
        raise TableError(f"{name} should have shape [examples, width], but has {list(value.shape)}.")
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)
    finite = np.isfinite(value).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise TableError(f"{name} of '{sample_ids[row]}' are not finite (NaN or infinite): train or score again.")
    return value


def _checked_labels(labels: npt.NDArray[Any], num_classes: int) -> npt.NDArray[np.int32]:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise TableError(f"labels should be whole numbers of shape [examples], but are {labels.dtype}.")
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise TableError(f"Label {wrong} is outside 0 to {num_classes - 1}: check the class names.")
    return labels.astype(np.int32)


def softmax_columns(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Prediction, its softmax probability, and the label's [N]; in slabs, so that float64 copies stay small."""
    prediction = np.argmax(logits, axis=1).astype(np.int32)
    confidence = np.empty((2, len(logits)), np.float32)
    step = max(SLAB // logits.shape[1], 1)
    for start in range(0, len(logits), step):
        part = slice(start, start + step)
        scores = logits[part].astype(np.float64)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        rows = np.arange(len(scores))
        confidence[0, part] = scores[rows, prediction[part]]
        confidence[1, part] = scores[rows, labels[part]]
    return prediction, confidence[0], confidence[1]


def to_arrow(value: Any, kind: pa.DataType) -> pa.Array:
    """A column of the file from a sequence [N] or an array [N, width]."""
    if pa.types.is_fixed_size_list(kind):
        flat = pa.array(np.ascontiguousarray(value).reshape(-1), pa.float32())
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    return pa.array(value, kind)
