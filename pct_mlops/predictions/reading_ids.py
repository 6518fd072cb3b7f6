"""Tells from the preprocessing of two tables whether their image files were read in the same way."""

from __future__ import annotations

FROM_FILES = "rgb-bilinear-centre"  # in the preprocessing of a table whose examples are image files
# Follows it where a file has another orientation, depth or background than versions of pct that ignored them gave it.
READ_ANEW = "upright-8bit-on-white"


def read_differently(old: str, new: str) -> bool:
    """Tell whether two tables, by their `preprocessing`, saw other pixels of the same image files.

    This compares the readers alone. A model may take larger images than another, or ten crops.
    """
    readers = [_readers(old), _readers(new)]
    return all(readers) and readers[0] != readers[1]


def _readers(preprocessing: str) -> set[bool]:
    """Return for each part of a mean whether READ_ANEW is among its steps. Parts without files are left out."""
    parts = [part.split("/") for part in preprocessing.split(" + ")]
    return {READ_ANEW in steps for steps in parts if FROM_FILES in steps}
