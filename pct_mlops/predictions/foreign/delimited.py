"""Reads .csv and .tsv files: finds the separator, takes every value as text, and names the line of what is wrong.

DuckDB's own search for separator, header and types is not used. It passes over lines that do not fit, and reads the id
"007" as the number 7.
"""

from __future__ import annotations

import csv
import glob
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from pct_mlops.errors import TableError, reason_of

SEPARATORS = (",", ";", "\t", "|")
_HEAD = 1024**2  # bytes in which the first line ends
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_ORIGINAL = re.compile(r"Original Line: (.*)\nExpected Number of Columns", re.DOTALL)
_WIDTH = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")


def read_delimited(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> list[str]:
    """Load every file into a table of text columns, and return a SELECT for each. PctError names file and line."""
    selects = []
    for number, path in enumerate(paths):
        separator, names = header(path)
        literal = glob.escape(str(path.absolute()))
        try:
            connection.read_csv(
                literal,
                sep=separator,
                header=True,
                columns=dict.fromkeys(names, "VARCHAR"),
                auto_detect=False,
                quotechar='"',
                escapechar='"',
            ).create(f"part_{number}")
        except duckdb.Error as error:
            raise _explained(path, error, separator) from error
        selects.append(f"SELECT * FROM part_{number}")
    return selects


def header(path: Path) -> tuple[str, list[str]]:
    """Return the separator of a file and the names in its first line. Raise PctError for a header without names."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not head.strip():
        raise TableError(f"{path} is empty: write a line of column names, then one line for each example.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TableError(f"{path} is in UTF-16: save it as UTF-8.")
    first = next(_lines(head))
    try:
        text = first.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TableError(f"{path}, line 1: the text is not UTF-8: save the file as UTF-8.") from None
    unquoted = re.sub(r'"[^"]*"', "", text)
    # Of two that stand equally often, a tab in a .tsv file, else the usual one.
    order = ("\t", *SEPARATORS) if path.suffix.lower() == ".tsv" else SEPARATORS
    separator = max(order, key=unquoted.count)
    names = next(csv.reader([text], delimiter=separator))
    names = [name or f"column {place}" for place, name in enumerate(names, 1)]
    lowered = [name.lower() for name in names]
    repeated = next((name for name in names if lowered.count(name.lower()) > 1), None)
    if repeated is not None:
        raise TableError(
            f"{path} has two columns '{repeated}' (upper and lower case are alike): give each its own name."
        )
    return separator, names


def _lines(head: bytes) -> Iterator[bytes]:
    """Cut bytes into lines as Windows, Unix and old Macs end them."""
    yield from re.split(rb"\r\n|\n|\r", head)


def _explained(path: Path, error: duckdb.Error, separator: str) -> TableError:
    text = str(error)
    line, width = _LINE.search(text), _WIDTH.search(text)
    where = f"{path}, line {line[1]}" if line else str(path)
    if width:
        number = _num_values(text, int(width[2]), separator)
        return TableError(
            f"{where}: there are {number} values, and the first line names {width[1]} columns: "
            "put values that hold the separator into double quotes."
        )
    if "line size" in text.lower():
        return TableError(f"{where}: the line is longer than 2 MB: write this file as .parquet or .jsonl.")
    if "Invalid unicode" in text:
        return TableError(f"{where}: the text is not UTF-8: save the file as UTF-8.")
    if "unterminated quote" in text:
        return TableError(f"{where}: a double quote is not closed: close it, or write it twice inside of quotes.")
    return TableError(f"{where}: this cannot be read ({reason_of(error)}): write one line for each example.")


def _num_values(text: str, found: int, separator: str) -> int:
    """Return the number of values in the line of DuckDB's error, which itself stops to count after the first too many.

    `found` is how far it came.
    """
    line = _ORIGINAL.search(text)
    try:
        values = next(csv.reader(io.StringIO(line[1], newline=""), delimiter=separator)) if line else []
    except csv.Error:
        values = []
    return max(found, len(values))
