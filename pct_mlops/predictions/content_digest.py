"""Computes a digest of all that a prediction table says, so that a table can be told from every other one.

It depends on the values of each column and on what the table says about itself. It does not depend on the order of the
rows, on how they are cut into groups, or on the compression of the file.
"""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pct_mlops.errors import TableError
from pct_mlops.predictions.arrow_numbers import numbers
from pct_mlops.predictions.schema import VECTOR_COLUMNS, read_info, to_metadata

MAX_IN_MEMORY = 512 * 1024**2  # bytes of vectors that are put into the order of the ids; more are kept in a file
_BATCH = 65_536


def content_digest(path: Path) -> str:
    """Return sha256 over every column of the table in a file, with the rows in the order of their ids.

    Framing: with H = sha256, the digest is H(header + H(column 1) + H(column 2) + ...), the columns in the order of
    their names. The header is 'pct-table-1', the number of rows, and the table's metadata as JSON with sorted keys,
    after its length. A column is its name and kind, then H(places of nulls) + H(lengths) + H(values), where a null has
    the value 0. Lengths are those of texts in bytes and of lists in numbers. All numbers are little-endian.

    Raises:
        PctError: The file is no prediction table, or is damaged.
    """
    metadata = json.dumps(to_metadata(read_info(path)), sort_keys=True).encode()
    try:
        with pq.ParquetFile(path) as file:
            order = _order(file.read(columns=["sample_id"]).column(0).cast(pa.large_string()).combine_chunks())
            size = file.metadata.num_rows
            whole = hashlib.sha256(b"pct-table-1" + struct.pack("<QQ", size, len(metadata)) + metadata)
            for name in sorted(file.schema_arrow.names):
                whole.update(_column_digest(file, name, order))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TableError(f"{path} is cut short or damaged: write the table again.") from error
    return whole.hexdigest()


def _order(ids: pa.Array) -> npt.NDArray[np.int64] | None:
    """Return the places of the rows in the order of their ids. Return None where they are in this order already."""
    # Missing ids and repeated ones are refused elsewhere, so their order does not matter here.
    if ids.null_count == 0 and pc.all(pc.less(ids[:-1], ids[1:])).as_py() is not False:
        return None
    return np.asarray(numbers(pc.sort_indices(ids).cast(pa.int64())))


class _Hash:
    """The digest of one column, of which parts arrive in the order of the rows."""

    def __init__(self, name: str, kind: str) -> None:
        encoded = f"{name}\n{kind}".encode()
        self._head = struct.pack("<I", len(encoded)) + encoded
        self._nulls, self._lengths, self._values = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._seen = 0

    def update(self, array: pa.Array) -> None:
        """Add texts or numbers."""
        if array.null_count:
            places = numbers(pc.indices_nonzero(array.is_null()).cast(pa.int64())) + self._seen
            self._nulls.update(_bytes(places))
            array = array.fill_null("" if pa.types.is_large_string(array.type) else 0)
        self._seen += len(array)
        if pa.types.is_large_string(array.type):
            self._lengths.update(_bytes(numbers(pc.binary_length(array))))
            _, offsets, data = array.buffers()
            bounds = np.frombuffer(offsets, "<i8")[array.offset : array.offset + len(array) + 1]
            if data is not None and len(array):
                self._values.update(memoryview(data)[bounds[0] : bounds[-1]])
        else:
            self._values.update(_bytes(numbers(array)))

    def update_lists(self, array: pa.Array) -> None:
        """Add lists of numbers."""
        lengths = pc.list_value_length(array).cast(pa.int32())
        self._lengths.update(_bytes(numbers(lengths.fill_null(-1))))
        self.update(array.flatten())

    def update_matrix(self, values: npt.NDArray[np.float32]) -> None:
        """Add lists of equal length without a null, as the rows of an array."""
        self._lengths.update(_bytes(np.full(len(values), values.shape[1], np.int32)))
        self._seen += values.size
        self._values.update(_bytes(values))

    def digest(self) -> bytes:
        parts = (self._nulls, self._lengths, self._values)
        return hashlib.sha256(self._head + b"".join(part.digest() for part in parts)).digest()


def _bytes(values: npt.NDArray[Any]) -> memoryview:
    """Return numbers as little-endian bytes."""
    ordered = values.reshape(-1).astype(values.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(ordered).view(np.uint8).data


def _column_digest(file: pq.ParquetFile, name: str, order: npt.NDArray[np.int64] | None) -> bytes:
    kind = file.schema_arrow.field(name).type
    if name in VECTOR_COLUMNS:
        return _vectors_digest(file, name, order)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    found = _Hash(name, "text" if text else str(kind))
    column = file.read(columns=[name]).column(0)
    if text:
        column = column.cast(pa.large_string())
    found.update(_joined(column.chunks, column.type, order))
    return found.digest()


def _vectors_digest(file: pq.ParquetFile, name: str, order: npt.NDArray[np.int64] | None) -> bytes:
    """Return the digest of lists. They may take more memory than there is."""
    found = _Hash(name, "floats")
    if order is None:
        for batch in _batches(file, name):
            found.update_lists(batch)
        return found.digest()
    width = _width(file, name)
    if width is None:
        column = file.read(columns=[name]).column(0)
        found.update_lists(_joined(column.chunks, column.type, order))
        return found.digest()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    with tempfile.TemporaryFile() as aside:
        shape = (len(order), width)
        is_large = 4 * len(order) * width > MAX_IN_MEMORY
        placed: Any = np.memmap(aside, np.float32, "w+", shape=shape) if is_large else np.empty(shape, np.float32)
        start = 0
        for batch in _batches(file, name):
            placed[rank[start : start + len(batch)]] = numbers(batch.flatten()).reshape(len(batch), width)
            start += len(batch)
        for part in range(0, len(order), _BATCH):
            found.update_matrix(placed[part : part + _BATCH])
    return found.digest()


def _batches(file: pq.ParquetFile, name: str) -> Iterator[pa.Array]:
    for batch in file.iter_batches(_BATCH, columns=[name]):
        yield batch.column(0)


def _width(file: pq.ParquetFile, name: str) -> int | None:
    """Return the number of values of each list, or None where they differ or a value is missing."""
    widths: set[int | None] = set()
    for batch in _batches(file, name):
        lengths = pc.list_value_length(batch)
        bounds = pc.min_max(lengths).as_py()
        widths |= {bounds["min"], bounds["max"]}
        if len(widths) > 1 or batch.null_count or batch.flatten().null_count:
            return None
    return widths.pop() or None if widths else None


def _joined(chunks: Iterable[pa.Array], kind: pa.DataType, order: npt.NDArray[np.int64] | None) -> pa.Array:
    chunks = list(chunks)
    array = pa.concat_arrays(chunks) if chunks else pa.array([], kind)
    return array if order is None else array.take(pa.array(order))
