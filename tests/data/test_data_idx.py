from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from pct_mlops.config import PctError
from pct_mlops.data.idx import read_idx


def packed(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("name", ["a-idx3-ubyte", "a-idx3-ubyte.gz"])
def test_reads_plain_and_packed_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(packed(ARRAY)) if name.endswith(".gz") else packed(ARRAY))
    read = read_idx(path, 3)
    assert read.dtype == np.uint8
    assert np.array_equal(read, ARRAY)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not an idx file"),
        (packed(ARRAY)[:10], "is not an idx file"),
        (b"\x01" + packed(ARRAY)[1:], "is not an idx file"),
        (packed(ARRAY[0]), "is not an idx file of bytes with 3 axes"),
        (packed(ARRAY)[:-1], "holds 23 values where its header promises 24"),
        (packed(ARRAY) + b"\x00", "holds 25 values where its header promises 24"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "broken-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(PctError, match=f"broken-idx3-ubyte.*{says}"):
        read_idx(path, 3)


def test_a_truncated_corrupt_or_missing_gz_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(packed(ARRAY))
    for number, content in enumerate(
        (whole[:-12], b"no gzip at all", whole[:-6] + b"\xff" * 6, whole[:12] + b"\xff" * 9)
    ):
        path = tmp_path / f"broken{number}.gz"
        path.write_bytes(content)
        with pytest.raises(PctError, match=f"broken{number}.gz cannot be read"):
            read_idx(path, 3)
    with pytest.raises(PctError, match=r"no file .*missing\.gz"):
        read_idx(tmp_path / "missing.gz", 3)
