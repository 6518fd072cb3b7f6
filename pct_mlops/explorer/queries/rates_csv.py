"""Writes the rates of classes or slices as CSV, with full precision and one row for each."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pct_mlops.charts import ClassRates

RATES = ("nfr", "pfr", "accuracy_old", "accuracy_new")
PARTS = ("value", "lower", "upper")


def rates_csv(what: str, read: Callable[[], Sequence[ClassRates]]) -> bytes:
    """Return the CSV as UTF-8. Rates are fractions, bounds hold with 95% confidence each, an unknown one is empty.

    Args:
        what: Title of the first column, "class" or the column of a slice.
        read: Reads the rows. It is called here, so that a button reads them at the click.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [name if part == "value" else f"{name}_{part}" for name in RATES for part in PARTS]
    writer.writerow([what, "examples", *names])
    for row in read():
        found = [getattr(getattr(row, name), part, None) for name in RATES for part in PARTS]
        writer.writerow([row.name, row.support, *("" if value is None else value for value in found)])
    return buffer.getvalue().encode()
