"""Reads the headers of all image files of a data set: their sizes, and what the pixel contract changes in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pct_mlops.data.pixels import NUM_THREADS, unreadable
from pct_mlops.errors import DataError
from pct_mlops.image_reader import UNREADABLE, ImageFacts, read_facts

DEFAULT_SIZE = 224  # for files of different sizes when the recipe names none; ImageNet models are trained on it
_CHUNK = 256  # files that a thread reads at once: each task has a price of its own

Header = ImageFacts | DataError


def read_headers(paths: Sequence[str], advance: Callable[[int], object] | None = None) -> list[Header]:
    """Return what each file's header says, or the error that names it.

    Files are read in a few threads. `advance` is told how many more are done.
    """
    known: dict[ImageFacts, ImageFacts] = {}  # a million files have few different headers

    def some(start: int) -> list[Header]:
        return [_read(path, known) for path in paths[start : start + _CHUNK]]

    found: list[Header] = []
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for part in pool.map(some, range(0, len(paths), _CHUNK)):
            found += part
            if advance is not None:
                advance(len(part))
    return found


def _read(path: str, known: dict[ImageFacts, ImageFacts]) -> Header:
    try:
        facts = read_facts(path)
    except UNREADABLE as error:
        return unreadable(path, error)
    return known.setdefault(facts, facts)


def output_size(headers: Iterable[Header], image_size: int | None) -> tuple[int, int]:
    """Return the (height, width) to which every file is brought.

    It is `image_size` on both sides, else the size that all upright images share, else 224 x 224.

    Raises:
        PctError: a file up to the first one of another size cannot be read; the message names it.
    """
    if image_size is not None:
        return image_size, image_size
    common: tuple[int, int] | None = None
    for header in headers:
        if isinstance(header, DataError):
            raise header
        size = (header.height, header.width)
        if common not in (None, size):
            return DEFAULT_SIZE, DEFAULT_SIZE
        common = size
    return common or (DEFAULT_SIZE, DEFAULT_SIZE)


def read_anew(headers: Sequence[Header]) -> np.ndarray:
    """Tell of each file whether versions that ignored parts of the pixel contract may have read other pixels."""
    return np.array([isinstance(header, ImageFacts) and header.is_read_anew for header in headers], dtype=bool)


def count_odd(headers: Iterable[Header]) -> dict[str, int]:
    """Return how many files are rotated, deep, transparent or refused, without those of which there is none."""
    facts = [header for header in headers if isinstance(header, ImageFacts)]
    counts = {
        "rotated": sum(item.is_rotated for item in facts),
        "of more than 8 bits": sum(item.is_deep for item in facts),
        "with transparency": sum(item.has_transparency for item in facts),
        "without a scale to 8 bits": sum(bool(item.refusal) for item in facts),
    }
    return {name: number for name, number in counts.items() if number}
