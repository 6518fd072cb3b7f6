"""Reads the pixels of a split: from an array in memory, or from image files that are decoded when they are needed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from pct_mlops.errors import DataError, reason_of
from pct_mlops.image_reader import UNREADABLE, to_rgb

NUM_THREADS = min(8, os.cpu_count() or 1)  # Pillow releases the interpreter lock while it decodes


class Pixels(Protocol):
    """Images by row, all of one shape."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""

    def __len__(self) -> int: ...

    def read(self, rows: Tensor) -> Tensor:
        """Return the images of the given rows (int64 [n]) as uint8 [n, C, H, W]."""

    def read_all(self) -> Tensor:
        """Return all images as uint8 [N, C, H, W]."""

    def select(self, rows: Tensor) -> Pixels:
        """Return only the given rows, in their order."""


class ArrayPixels:
    """Images held as one uint8 tensor [N, C, H, W].

    With `size` they are resized to size x size (antialiased) when read, unless they have that size already.
    """

    def __init__(self, data: Tensor, size: int | None = None) -> None:
        self._data = data
        self._size = None if size is None or tuple(data.shape[-2:]) == (size, size) else size

    @property
    def resizes(self) -> bool:
        """True if images are read with another size than they are held in."""
        return self._size is not None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) after resizing."""
        _, channels, height, width = self._data.shape
        return channels, self._size or height, self._size or width

    def __len__(self) -> int:
        return len(self._data)

    def read(self, rows: Tensor) -> Tensor:
        """Return the images of the given rows as uint8 [n, C, H, W]."""
        return self._resized(self._data[rows])

    def read_all(self) -> Tensor:
        """Return all images as uint8 [N, C, H, W]. Without resizing this is the array itself, not a copy."""
        if self._size is None:
            return self._data
        return torch.cat([self._resized(part) for part in self._data.split(1024)])

    def select(self, rows: Tensor) -> ArrayPixels:
        """Return only the given rows, in their order."""
        return ArrayPixels(self._data[rows], self._size)

    def _resized(self, images: Tensor) -> Tensor:
        if self._size is None:
            return images
        size = (self._size, self._size)
        values = interpolate(images.float(), size, mode="bilinear", antialias=True, align_corners=False)
        return values.round_().clamp_(0, 255).to(torch.uint8)


class FilePixels:
    """Image files, decoded to RGB and brought to `size` (height, width) by `decode`.

    `read_anew` says of each file whether versions that ignored parts of the pixel contract may have read other pixels.
    """

    def __init__(
        self, paths: Sequence[str] | np.ndarray, size: tuple[int, int], read_anew: np.ndarray | None = None
    ) -> None:
        # One buffer of bytes: the reference counts of a list of strings would copy it, page by page, into every forked
        # worker.
        self._paths = paths if isinstance(paths, np.ndarray) else np.array([os.fsencode(path) for path in paths])
        self._size = size
        self._read_anew = np.zeros(len(self._paths), dtype=bool) if read_anew is None else read_anew

    @property
    def is_read_anew(self) -> bool:
        """True if versions that ignored parts of the pixel contract may have read other pixels of a file."""
        return bool(self._read_anew.any())

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, H, W) of every image."""
        return (3, *self._size)

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, row: int) -> str:
        """Return the path of the file of a row."""
        return os.fsdecode(bytes(self._paths[row]))

    def read(self, rows: Tensor) -> Tensor:
        """Return the given rows as uint8 [n, 3, H, W], or raise PctError that names a file that cannot be decoded."""
        images = torch.empty((len(rows), *self.shape), dtype=torch.uint8)
        for position, row in enumerate(rows.tolist()):
            images[position] = decode(self.path(row), self._size)
        return images

    def read_all(self) -> Tensor:
        """Return all images as uint8 [N, 3, H, W], decoded in threads."""
        images = torch.empty((len(self), *self.shape), dtype=torch.uint8)

        def fill(row: int) -> None:
            images[row] = decode(self.path(row), self._size)

        with ThreadPoolExecutor(NUM_THREADS) as pool:
            for _ in pool.map(fill, range(len(self))):
                pass
        return images

    def select(self, rows: Tensor) -> FilePixels:
        """Return only the given rows, in their order."""
        kept = rows.numpy()
        return FilePixels(self._paths[kept], self._size, self._read_anew[kept])


def _decode(path: str, size: tuple[int, int] | None) -> np.ndarray:
    """Return an image file as uint8 [H, W, 3], of `size` (height, width) if that is given."""
    with Image.open(path) as file:
        image = to_rgb(file)
        if size is None or (image.height, image.width) == size:
            return np.array(image)
        height, width = size
        scale = max(height / image.height, width / image.width)
        scaled = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
        image = image.resize(scaled, Image.Resampling.BILINEAR)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return np.array(image.crop((left, top, left + width, top + height)))


def decode(path: str, size: tuple[int, int]) -> Tensor:
    """Decode an image file to uint8 [3, H, W] of `size` (height, width).

    `image_reader.to_rgb` says what the pixels are. The image is scaled (bilinear, antialiased) until it covers `size`,
    and its centre is cut out.

    Raises:
        PctError: the file cannot be decoded; the message names it.
    """
    try:
        image = _decode(path, size)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    return torch.from_numpy(image).permute(2, 0, 1)


def unreadable(path: str, error: BaseException) -> DataError:
    """Return the error that names an image file and says why it cannot be read."""
    reason = "no such file" if isinstance(error, FileNotFoundError) else reason_of(error)
    reason = "not an image" if reason.startswith("cannot identify") else reason
    return DataError(f"The image {path} cannot be read ({reason}): replace it, or set data.skip_corrupt=true.")


def corrupt_files(paths: Sequence[str]) -> list[bool]:
    """Tell for each file whether it fails to decode. This reads every file, so call it only for data.skip_corrupt."""

    def fails(path: str) -> bool:
        try:
            _decode(path, None)
        except UNREADABLE:
            return True
        return False

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        return list(pool.map(fails, paths))


def num_bytes(pixels: Pixels) -> int:
    """Return the number of bytes of all images as uint8."""
    return len(pixels) * math.prod(pixels.shape)
