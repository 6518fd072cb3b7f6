"""Where a split's pixels come from: an array that is already there, or image files that are decoded when asked for."""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from pct_mlops.errors import DataError

DEFAULT_SIZE = 224  # for files of different sizes when the recipe names none: what ImageNet models are trained on
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
NUM_THREADS = min(8, os.cpu_count() or 1)  # Pillow releases the interpreter lock while it decodes


class Pixels(Protocol):
    """Images by row, all of one shape."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""

    def __len__(self) -> int: ...

    def read(self, rows: Tensor) -> Tensor:
        """uint8 [n, C, H, W] of the given rows (int64 [n])."""

    def read_all(self) -> Tensor:
        """uint8 [N, C, H, W]."""

    def select(self, rows: Tensor) -> Pixels:
        """Only the given rows, in their order."""


class ArrayPixels:
    """Images held as one uint8 tensor [N, C, H, W]; with `size`, resized to size x size (antialiased) when read."""

    def __init__(self, data: Tensor, size: int | None = None) -> None:
        self._data = data
        self._size = None if size in (None, data.shape[-1]) else size

    @property
    def resizes(self) -> bool:
        """Whether images leave with another size than they came with."""
        return self._size is not None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) after resizing."""
        _, channels, height, width = self._data.shape
        return channels, self._size or height, self._size or width

    def __len__(self) -> int:
        return len(self._data)

    def read(self, rows: Tensor) -> Tensor:
        """uint8 [n, C, H, W]."""
        return self._resized(self._data[rows])

    def read_all(self) -> Tensor:
        """uint8 [N, C, H, W]; without resizing this is the array itself, not a copy."""
        if self._size is None:
            return self._data
        return torch.cat([self._resized(part) for part in self._data.split(1024)])

    def select(self, rows: Tensor) -> ArrayPixels:
        """Only the given rows."""
        return ArrayPixels(self._data[rows], self._size)

    def _resized(self, images: Tensor) -> Tensor:
        if self._size is None:
            return images
        size = (self._size, self._size)
        values = interpolate(images.float(), size, mode="bilinear", antialias=True, align_corners=False)
        return values.round_().clamp_(0, 255).to(torch.uint8)


class FilePixels:
    """Image files, decoded to RGB and brought to `size` (height, width) by `decode`."""

    def __init__(self, paths: Sequence[str] | np.ndarray, size: tuple[int, int]) -> None:
        # One buffer of bytes: a list of strings would be copied page by page into every forked worker by its
        # reference counts.
        self._paths = paths if isinstance(paths, np.ndarray) else np.array([os.fsencode(path) for path in paths])
        self._size = size

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, H, W)."""
        return (3, *self._size)

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, row: int) -> str:
        """The file of a row."""
        return os.fsdecode(bytes(self._paths[row]))

    def read(self, rows: Tensor) -> Tensor:
        """uint8 [n, 3, H, W]; a file that cannot be decoded raises PctError with its name."""
        images = torch.empty((len(rows), *self.shape), dtype=torch.uint8)
        for position, row in enumerate(rows.tolist()):
            images[position] = decode(self.path(row), self._size)
        return images

    def read_all(self) -> Tensor:
        """uint8 [N, 3, H, W], decoded in threads."""
        images = torch.empty((len(self), *self.shape), dtype=torch.uint8)

        def fill(row: int) -> None:
            images[row] = decode(self.path(row), self._size)

        with ThreadPoolExecutor(NUM_THREADS) as pool:
            for _ in pool.map(fill, range(len(self))):
                pass
        return images

    def select(self, rows: Tensor) -> FilePixels:
        """Only the given rows."""
        return FilePixels(self._paths[rows.numpy()], self._size)


def _decode(path: str, size: tuple[int, int] | None) -> Image.Image:
    with Image.open(path) as file:
        image = file.convert("RGB")
    if size is None or (image.height, image.width) == size:
        return image
    height, width = size
    scale = max(height / image.height, width / image.width)
    scaled = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    image = image.resize(scaled, Image.Resampling.BILINEAR)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def decode(path: str, size: tuple[int, int]) -> Tensor:
    """An image file as uint8 [3, H, W]: shortest side resized (bilinear, antialiased), centre cut out.

    PctError names a file that cannot be decoded.
    """
    try:
        image = _decode(path, size)
    except UNREADABLE as error:
        raise DataError(
            f"The image {path} cannot be read ({_reason(error)}): replace it, or set data.skip_corrupt=true."
        ) from error
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    text = str(error).split("\n", 1)[0].rstrip(".")
    return "not an image" if text.startswith("cannot identify") else text or type(error).__name__


def corrupt_files(paths: Sequence[str]) -> list[bool]:
    """For each file whether it fails to decode. Reads every file: only for those who asked to skip corrupt ones."""

    def fails(path: str) -> bool:
        try:
            _decode(path, None)
        except UNREADABLE:
            return True
        return False

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        return list(pool.map(fails, paths))


def output_size(paths: Iterable[str], image_size: int | None) -> tuple[int, int]:
    """(height, width) that every file is brought to: `image_size`, or the size they all share, or 224 x 224.

    Reads headers only, and stops at the first file of another size. PctError names an unreadable file.
    """
    if image_size is not None:
        return image_size, image_size
    common: tuple[int, int] | None = None
    for path in paths:
        try:
            with Image.open(path) as image:
                size = (image.height, image.width)
        except UNREADABLE as error:
            raise DataError(
                f"The image {path} cannot be read ({_reason(error)}): replace it, or set data.skip_corrupt=true."
            ) from error
        if common not in (None, size):
            return DEFAULT_SIZE, DEFAULT_SIZE
        common = size
    return common or (DEFAULT_SIZE, DEFAULT_SIZE)


def num_bytes(pixels: Pixels) -> int:
    """Bytes of all images as uint8."""
    return len(pixels) * math.prod(pixels.shape)
