"""Reads the size of a PNG without unpacking it."""

from __future__ import annotations

_PNG = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS = 50_000_000  # a few bytes may unpack to an image that fills the memory of the browser


def png_size(png: bytes | None) -> tuple[int, int] | None:
    """Return (width, height) in pixels, as the PNG states them, or None where it is no PNG."""
    if png is None or len(png) < 24 or not png.startswith(_PNG):
        return None
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
