"""Turns arrays in memory into columns that are safe to store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pct_mlops.errors import TableError

SLAB = 1_000_000  # numbers, 8 MB of float64


def plain_array(name: str, value: Any) -> npt.NDArray[Any]:
    """Return an array of any library, or a list, as a numpy array. Tensors may lie on any device."""
    if isinstance(value, list | tuple) and value and hasattr(value[0], "detach"):
        return np.stack([plain_array(name, item) for item in value])
    if hasattr(value, "detach"):  # a tensor of torch, which is not imported here
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
        return np.asarray(value.numpy())
    try:
        return np.asarray(value)
    except ValueError as error:
        raise TableError(f"{name} are lists of unequal length: give each example as many numbers.") from error


def checked_ids(sample_ids: Sequence[Any]) -> pa.Array:
    """Return ids as an Arrow column of text. Raise PctError for no id, an empty one or a repeated one."""
    try:
        ids = pa.array(sample_ids, pa.string())
    except (pa.ArrowException, TypeError, ValueError):
        given = plain_array("sample_ids", sample_ids).reshape(-1).tolist()
        ids = pa.array([None if value is None else str(value) for value in given], pa.string())
    if len(ids) == 0:
        raise TableError("There are no examples: a prediction table needs at least one.")
    if ids.null_count or pc.any(pc.equal(ids, "")).as_py():
        raise TableError("A sample_id is empty: name every example.")
    if pc.count_distinct(ids).as_py() != len(ids):
        counts = pc.value_counts(ids)
        repeated = counts.filter(pc.greater(counts.field(1), 1))[0]["values"].as_py()
        raise TableError(f"sample_id '{repeated}' appears more than once: name every example differently.")
    return ids


def checked_vectors(name: str, value: npt.NDArray[Any], ids: pa.Array, *, keep: bool = False) -> npt.NDArray[Any]:
    """Return finite numbers [N, width] as float32, or with `keep` in their own precision."""
    if value.ndim != 2:
        raise TableError(f"{name} should have shape [examples, width], but has {list(value.shape)}.")
    if value.dtype.kind not in "biuf":
        raise TableError(f"{name} should be numbers, and are {value.dtype}.")
    with np.errstate(over="ignore"):
        value = value if keep and value.dtype.kind == "f" else value.astype(np.float32)
    finite = np.isfinite(value).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise TableError(f"{name} of '{ids[row].as_py()}' are not finite (NaN or infinite): train or score again.")
    return value


def checked_labels(name: str, labels: npt.NDArray[Any], num_classes: int) -> npt.NDArray[np.int32]:
    """Return class indices [N] as int32. Raise PctError for one that is outside the classes."""
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise TableError(f"{name}s should be whole numbers of shape [examples], but are {labels.dtype}.")
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise TableError(f"{name} {wrong} is outside 0 to {num_classes - 1}: check the class names, or give names.")
    return labels.astype(np.int32)


def to_arrow(value: Any, kind: pa.DataType) -> pa.Array:
    """Return a column of the file from a sequence [N] or an array [N, width]."""
    if pa.types.is_fixed_size_list(kind):
        flat = pa.array(np.ascontiguousarray(value).reshape(-1), pa.float32())
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    return pa.array(value, kind)
