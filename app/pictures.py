"""Images of examples: stored thumbnails, and the files themselves where the reader's machine has the data set.

A sample_id comes from a table that anybody may have registered. It names a file only below the folder that the person
who started the explorer gave, and only decoded pixels of an image leave that folder.
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import streamlit as st

from app.store import Pair, VersionTable, predictions, registry
from app.tiles import MOST_PIXELS, png_size
from pct_mlops.charts import count
from pct_mlops.config import PctError

LARGEST_TILE, LARGEST_IMAGE = 256 * 1024, 8 * 1024**2  # bytes of a stored PNG in the gallery, and alone
TILE, LARGE = 192, 1024  # pixels of the longer side of a file's image in the gallery, and alone
MOST_BYTES = 64 * 1024**2  # of a file that is opened at all
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, MemoryError, struct.error, zlib.error)
# Those of data sets of image files. Others may start programs: Pillow hands PostScript to Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM", "TIFF", "GIF")
FROM_FILES = "rgb-bilinear-centre"  # in the preprocessing of a table whose examples are image files
_one_at_a_time = threading.Lock()  # an image takes up to a few hundred MB while it is decoded


@dataclass(frozen=True)
class Picture:
    """An image as PNG; `width` and `height` are those of the original in pixels, which may be larger."""

    png: bytes
    width: int
    height: int


def folder(pair: Pair) -> Path | None:
    """The data set's folder, where one was given."""
    return Path(pair.images) if pair.images and Path(pair.images).is_dir() else None


def tiles(pair: Pair, sample_ids: Sequence[str]) -> dict[str, bytes]:
    """Small images of these examples as PNG: the stored ones, else from the data set's folder. Others are left out."""
    found = stored(pair, tuple(sample_ids))
    root = folder(pair)
    if root is None:
        return found
    for sample_id in sample_ids:
        if sample_id not in found and (picture := _original(root, sample_id, TILE)[0]):
            found[sample_id] = picture.png
    return found


def large(pair: Pair, sample_id: str) -> tuple[bytes | None, str]:
    """The best image of an example as PNG, and what the reader should know of it."""
    root = folder(pair)
    picture, problem = _original(root, sample_id, LARGE) if root else (None, "")
    if picture is not None:
        shown = "" if max(picture.width, picture.height) <= LARGE else f", shown with {count(LARGE)} on the longer side"
        return picture.png, f"The full image: {_size(picture.width, picture.height)}{shown}."
    png = stored(pair, (sample_id,), LARGEST_IMAGE).get(sample_id)
    return png, " ".join(part for part in (problem, _said(pair, png)) if part)


def _said(pair: Pair, png: bytes | None) -> str:
    size = png_size(png)
    name, _, rest = predictions(pair.new).info.preprocessing.partition("/")
    if size and rest.split("/")[:2] == [f"{size[1]}x{size[0]}", "uint8"] and "bilinear" not in rest:
        return f"The full image: {_size(*size)}."
    parts = [f"A stored copy of {_size(*size)}."] if size else []
    if FROM_FILES in rest and folder(pair) is None:
        parts.append(f"Where the {name} data lies on this machine, 'pct explore --images FOLDER' shows the full image.")
    return " ".join(parts)


def _size(width: int, height: int) -> str:
    return f"{count(width)} × {count(height)} pixels"


def _original(root: Path, sample_id: str, longest: int) -> tuple[Picture | None, str]:
    """The example's own file, no side longer than `longest` pixels; else None and why."""
    try:
        return _read(root, sample_id, longest), ""
    except PctError as error:
        return None, str(error)


@st.cache_data(max_entries=500, max_size="64MB", show_spinner=False)
def _read(root: Path, sample_id: str, longest: int) -> Picture:
    path = inside(root, sample_id)
    if path is None:
        raise PctError("The folder of --images has no file of this name.")
    return read(path, longest)


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
            raise PctError(f"The file has more than {MOST_BYTES // 1024**2} MB, which is too large to open here.")
        with _one_at_a_time, Image.open(path, formats=FORMATS) as file:
            width, height = file.size
            if width * height > MOST_PIXELS:
                raise PctError(f"The file has {_size(width, height)}, which is too large to open here.")
            # As for training: what the file says of rotation and colour profile, the model did not see either.
            picture = file if file.mode in ("L", "RGB") else file.convert("RGB")
            picture.thumbnail((longest, longest))
            picture.info = {}
            buffer = io.BytesIO()
            # Quick rather than small: it is on its way to one reader.
            picture.save(buffer, "PNG", compress_level=1)
    except Image.DecompressionBombError as error:
        raise PctError("The file unpacks to an image that is too large to open here.") from error
    except UNREADABLE as error:
        raise PctError("The file is no image that can be read.") from error
    return Picture(buffer.getvalue(), width, height)


@st.cache_data(max_entries=50, max_size="64MB", show_spinner="Reading images…")
def stored(pair: Pair, sample_ids: tuple[str, ...], largest: int = LARGEST_TILE) -> dict[str, bytes]:
    """PNG bytes kept with the evaluation set; an example without any, or with more than `largest`, is left out."""
    path = _stored_file(pair)
    if path is None or not sample_ids:
        return {}
    places = ",".join("?" * len(sample_ids))
    query = f"SELECT sample_id, png FROM read_parquet(?) WHERE sample_id IN ({places}) AND octet_length(png) <= ?"
    try:
        with duckdb.connect() as connection:
            return dict(connection.execute(query, [str(path), *sample_ids, largest]).fetchall())
    except duckdb.Error as error:
        raise PctError(f"The images in {path} cannot be read: give a Parquet file of sample_id and png.") from error


def _stored_file(pair: Pair) -> Path | None:
    if pair.images and folder(pair) is None:
        return Path(pair.images)
    for table in (pair.new, pair.old):
        if isinstance(table, VersionTable):
            found = registry(table.tracking_uri).images(table.name, predictions(table).info.digest)
            if found is not None:
                return found
    return None
