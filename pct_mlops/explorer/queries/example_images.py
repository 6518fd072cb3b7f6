"""Reads images of examples: stored thumbnails, or the files themselves where this machine has the data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from pct_mlops.charts import count
from pct_mlops.errors import DataError, PctError
from pct_mlops.explorer.queries import image_files
from pct_mlops.explorer.queries.image_files import Picture, in_pixels
from pct_mlops.explorer.queries.pairs import REFRESH, Pair, VersionTable, predictions, registry
from pct_mlops.explorer.queries.png import png_size
from pct_mlops.predictions.reading_ids import FROM_FILES
from pct_mlops.predictions.stored_images import read_pngs

LARGEST_TILE, LARGEST_IMAGE = 256 * 1024, 8 * 1024**2  # bytes of a stored PNG in the gallery, and alone
TILE, LARGE = 192, 1024  # pixels of the longer side of a file's image in the gallery, and alone
NO_IMAGES, NO_IMAGE = "No images are stored of these examples", "No image is stored of this example"
OTHER_IMAGE = (
    "The folder of --images has another image under this name: give the folder that this evaluation set was read from."
)


def folder(pair: Pair) -> Path | None:
    """Return the folder of the data set, or None where none was given."""
    return Path(pair.images) if pair.images and Path(pair.images).is_dir() else None


def tiles(pair: Pair, sample_ids: Sequence[str]) -> tuple[dict[str, bytes], str]:
    """Return id -> small PNG, and the reason why stored images cannot be read, "" where they can.

    Stored images come first, then those of the data set's folder. Examples without an image are left out.
    """
    found, problem = _stored(pair, tuple(sample_ids))
    root = folder(pair)
    if root is not None:
        for sample_id in sample_ids:
            if sample_id not in found and (picture := _original(root, sample_id, TILE)[0]):
                found[sample_id] = picture.png
    return found, problem


def large(pair: Pair, sample_id: str) -> tuple[bytes | None, str]:
    """Return the best image of an example as PNG, and a sentence about it for the reader.

    Without an image, return None and the reason, or "" where there is just none.
    """
    root = folder(pair)
    picture, problem = _original(root, sample_id, LARGE) if root else (None, "")
    kept, unread = _stored(pair, (sample_id,), LARGEST_IMAGE)
    png = kept.get(sample_id)
    if root is not None and picture is not None and png is not None and not _alike(root, sample_id, png):
        picture, problem = None, OTHER_IMAGE
    if picture is not None:
        shown = "" if max(picture.width, picture.height) <= LARGE else f", shown with {count(LARGE)} on the longer side"
        return picture.png, f"The full image: {in_pixels(picture.width, picture.height)}{shown}."
    if png is None:
        return None, problem or unread
    return png, " ".join(part for part in (problem, _said(pair, png)) if part)


def what_to_do(pair: Pair) -> str:
    """Return a sentence that says how to get images that are missing, of versions or where --images was given."""
    if folder(pair) is not None:
        return "Give --images the folder that their data was read from."
    if pair.images:
        return "The file of --images needs a row of sample_id and png for each."
    from_file = "'pct explore --images FILE' takes images from a Parquet file of sample_id and png."
    there = _where_the_data_lies(pair) or from_file
    return f"The next training stores them for all versions, unless its data.thumbnail_size is 0. {there}"


def _where_the_data_lies(pair: Pair) -> str:
    name, _, rest = predictions(pair.new).info.preprocessing.partition("/")
    if FROM_FILES not in rest or folder(pair) is not None:
        return ""
    return f"Where the {name} data lies on this machine, 'pct explore --images FOLDER' shows the full image."


def _said(pair: Pair, png: bytes) -> str:
    size = png_size(png)
    steps = predictions(pair.new).info.preprocessing.split("/")[1:]
    if size and steps[:2] == [f"{size[1]}x{size[0]}", "uint8"] and not any("bilinear" in step for step in steps):
        return f"The full image: {in_pixels(*size)}."
    copy = f"A stored copy of {in_pixels(*size)}." if size else ""
    return " ".join(part for part in (copy, _where_the_data_lies(pair)) if part)


def _original(root: Path, sample_id: str, longest: int) -> tuple[Picture | None, str]:
    """Return the example's file with no side longer than `longest` pixels, or None and the reason."""
    try:
        return _read(root, sample_id, longest), ""
    except PctError as error:
        return None, str(error)


@st.cache_data(max_entries=500, max_size="64MB", show_spinner=False)
def _read(root: Path, sample_id: str, longest: int) -> Picture:
    path = image_files.inside(root, sample_id)
    if path is None:
        raise DataError("The folder of --images has no file of this name.")
    return image_files.read(path, longest)


@st.cache_data(max_entries=500, show_spinner=False)
def _alike(root: Path, sample_id: str, thumbnail: bytes) -> bool:
    return image_files.alike(_read(root, sample_id, LARGE).png, thumbnail)


def _stored(pair: Pair, sample_ids: tuple[str, ...], largest: int = LARGEST_TILE) -> tuple[dict[str, bytes], str]:
    """Return id -> stored PNG, and the reason why they cannot be read, "" where they can.

    An example without an image, or with one of more than `largest` bytes, is left out.
    """
    try:
        path = _stored_file(pair)
        return dict(_read_stored(path, sample_ids, largest)) if path and sample_ids else {}, ""
    except PctError as error:
        return {}, str(error)


@st.cache_data(max_entries=50, max_size="64MB", show_spinner="Reading images…")
def _read_stored(path: Path, sample_ids: tuple[str, ...], largest: int) -> dict[str, bytes]:
    return read_pngs(path, sample_ids, largest)


def _stored_file(pair: Pair) -> Path | None:
    if pair.images and folder(pair) is None:
        return Path(pair.images)
    for table in (pair.new, pair.old):
        if isinstance(table, VersionTable):
            found = _thumbnails(table.tracking_uri, table.name, predictions(table).info.digest)
            if found is not None:
                return found
    return None


# As a resource it is downloaded once, however many readers open a page. A later training may add images, hence the ttl.
@st.cache_resource(ttl=REFRESH, show_spinner="Reading images…")
def _thumbnails(tracking_uri: str | None, name: str, digest: str) -> Path | None:
    return registry(tracking_uri).images(name, digest)
