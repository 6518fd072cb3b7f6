"""Reads the texts of examples, or the rows of a table that they are, from a file that somebody brings.

A page reads only its own examples. A Parquet file is queried where it lies. A file of another format is first written
as a temporary Parquet file, sorted by id, so that a page does not parse the whole file again.
"""

from __future__ import annotations

import glob
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from pct_mlops.errors import DataError, PctError, reason_of
from pct_mlops.predictions import sql
from pct_mlops.predictions.foreign.columns import as_text
from pct_mlops.predictions.foreign.open_raw import LINES, PARQUET, TEXT, Raw, open_file
from pct_mlops.predictions.foreign.read_options import PREFIXES, USUAL_NAMES, ReadOptions
from pct_mlops.predictions.writing import write_aside

ENDINGS = (*TEXT, *LINES, PARQUET)
TEXT_NAMES = ("text", "sentence", "content", "document", "body", "message")
MAX_COLUMNS = 200  # of a row
MAX_VALUE = 2_000  # characters of a value in a row
_ROW_GROUP = 2_048  # the smallest that DuckDB writes: a page of 24 examples reads at most 24 of them
_WANTED = "with a column of ids and a column 'text', or the columns of a row"
# What a file of predictions holds beside the inputs. The explorer shows it elsewhere.
_NOT_INPUTS = {name for key in ("label", "prediction", "probabilities", "logits") for name in USUAL_NAMES[key]}
_IS_SCORE = re.compile("|".join(PREFIXES.values()), re.IGNORECASE)


@dataclass(frozen=True)
class Content:
    """The input of an example, as far as it is known.

    Attributes:
        text: the beginning of its text, "" without one.
        length: number of characters of the whole text.
        row: names and values of its columns. Empty ones are left out, and long ones are cut.
        num_columns: number of columns of the whole row.
    """

    text: str = ""
    length: int = 0
    row: tuple[tuple[str, str], ...] = ()
    num_columns: int = 0


@dataclass(frozen=True)
class ExampleTexts:
    """A file of texts or rows by the id of their example. `open_texts` makes it.

    Attributes:
        title: name of the file for people.
        path: Parquet file that is read.
        sample_id: column of ids.
        text: column of texts, None where there are only rows.
        columns: further columns.
        types: type of each of these columns in DuckDB.
    """

    title: str
    path: str
    sample_id: str
    text: str | None
    columns: tuple[str, ...]
    types: tuple[tuple[str, str], ...]

    def read(self, sample_ids: Sequence[str], *, max_text: int, max_columns: int = MAX_COLUMNS) -> dict[str, Content]:
        """Return id -> content, without the examples that the file lacks.

        Of a text at most `max_text` characters are read, and of a row at most `max_columns` columns.
        """
        if not sample_ids:
            return {}
        shown = self.columns[:max_columns]
        text = self._as_text(self.text) if self.text else "''"
        values = [self.id_as_text(), f"left({text}, $most)", f"length({text})"]
        values += [f"left({self._as_text(name)}, {MAX_VALUE + 1})" for name in shown]
        # Constants, because DuckDB compares them with the bounds of each row group.
        ids = {f"id_{place}": sample_id for place, sample_id in enumerate(sample_ids)}
        where = f"{self.id_as_text()} IN ({', '.join(f'${name}' for name in ids)})"
        with sql.connect() as connection, self.reading():
            sql.view_parquet(connection, "texts", Path(self.path))
            query = f"SELECT {', '.join(values)} FROM texts WHERE {where}"
            rows = connection.execute(query, {**ids, "most": max_text}).fetchall()
        return {
            sample_id: Content(
                beginning or "",
                length or 0,
                tuple((name, value) for name, value in zip(shown, row, strict=True) if value not in (None, "")),
                len(self.columns),
            )
            for sample_id, beginning, length, *row in rows
        }

    def has_any_of(self, connection: duckdb.DuckDBPyConnection, table: str) -> bool:
        """Tell whether the file knows an example whose `sample_id` is in a table or view of the connection."""
        with self.reading():
            sql.view_parquet(connection, "texts", Path(self.path))
            given = f"SELECT {self.id_as_text()} AS sample_id FROM texts"
            query = f"SELECT 1 FROM ({given}) AS given SEMI JOIN {sql.quoted(table)} USING (sample_id) LIMIT 1"
            return bool(connection.execute(query).fetchall())

    def copy_known(self, connection: duckdb.DuckDBPyConnection, table: str, target: Path) -> int:
        """Write what is known of the examples in a table of the connection as Parquet. Return their number.

        The column of ids is called `sample_id` there. Nothing is written where no example is known.
        """
        names = [*([self.text] if self.text else []), *self.columns]
        values = ", ".join(f"{self._as_text(name)} AS {sql.quoted(name)}" for name in names)
        with self.reading():
            sql.view_parquet(connection, "texts", Path(self.path))
            given = f"SELECT DISTINCT ON (sample_id) {self.id_as_text()} AS sample_id, {values} FROM texts"
            query = f"SELECT * FROM ({given}) AS given SEMI JOIN {sql.quoted(table)} USING (sample_id)"
            (num,) = sql.one(connection, f"SELECT count(*) FROM ({query})")
            if num:
                known = connection.sql(f"{query} ORDER BY sample_id")
                write_aside(target, lambda aside: _write(known, aside))
        return int(num)

    def relation(self) -> str:
        """Return a SELECT of `sample_id` and of all that is known of an example as one `content`.

        The path of the file is the parameter `path`, in the form of `pattern`.
        """
        names = [*([self.text] if self.text else []), *self.columns[:MAX_COLUMNS]]
        content = f"concat_ws(chr(10), {', '.join(map(self._as_text, names))})"
        return f"SELECT {self.id_as_text()} AS sample_id, {content} AS content FROM read_parquet($path)"

    @property
    def pattern(self) -> str:
        """The path as DuckDB takes it, with wildcards made literal."""
        return glob.escape(self.path)

    def id_as_text(self) -> str:
        """Return SQL for the id of an example as text."""
        return self._as_text(self.sample_id)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn an error of DuckDB into one sentence about the file."""
        try:
            yield
        except duckdb.Error as error:
            raise self.unreadable(error) from error

    def unreadable(self, error: BaseException) -> DataError:
        """Return the error that says what is wrong with the file."""
        return DataError(f"{self.title} cannot be read ({reason_of(error)[:200]}): write the file of texts again.")

    def _as_text(self, name: str) -> str:
        return as_text(name, dict(self.types)[name])


def open_texts(path: str | Path, options: ReadOptions | None = None) -> ExampleTexts:
    """Open a file of texts or rows.

    Args:
        path: .csv, .tsv, .jsonl or .parquet, with a column of ids, and a column of texts or several columns of a row.
        options: What `columns` names as sample_id is the column of ids. Otherwise it is found by its usual names.

    Returns:
        The handle. A temporary file of it is removed with the handle.

    Raises:
        PctError: The file is missing, damaged, of another format, or lacks ids or texts.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"There is no file {path}: give --texts a file {_WANTED}.")
    if path.suffix.lower() not in ENDINGS or not path.is_file():
        raise DataError(f"{path} is no file of texts: give --texts a {', '.join(ENDINGS)} file {_WANTED}.")
    with sql.connect() as connection:
        try:
            raw = open_file(connection, path)
        except PctError as error:
            raise DataError(str(error)) from error
        texts = _layout(raw, path, options or ReadOptions())
        return texts if path.suffix.lower() == PARQUET else _as_parquet(connection, texts)


def _layout(raw: Raw, path: Path, options: ReadOptions) -> ExampleTexts:
    """Find the columns. Raise PctError where there are no ids, or nothing beside them."""
    by_name = {name.lower(): name for name in raw.types}
    asked = [column for meaning, column in options.columns if meaning == "sample_id"]
    ids = [by_name[name.lower()] for name in (*asked, *USUAL_NAMES["sample_id"]) if name.lower() in by_name]
    shown = ", ".join(f"'{name[:40]}'" for name in list(raw.types)[:8])
    if not ids:
        usual = " | ".join(USUAL_NAMES["sample_id"])
        raise DataError(f"{path} has no column {usual} (it has {shown}): give --texts a file {_WANTED}.")
    inputs = [
        name
        for name, kind in raw.types.items()
        if name != ids[0] and kind != "BLOB" and name.lower() not in _NOT_INPUTS and not _IS_SCORE.match(name)
    ]
    if not inputs:
        raise DataError(f"{path} has only ids and predictions ({shown}): give --texts a file {_WANTED}.")
    text = next((by_name[name] for name in TEXT_NAMES if by_name.get(name) in inputs), None)
    if text is None and len(inputs) == 1:
        text = inputs[0]
    columns = tuple(name for name in inputs if name != text)
    types = tuple((name, raw.types[name]) for name in (ids[0], *inputs))
    return ExampleTexts(path.name, str(path.absolute()), ids[0], text, columns, types)


def _as_parquet(connection: duckdb.DuckDBPyConnection, texts: ExampleTexts) -> ExampleTexts:
    """Write `raw` as a temporary Parquet file of texts, sorted by id, so that a query skips most of it."""
    folder = tempfile.mkdtemp(prefix="pct-mlops-")
    file = Path(folder) / "texts.parquet"
    types = dict(texts.types)
    values = ", ".join(f"{as_text(name, kind)} AS {sql.quoted(name)}" for name, kind in types.items())
    try:
        with texts.reading():
            rows = connection.sql(f"SELECT {values} FROM raw ORDER BY {sql.quoted(texts.sample_id)}")
            _write(rows, file)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    made = replace(texts, path=str(file), types=tuple((name, "VARCHAR") for name in types))
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    return made


def _write(rows: duckdb.DuckDBPyRelation, path: Path) -> None:
    rows.write_parquet(str(path), row_group_size=_ROW_GROUP, compression="zstd")
