"""Image files for tests: a data set beside a secret, a photograph and its thumbnail, and a bomb."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

IDS = ["test/ant/a.jpg", "test/ant/b.png", "test/bee/gone.png", "../secret.png"]


def save(path, size=(300, 200), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 90).save(path, **options)
    return path


def data_set(tmp_path):
    """A data set's folder beside a secret, with links and a pipe in it."""
    root = tmp_path / "data"
    secret = save(tmp_path / "secret.png")
    save(root / IDS[0], size=(2000, 1000))
    save(root / IDS[1])
    (root / "link.png").symlink_to(secret)
    (root / "out").symlink_to(tmp_path, target_is_directory=True)
    (root / "in.png").symlink_to(root / IDS[1])
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe.png")
    return root


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bomb(width, height):
    """A PNG of a few bytes that says to be of this size."""
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x")


def photo(seed, size=(300, 200)):
    """Blurred noise, which has the contrast of a photograph."""
    spots = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC)


def thumbnail(picture, side=64):
    """As a training stores it: the middle of the image in the size that the model sees, made small."""
    seen = ImageOps.fit(picture, (224, 224), Image.Resampling.BILINEAR)
    seen.thumbnail((side, side))
    buffer = io.BytesIO()
    seen.save(buffer, "PNG")
    return buffer.getvalue()
