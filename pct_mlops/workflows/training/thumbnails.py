"""Writes small pictures of an evaluation set, so that a reviewer needs the registry alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pct_mlops.data import Split

CHUNK = 1000  # rows in a row group: small, because a page of the explorer reads few rows
# Each explorer copies the file once. ImageNet's 50,000 at 64 pixels take about 400 MB.
MAX_BYTES = 512 * 1024**2


def write_thumbnails(split: Split, size: int, path: Path) -> None:
    """Write a Parquet file with columns sample_id and png. No side of a picture is longer than `size` pixels.

    Stop at MAX_BYTES: the last examples of a very large set have no thumbnail.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    schema = pa.schema([("sample_id", pa.string()), ("png", pa.binary())])
    path.parent.mkdir(parents=True, exist_ok=True)
    room = MAX_BYTES
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for start in range(0, len(split), CHUNK):
            ids = split.sample_ids[start : start + CHUNK]
            pixels = split.images(range(start, start + len(ids))).permute(0, 2, 3, 1).numpy()
            encoded = []
            for image in pixels:
                picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
                picture.thumbnail((size, size))
                buffer = io.BytesIO()
                picture.save(buffer, format="png", compress_level=1)
                encoded.append(buffer.getvalue())
            room -= sum(map(len, encoded))
            if room < 0:
                return
            writer.write_table(pa.table({"sample_id": ids, "png": encoded}, schema=schema))
