"""Reads the idx format of MNIST and Fashion-MNIST.

A file holds two zero bytes, the type, the number of axes, their sizes, and the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from pct_mlops.errors import DataError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, num_axes: int) -> np.ndarray:
    """Read an idx file of unsigned bytes (plain or .gz) as a uint8 array with `num_axes` axes.

    Raises:
        PctError: the file is missing, truncated, too long or of another type; the message names it.
    """
    try:
        packed = path.read_bytes()
        raw = gzip.decompress(packed) if path.suffix == ".gz" else packed
    except FileNotFoundError:
        raise DataError(f"There is no file {path}: put the data set's idx files in that folder.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): replace it with an intact copy.") from error
    header = 4 + 4 * num_axes
    if len(raw) < header or raw[:4] != bytes((0, 0, UNSIGNED_BYTE, num_axes)):
        raise DataError(f"{path} is not an idx file of bytes with {num_axes} axes: replace it with an intact copy.")
    shape = struct.unpack(f">{num_axes}I", raw[4:header])
    if len(raw) - header != math.prod(shape):
        raise DataError(
            f"{path} holds {len(raw) - header} values where its header promises {math.prod(shape)}: "
            "replace it with an intact copy."
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape).copy()
