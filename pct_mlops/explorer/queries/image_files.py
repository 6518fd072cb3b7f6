"""Image files below a folder, and whether one is the image that a stored thumbnail was made of.

A sample_id comes from a table that anybody may have registered. It names a file only below the folder that the person
who started the explorer gave, and only decoded pixels of an image leave that folder.
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

MOST_BYTES = 64 * 1024**2  # of a file that is opened at all
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, MemoryError, struct.error, zlib.error)
# Those of data sets of image files. Others may start programs: Pillow hands PostScript to Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM", "TIFF", "GIF")
MOST_COMPARED = 1024 * 1024  # pixels of a thumbnail
# Of the thumbnail's contrast. Photographs made small in other steps differ by less than a tenth of it from themselves,
# and from each other by about as much as the contrast is, or more.
MOST_APART = 0.35
LEVELS = 4.0  # of 255: what rounding and another decoder change where there is no contrast
_one_at_a_time = threading.Lock()  # an image takes up to a few hundred MB while it is decoded


@dataclass(frozen=True)
class Picture:
    """An image as PNG; `width` and `height` are those of the original in pixels, which may be larger."""

    png: bytes
    width: int
    height: int


def in_pixels(width: int, height: int) -> str:
    """A size in words."""
    return f"{count(width)} × {count(height)} pixels"


def inside(root: Path, sample_id: str) -> Path | None:
    """The regular file that `sample_id` names below `root`, after every link is followed; None where there is none."""
    try:
        base = root.resolve(strict=True)
        path = (base / sample_id).resolve()
        # Whether a file outside exists is nothing that a table may find out.
        return path if path.is_relative_to(base) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long a name, a zero byte, links in a circle
        return None


def read(path: Path, longest: int) -> Picture:
    """An image file, made smaller where a side is longer than `longest` pixels; PctError says what is wrong with it."""
    # Imported here: a table without images needs none of it.
    from PIL import Image

    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"The file has more than {MOST_BYTES // 1024**2} MB, which is too large to open here.")
        with _one_at_a_time, Image.open(path, formats=FORMATS) as file:
            width, height = file.size
            if width * height > MOST_PIXELS:
                raise DataError(f"The file has {in_pixels(width, height)}, which is too large to open here.")
            # As for training: what the file says of rotation and colour profile, the model did not see either.
            picture = file if file.mode in ("L", "RGB") else file.convert("RGB")
            picture.thumbnail((longest, longest))
            picture.info = {}
            buffer = io.BytesIO()
            # Quick rather than small: it is on its way to one reader.
            picture.save(buffer, "PNG", compress_level=1)
    except Image.DecompressionBombError as error:
        raise DataError("The file unpacks to an image that is too large to open here.") from error
    except UNREADABLE as error:
        raise DataError("The file is no image that can be read.") from error
    return Picture(buffer.getvalue(), width, height)


def alike(png: bytes, thumbnail: bytes) -> bool:
    """Whether `png` shows what the thumbnail shows, as far as so few pixels tell; true where that cannot be told.

    A thumbnail is cut out of the middle of its image and made small, as `pct_mlops.data` and the pipeline do.
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
