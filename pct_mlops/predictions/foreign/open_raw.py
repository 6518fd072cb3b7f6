"""Opens files and frames of other programs as a relation `raw` of DuckDB, one format after the other."""

from __future__ import annotations

import glob
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pct_mlops.errors import TableError, reason_of
from pct_mlops.predictions import sql
from pct_mlops.predictions.foreign.delimited import read_delimited
from pct_mlops.predictions.schema import read_footer

TEXT, LINES, PARQUET, ARRAYS = (".csv", ".tsv"), (".jsonl", ".ndjson"), ".parquet", ".npz"
ENDINGS = (PARQUET, *TEXT, *LINES, ARRAYS)
CLASS_NAMES = ("class_names", "classes")  # an array of an .npz file that holds no value of each example
_HALF = re.compile("halffloat")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Raw:
    """The relation `raw` of a connection: where it is from, its columns with their types, and class names in it."""

    connection: duckdb.DuckDBPyConnection
    what: str
    types: dict[str, str]
    class_names: tuple[str, ...] | None = None

    def all(self, query: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """Return the rows of a query over `raw`."""
        with sql.reading(self.what):
            return self.connection.execute(query, values or {}).fetchall()


def is_foreign(path: Path) -> bool:
    """Tell whether a file or folder holds predictions in another form than this package's own Parquet."""
    if path.is_dir() or path.suffix.lower() in (*TEXT, *LINES, ARRAYS):
        return True
    try:
        if not path.is_file():  # opening a pipe would wait for somebody to write into it
            return False
        metadata = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException, ValueError):
        return False  # whoever opens it says what is wrong
    return not any(key.startswith(b"pct.") for key in metadata)


def open_file(connection: duckdb.DuckDBPyConnection, path: Path) -> Raw:
    """Make a file, or a folder of parts, visible as `raw`. Raise PctError when it is not what its ending says."""
    parts = _parts(path)
    ending, what = parts[0].suffix.lower(), str(path)
    if ending == ARRAYS:
        return _open_arrays(connection, path)
    with sql.reading(what):
        if ending in TEXT:
            connection.execute(f"CREATE TABLE raw AS {' UNION ALL BY NAME '.join(read_delimited(connection, parts))}")
        elif ending in LINES:
            _read_lines(connection, parts)
        else:
            for part in parts:
                read_footer(part)  # says better than DuckDB what is wrong with a file
            names = [glob.escape(str(part.absolute())) for part in parts]
            folders = path.is_dir()
            relation = connection.read_parquet(names, hive_partitioning=folders, union_by_name=folders)
            relation.create_view("raw")
    return _described(connection, what)


def open_frame(connection: duckdb.DuckDBPyConnection, frame: Any, what: str = "the frame") -> Raw:
    """Make a frame (pandas, polars, Arrow, a DuckDB relation) visible as `raw`. Raise PctError for anything else."""
    table = _to_arrow(frame, what)
    if any(_HALF.search(str(field.type)) for field in table.schema):
        # DuckDB does not know them.
        kinds = [pa.field(field.name, _without_half(field.type)) for field in table.schema]
        table = table.cast(pa.schema(kinds))
    with sql.reading(what):
        connection.register("raw", table)
    return _described(connection, what)


def _parts(path: Path) -> list[Path]:
    """Return the file itself, or the parts of a folder as Spark, polars and Dask write them."""
    if not path.exists():
        raise TableError(f"There is no file {path}: give the path of predictions ({', '.join(ENDINGS)}).")
    if not path.is_dir():
        if not path.is_file():
            raise TableError(f"{path} is a pipe or device: give the path of a file.")
        return [path]
    # Names that begin with a dot or an underscore are those programs' own: _SUCCESS, .part-0.crc.
    found = [
        part
        for part in sorted(path.rglob("*"))
        if part.is_file() and part.suffix.lower() in ENDINGS and not _is_hidden(part.relative_to(path))
    ]
    endings = sorted({part.suffix.lower() for part in found})
    if not found:
        raise TableError(f"The folder {path} holds no predictions: give one file, or a folder of .parquet parts.")
    if len(endings) > 1 or endings == [ARRAYS]:
        raise TableError(
            f"The folder {path} holds {' and '.join(endings)} files: give one file, or parts of one format."
        )
    return found


def _is_hidden(path: Path) -> bool:
    return any(name.startswith((".", "_")) for name in path.parts)


def _read_lines(connection: duckdb.DuckDBPyConnection, parts: list[Path]) -> None:
    names = [glob.escape(str(part.absolute())) for part in parts]
    try:
        # Depth 1: values stay as they were written, and no text is taken for a date. Every line is looked at for keys.
        lines = connection.read_json(names, format="newline_delimited", maximum_depth=1, sample_size=-1)  # type: ignore[arg-type]
        lines.create("raw")
        if lines.columns == ["json"]:  # what lines are that hold no object
            for part in parts:
                _check_lines(part)
    except duckdb.Error as error:
        for part in parts:
            _check_lines(part)
        raise TableError(f"{parts[0]} cannot be read ({reason_of(error)}): write one JSON object a line.") from error


def _check_lines(path: Path) -> None:
    """Raise PctError with the number of the first line that holds no JSON object."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise TableError(f"{path}, line {number}: the text is not UTF-8: save the file as UTF-8.") from None
            try:
                found = json.loads(text) if text.strip() else {}
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, dict):
                raise TableError(f"{path}, line {number}: this is no JSON object: write one object a line.")
            if _SURROGATE.search(json.dumps(found, ensure_ascii=False)):
                raise TableError(
                    f"{path}, line {number}: a text holds half of a surrogate pair, which is no character: take it out."
                )


def _open_arrays(connection: duckdb.DuckDBPyConnection, path: Path) -> Raw:
    if not zipfile.is_zipfile(path):
        raise TableError(f"{path} is no .npz file, or damaged: save arrays with numpy.savez.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        why = "it holds objects, which could run code" if "pickle" in str(error) else "it is damaged"
        raise TableError(f"{path} cannot be read ({why}): save plain arrays with numpy.savez.") from error
    names = next((arrays.pop(key) for key in CLASS_NAMES if key in arrays and arrays[key].ndim == 1), None)
    columns = {name: value for name, value in arrays.items() if value.ndim in (1, 2)}
    lengths = {name: len(value) for name, value in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise TableError(f"{path} holds arrays of unequal length ({shown}): save one value for each example.")
    raw = open_frame(connection, {name: _column(value) for name, value in columns.items()}, str(path))
    return Raw(connection, raw.what, raw.types, None if names is None else tuple(map(str, names)))


def _column(value: np.ndarray) -> pa.Array:
    """Return an array [N] or [N, width] as an Arrow column. Text of any kind and dates become text."""
    if value.dtype.kind not in "biuf":
        value = value.astype(str)
    if value.dtype == np.float16:
        value = value.astype(np.float32)
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    flat = pa.array(np.ascontiguousarray(value).reshape(-1))
    return flat if value.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, value.shape[1])


def _to_arrow(frame: Any, what: str) -> pa.Table:
    try:
        if isinstance(frame, pa.Table):
            return frame
        if isinstance(frame, Mapping) or hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
        if hasattr(frame, "to_arrow_table"):
            return frame.to_arrow_table()
        if hasattr(frame, "__dataframe__"):
            from pyarrow.interchange import from_dataframe

            return from_dataframe(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise TableError(f"{what} cannot be read ({reason_of(error)}): give each column values of one type.") from error
    raise TableError(
        f"{what} is of type {type(frame).__name__}: give a pandas or polars DataFrame, an Arrow table, "
        "or a dictionary of columns."
    )


def _without_half(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_without_half(kind.value_type), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_without_half(kind.value_type))
    return kind


def _described(connection: duckdb.DuckDBPyConnection, what: str) -> Raw:
    with sql.reading(what):
        relation = connection.sql("SELECT * FROM raw")
        types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    if len(types) < len(relation.columns):
        raise TableError(f"{what} has two columns of one name: give each its own.")
    return Raw(connection, what, types)
