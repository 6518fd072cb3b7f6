"""Computes the digest of an evaluation set, by which tables are found to be comparable."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from pct_mlops.predictions.arrow_numbers import numbers


def digest_of(batches: Iterable[pa.RecordBatch], class_names: Sequence[str]) -> str:
    """Return sha256 over the (sample_id, label) pairs, which must arrive sorted by the UTF-8 bytes of sample_id.

    Framing: with H = sha256, the digest is H(header + H(lengths) + H(ids) + H(labels)), each in sorted order.
    `lengths` holds every id's byte length as little-endian uint32. `ids` holds all bytes of all ids. `labels` holds
    every label as little-endian int32. The header is 'pct-digest-1', then the number of pairs and of classes as
    little-endian uint64, then each class name as its byte length (uint32) and its UTF-8 bytes. Lengths are declared
    before text everywhere, so no two different tables share the hashed bytes. The result does not depend on how batches
    were cut.
    """
    lengths, ids, labels = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    num_pairs = 0
    for batch in batches:
        column = batch.column(0).cast(pa.large_string())
        size = len(column)
        if size == 0:
            continue
        _, offset_buffer, data = column.buffers()
        offsets = np.frombuffer(offset_buffer, dtype="<i8")[column.offset : column.offset + size + 1]
        lengths.update(np.diff(offsets).astype("<u4").tobytes())
        if data is not None:
            ids.update(memoryview(data)[offsets[0] : offsets[-1]])
        labels.update(numbers(batch.column(1)).astype("<i4").tobytes())
        num_pairs += size
    whole = hashlib.sha256(b"pct-digest-1" + struct.pack("<QQ", num_pairs, len(class_names)))
    for name in class_names:
        encoded = name.encode("utf-8")
        whole.update(struct.pack("<I", len(encoded)) + encoded)
    for part in (lengths, ids, labels):
        whole.update(part.digest())
    return whole.hexdigest()
