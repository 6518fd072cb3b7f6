"""Reads image files as upright RGB of 8 bits. This is the one place that says which pixels of a file a model is given.

The pixel contract:

- Orientation: EXIF's is applied, and XMP's where a file has no EXIF orientation, as by `PIL.ImageOps.exif_transpose`.
- Depth: of 16 bits the upper 8 are kept, of 12 bits likewise. Files whose numbers have no scale (floats, 32-bit and
  signed integers) are refused. So are grey files of 16 bits in which every pixel would become black.
- Transparency: the image is laid on white, whether alpha, a transparent colour or a palette says what is transparent.
- The rest is Pillow's conversion to RGB: grey, palette, CMYK, YCbCr, Lab. Colour profiles are ignored. Of several
  frames, the first is read.

A file that has none of the first three is read as in the versions that ignored them. `ImageFacts.is_read_anew` tells.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)

_ORIENTATION, _BITS, _PHOTOMETRIC = 0x0112, 258, 262  # tags of EXIF and TIFF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_WITH_EXIF = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")  # keys of Pillow's info
_LATE = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")  # chunks of PNG that may hold an orientation
_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")


class UnscaledPixels(ValueError):
    """An image whose numbers cannot be brought to 8 bits without knowing what they mean."""


class ImageFacts(NamedTuple):
    """Facts that the header of an image file states.

    Attributes:
        height: in pixels, of the upright image.
        width: in pixels, of the upright image.
        is_rotated: whether it is stored in another orientation than it is shown in.
        is_deep: whether it has more than 8 bits a channel.
        has_transparency: whether pixels may be transparent.
        is_read_anew: whether versions that ignored orientation, depth and transparency may have read other pixels.
        refusal: why its pixels cannot be read, "" where they can.
    """

    height: int
    width: int
    is_rotated: bool
    is_deep: bool
    has_transparency: bool
    is_read_anew: bool
    refusal: str


def read_facts(path: str) -> ImageFacts:
    """Return what the header of a file says. Raise one of UNREADABLE where it is no image."""
    with Image.open(path) as image:
        if image.format == "PNG" and _ends_with_texts(path):
            # EXIF may stand after the pixels, and Pillow sees it only when they are read.
            image.load()
        return facts_of(image)


def facts_of(image: Image.Image) -> ImageFacts:
    """Return what the header of an opened image says."""
    turn = _orientation(image)
    width, height = image.size
    if turn in _SIDEWAYS and image.format != "TIFF":
        width, height = height, width
    rotated, transparent = turn in _TURNS, _has_transparency(image)
    refusal = _refusal(image)
    # Pillow always turned TIFF files, and kept the upper 8 bits of 16 where there are several channels.
    anew = (rotated and image.format != "TIFF") or _is_deep_grey(image) or transparent or bool(refusal)
    return ImageFacts(height, width, rotated, _is_deep(image), transparent, anew, refusal)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an opened image as upright RGB of 8 bits.

    Raises:
        UnscaledPixels: Its numbers have no scale.
        OSError: Its pixels cannot be decoded. Any other of UNREADABLE may come in its place.
    """
    refusal = _refusal(image)
    if refusal:
        raise UnscaledPixels(refusal)
    deep, is_tiff = _is_deep(image), image.format == "TIFF"
    # TIFF files are turned while they are loaded. In PNG files, EXIF may stand after the pixels.
    image.load()
    turn = None if is_tiff else _TURNS.get(_orientation(image))
    if _is_deep_grey(image):
        image = _deep_grey(image)
    elif _has_transparency(image):
        image = _on_white(image, deep)
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Return the orientation that the file states, 1 to 8. Return 1 where it states none, or damaged EXIF."""
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        found = tags.get(_ORIENTATION, 1)
    elif any(key in image.info for key in _WITH_EXIF):
        try:
            found = image.getexif().get(_ORIENTATION, 1)
        except (*UNREADABLE, LookupError, TypeError):
            return 1
    else:
        return 1
    return found if isinstance(found, int) else 1


def _ends_with_texts(path: str) -> bool:
    """Tell whether a PNG file has chunks of text or EXIF after its pixels."""
    with open(path, "rb") as file:
        file.seek(8)
        seen_pixels = False
        while (kind := _next_chunk(file)) not in (b"", b"IEND"):
            seen_pixels = seen_pixels or kind == b"IDAT"
            if seen_pixels and kind in _LATE:
                return True
    return False


def _next_chunk(file: BinaryIO) -> bytes:
    """Return the kind of the chunk that starts here, and go to its end. Return b"" at the end of the file."""
    head = file.read(8)
    if len(head) < 8:
        return b""
    length, kind = struct.unpack(">I4s", head)
    file.seek(length + 4, 1)
    return bytes(kind)


def _has_transparency(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _is_deep_grey(image: Image.Image) -> bool:
    # Pillow opens PGM files of 16 bits as "I", scaled to 0 .. 65535, and its older versions PNG files, too.
    return image.mode in _DEEP_GREY or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _is_deep(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        return max(tags.get(_BITS, (8,))) > 8
    # The decoder's name of the stored pixels, for example "RGB;16B".
    return image.mode in ("I", "F") or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _refusal(image: Image.Image) -> str:
    kind = {"I": "integers of 32 bits or with a sign", "F": "floats"}.get(image.mode)
    if kind is None or _is_deep_grey(image):
        return ""
    return f"its pixels are {kind}, which have no scale: save it with 8 or 16 bits a channel"


def _deep_grey(image: Image.Image) -> Image.Image:
    """Return the upper 8 bits of a grey image of 16 bits, or of 12."""
    tags = getattr(image, "tag_v2", {})
    bits = max(tags.get(_BITS, (16,)))
    values = np.asarray(image).astype(np.int32)
    if 0 < values.max(initial=0) < 1 << (bits - 8):
        raise UnscaledPixels(
            f"its largest value is {values.max()} of {(1 << bits) - 1}, so all pixels would be black with 8 bits: save "
            "it with 8 bits"
        )
    grey = (values >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero
        grey = 255 - grey
    key = image.info.get("transparency")
    if key is not None:
        grey[values == key] = 255
    return Image.fromarray(grey).convert("RGB")


def _on_white(image: Image.Image, deep: bool) -> Image.Image:
    key = image.info.get("transparency")
    if deep and image.mode == "RGB" and isinstance(key, tuple):
        # The key has 16 bits a channel, and Pillow has kept the upper 8 of the pixels.
        image.info["transparency"] = tuple(value >> 8 for value in key)
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return layer.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
