"""Small image files of every odd kind, each with the pixel that a model must see at the top left, or the refusal."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
ORIENTATION = 0x0112


def halves() -> Image.Image:
    """Return 16 x 8 pixels, stored: the left half is blue and the right half is red."""
    image = Image.new("RGB", (16, 8), RED)
    image.paste(BLUE, (0, 0, 8, 8))
    return image


def exif(orientation: int) -> Image.Exif:
    """Return EXIF data that state an orientation."""
    found = Image.Exif()
    found[ORIENTATION] = orientation
    return found


def deep(first: int, last: int = 65535) -> np.ndarray:
    """Return grey of 16 bits [8, 16] with the value `first` everywhere but at the bottom right, which has `last`."""
    values = np.full((8, 16), first, dtype=np.uint16)
    values[-1, -1] = last
    return values


def clear(mode: str, colour: tuple[int, ...] | int) -> Image.Image:
    """Return an image of one colour."""
    return Image.new(mode, (16, 8), colour)


def palette(transparency: int | bytes | None) -> tuple[Image.Image, dict[str, object]]:
    """Return a palette image whose index 0 is red, and what to save with it."""
    image = Image.new("P", (16, 8), 0)
    image.putpalette([*RED, *BLUE])
    return image, {} if transparency is None else {"transparency": transparency}


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits: int, colour: int, row: bytes, *extra: bytes, late: bytes = b"") -> bytes:
    """Return a PNG file of 16 x 8 pixels that are all stored as `row` says, with `extra` chunks before the pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 8, bits, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + row) * 8))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + pixels + late + chunk(b"IEND", b"")


def tiff(bits: int, photometric: int, data: bytes) -> bytes:
    """Return a grey TIFF file of 16 x 8 pixels."""
    values = ((256, 16), (257, 8), (258, bits), (259, 1), (262, photometric), (273, 134), (277, 1), (278, 8))
    tags = [struct.pack("<HHII", tag, 4 if tag == 273 else 3, 1, value) for tag, value in values]
    tags.append(struct.pack("<HHII", 279, 4, 1, len(data)))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(tags) + bytes(4 + 134 - 14 - 12 * len(tags)) + data


def late_exif(orientation: int) -> bytes:
    """Return the PNG chunk that states an orientation."""
    return chunk(b"eXIf", exif(orientation).tobytes().removeprefix(b"Exif\0\0"))


def save(image: Image.Image, **options: object) -> Callable[[Path], None]:
    """Return a function that saves this image to a path."""
    return lambda path: image.save(path, **options)  # type: ignore[arg-type]


def save_array(values: np.ndarray, **options: object) -> Callable[[Path], None]:
    """Return a function that saves an array to a path."""
    return save(Image.fromarray(values), **options)


def write(content: bytes) -> Callable[[Path], None]:
    """Return a function that writes bytes to a path."""
    return lambda path: path.write_bytes(content) and None


def _with_xmp(path: Path) -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    halves().save(path, quality=100, subsampling=0, xmp=xmp)


JPEG = {"quality": 100, "subsampling": 0}
BLUE_ROW = bytes(BLUE) * 8 + bytes(RED) * 8
# name -> (how the file is written, pixel at the top left, whether earlier versions read other pixels)
READ: dict[str, tuple[Callable[[Path], None], tuple[int, int, int], bool]] = {
    "plain.png": (save(halves()), BLUE, False),
    "plain.jpg": (save(halves(), **JPEG), BLUE, False),
    "upright.jpg": (save(halves(), exif=exif(1), **JPEG), BLUE, False),
    "mirrored2.jpg": (save(halves(), exif=exif(2), **JPEG), RED, True),
    "upside3.jpg": (save(halves(), exif=exif(3), **JPEG), RED, True),
    "sideways5.jpg": (save(halves(), exif=exif(5), **JPEG), BLUE, True),
    "sideways6.jpg": (save(halves(), exif=exif(6), **JPEG), BLUE, True),
    "sideways7.jpg": (save(halves(), exif=exif(7), **JPEG), RED, True),
    "sideways8.jpg": (save(halves(), exif=exif(8), **JPEG), RED, True),
    "sideways8.png": (save(halves(), exif=exif(8)), RED, True),
    "sideways8.webp": (save(halves(), exif=exif(8), lossless=True), RED, True),
    "sideways8.tiff": (save(halves(), exif=exif(8)), RED, False),
    "exif_behind_the_pixels.png": (write(png(8, 2, BLUE_ROW, late=late_exif(8))), RED, True),
    "xmp6.jpg": (_with_xmp, BLUE, True),
    "damaged_exif.jpg": (save(halves(), exif=b"Exif\0\0garbage", **JPEG), BLUE, False),
    "impossible9.jpg": (save(halves(), exif=exif(9), **JPEG), BLUE, False),
    "deep_grey.png": (save_array(deep(0x8040)), (0x80,) * 3, True),
    "deep_grey.tiff": (save_array(deep(0x8040)), (0x80,) * 3, True),
    "deep_grey.pgm": (save_array(deep(0x8040)), (0x80,) * 3, True),
    "deep_black.png": (save_array(deep(0, 0)), BLACK, True),
    "deep_12_bits.tiff": (write(tiff(12, 1, bytes([0x80, 0x48, 0x04]) * 64)), (0x80,) * 3, True),
    "deep_white_is_0.tiff": (write(tiff(16, 0, struct.pack("<H", 0x8040) * 128)), (0x7F,) * 3, True),
    "deep_key.png": (write(png(16, 0, b"\x80\x40" * 16, chunk(b"tRNS", b"\x80\x40"))), WHITE, True),
    "deep_rgb.png": (write(png(16, 2, b"\x80\x40\x20\xff\x00\x10" * 16)), (0x80, 0x20, 0), False),
    "deep_rgb_key.png": (write(png(16, 2, b"\x80\x40" * 48, chunk(b"tRNS", b"\x80\x40" * 3))), WHITE, True),
    "clear.png": (save(clear("RGBA", (200, 0, 0, 0))), WHITE, True),
    "half_clear.png": (save(clear("RGBA", (0, 0, 0, 128))), (127,) * 3, True),
    "opaque.png": (save(clear("RGBA", (200, 10, 0, 255))), (200, 10, 0), True),
    "clear.webp": (save(clear("RGBA", (200, 0, 0, 0)), lossless=True, exact=True), WHITE, True),
    "clear.tiff": (save(clear("RGBA", (200, 0, 0, 0))), WHITE, True),
    "clear_grey.png": (save(clear("LA", (9, 0))), WHITE, True),
    "opaque_grey.png": (save(clear("LA", (9, 255))), (9,) * 3, True),
    "grey_key.png": (save(clear("L", 9), transparency=9), WHITE, True),
    "colour_key.png": (save(clear("RGB", RED), transparency=RED), WHITE, True),
    "palette.png": (save(palette(None)[0]), RED, False),
    "clear_palette.png": (save(palette(None)[0], transparency=0), WHITE, True),
    "half_clear_palette.png": (save(palette(None)[0], transparency=b"\x80"), (255, 127, 127), True),
    "clear.gif": (save(palette(None)[0], transparency=0), WHITE, True),
    "palette.gif": (save(palette(None)[0]), RED, False),
    "frames.gif": (save(clear("RGB", BLUE), save_all=True, append_images=[clear("RGB", RED)]), BLUE, False),
    "cmyk.jpg": (save(clear("CMYK", (0, 255, 255, 0)), quality=100), (254, 0, 0), False),
    "grey.jpg": (save(clear("L", 77), quality=100), (77,) * 3, False),
    "bits.png": (save(clear("1", 1)), WHITE, False),
    "plain.bmp": (save(halves()), BLUE, False),
}  # fmt: skip
# name -> (how the file is written, the reason)
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "floats.tiff": (save_array(np.ones((8, 16), dtype=np.float32)), "its pixels are floats, which have no scale"),
    "integers.tiff": (save_array(np.full((8, 16), 70_000, dtype=np.int32)), "its pixels are integers of 32 bits"),
    "shallow.png": (save_array(deep(200, 250)), "its largest value is 250 of 65535, so all pixels would be black"),
    "no_image.png": (write(b"hello"), "not an image"),
    "empty.jpg": (write(b""), "not an image"),
}
