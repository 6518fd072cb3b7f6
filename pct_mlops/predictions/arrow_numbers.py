"""Turns numbers of Arrow columns into numpy arrays and back, without pandas.

Arrow's own ways to do it import pandas, which takes longer than most tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def numbers(array: pa.Array) -> npt.NDArray[Any]:
    """Return numbers without nulls, in place."""
    width = array.type.bit_width // 8
    kind = np.dtype(f"f{width}" if pa.types.is_floating(array.type) else f"i{width}")
    if len(array) == 0:
        return np.empty(0, kind)
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * width)


def as_column(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return numbers [n], or for a fixed-size list [n, width], as an Arrow column."""
    inner = kind.value_type if pa.types.is_fixed_size_list(kind) else kind
    width = inner.bit_width // 8
    number = np.dtype(f"f{width}" if pa.types.is_floating(inner) else f"i{width}")
    flat = np.ascontiguousarray(values, number).reshape(-1)
    array = pa.Array.from_buffers(inner, len(flat), [None, pa.py_buffer(flat)])
    return array if inner is kind else pa.FixedSizeListArray.from_arrays(array, type=kind)


def as_batch(columns: Mapping[str, Any], schema: pa.Schema) -> pa.RecordBatch:
    """Return the columns of a schema as one batch: arrays of numpy [n] or [n, width], and columns of Arrow."""
    arrays = [
        as_column(found, field.type) if isinstance(found, np.ndarray) else found.cast(field.type)
        for field, found in ((field, columns[field.name]) for field in schema)
    ]
    return pa.record_batch(arrays, schema=schema)
