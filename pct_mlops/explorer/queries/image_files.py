"""Reads image files below a folder, and checks one against the thumbnail that was stored for the same example.

A sample_id comes from a table that anybody may have registered. It can name only a file below the folder that was given
when the explorer was started, and only the decoded pixels of an image leave that folder.
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

from pct_mlops.charts import count
from pct_mlops.errors import DataError
from pct_mlops.explorer.queries.png import MOST_PIXELS, png_size

MOST_BYTES = 64 * 1024**2  # largest file that is opened
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, MemoryError, struct.error, zlib.error)
# The formats of image data sets. Others may start programs: Pillow hands PostScript to Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM", "TIFF", "GIF")
MOST_COMPARED = 1024 * 1024  # most pixels of a thumbnail that is compared
# Largest difference, as a share of the thumbnail's contrast. Two small copies of one photograph differ by less than a
# tenth of the contrast, whatever the steps. Copies of two photographs differ by about the whole contrast or more.
MOST_APART = 0.35
LEVELS = 4.0  # of 255; an image without contrast still differs by rounding and by its decoder
_one_at_a_time = threading.Lock()  # decoding an image may take a few hundred MB


@dataclass(frozen=True)
class Picture:
    """An image as PNG, with the width and height in pixels of the original, which may be larger."""

    png: bytes
    width: int
    height: int


def in_pixels(width: int, height: int) -> str:
    """Return a size in words."""
    return f"{count(width)} × {count(height)} pixels"


def inside(root: Path, sample_id: str) -> Path | None:
    """Return the regular file that `sample_id` names below `root` after every link is followed, or None without one."""
    try:
        base = root.resolve(strict=True)
        path = (base / sample_id).resolve()
        # The result must not show whether a file outside exists.
        return path if path.is_relative_to(base) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # the name is too long or holds a zero byte, or links form a circle
        return None


def read(path: Path, longest: int) -> Picture:
    """Read an image file as a model is given it, and make it smaller where a side is longer than `longest` pixels.

    Raises DataError where the file is too large or is no image that can be read.
    """
    # Imported here: a table without images needs none of it.
    from PIL import Image

    from pct_mlops.image_reader import UnscaledPixels, facts_of, to_rgb

    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"The file has more than {MOST_BYTES // 1024**2} MB, which is too large to open here.")
        with _one_at_a_time, Image.open(path, formats=FORMATS) as file:
            width, height = file.size
            if width * height > MOST_PIXELS:
                raise DataError(f"The file has {in_pixels(width, height)}, which is too large to open here.")
            # A JPEG file is decoded faster at half, a quarter or an eighth of its size, as `thumbnail` would do.
            facts = facts_of(file)
            is_smaller = file.draft(None, (2 * longest, 2 * longest)) is not None
            picture = to_rgb(file)
            width, height = (facts.width, facts.height) if is_smaller else picture.size
            picture.thumbnail((longest, longest))
            picture.info = {}
            buffer = io.BytesIO()
            # Fast rather than small: it is sent to one reader.
            picture.save(buffer, "PNG", compress_level=1)
    except Image.DecompressionBombError as error:
        raise DataError("The file unpacks to an image that is too large to open here.") from error
    except UnscaledPixels as error:
        raise DataError(f"The file cannot be read: {error}.") from error
    except UNREADABLE as error:
        raise DataError("The file is no image that can be read.") from error
    return Picture(buffer.getvalue(), width, height)


def alike(png: bytes, thumbnail: bytes) -> bool:
    """Tell whether `png` and the thumbnail show the same picture. Return True where that cannot be told.

    `png` is cut to the middle and made small first, as training does before it stores a thumbnail.
    """
    from PIL import Image, ImageChops, ImageOps, ImageStat

    size = png_size(thumbnail)
    if size is None or size[0] * size[1] > MOST_COMPARED:
        return True
    try:
        with Image.open(io.BytesIO(thumbnail), formats=("PNG",)) as file:
            kept = file.convert("RGB")
        with Image.open(io.BytesIO(png), formats=("PNG",)) as file:
            made = ImageOps.fit(file.convert("RGB"), kept.size, Image.Resampling.BICUBIC)
    except UNREADABLE:
        return True
    apart = ImageStat.Stat(ImageChops.difference(kept, made)).rms
    contrast = ImageStat.Stat(kept).stddev
    return _mean(apart) <= max(MOST_APART * _mean(contrast), LEVELS)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
