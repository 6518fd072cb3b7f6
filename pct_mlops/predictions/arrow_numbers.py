"""Reads numbers of Arrow columns as numpy arrays, without pandas.

Arrow's own ways to numpy import pandas, which takes longer than most tables.
"""

from __future__ import annotations

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
