"""Writes the predictions of another program as a table of this package, in a temporary folder.

Everything is done in SQL and in batches of Arrow: a file may be far larger than memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pct_mlops.errors import TableError
from pct_mlops.predictions import sql
from pct_mlops.predictions.arrow_numbers import as_batch, numbers
from pct_mlops.predictions.digest import digest_of
from pct_mlops.predictions.foreign.class_indices import Classes, NoClassError, log_unknown_labels, settle_classes
from pct_mlops.predictions.foreign.columns import Layout, as_number, as_text, as_vector, find_columns, is_nested
from pct_mlops.predictions.foreign.open_raw import Raw, open_file, open_frame
from pct_mlops.predictions.foreign.read_options import MAX_CLASSES, ReadOptions
from pct_mlops.predictions.logits import is_rounding
from pct_mlops.predictions.schema import (
    RESERVED,
    SCHEMA_VERSION,
    TableInfo,
    arrow_schema,
    check_class_names,
)
from pct_mlops.predictions.scores import ScoreReader
from pct_mlops.predictions.writing import TemporaryTable, write_temporary

MAX_SLICE_VALUES = 1_000
_BATCH_NUMBERS = 4_000_000  # scores in memory at once, 32 MB
_LOG = logging.getLogger(__name__)


def convert_file(path: Path, options: ReadOptions, title: str = "") -> TemporaryTable:
    """Convert a file or a folder of parts. Raise PctError with the file, and the line or id, of what is wrong."""
    with sql.connect() as connection:
        return _convert(open_file(connection, path), options, str(path), title)


def convert_frame(frame: Any, options: ReadOptions, title: str = "") -> TemporaryTable:
    """Convert a frame in memory. Raise PctError with the id of what is wrong."""
    with sql.connect() as connection:
        return _convert(open_frame(connection, frame), options, "", title)


def _convert(raw: Raw, options: ReadOptions, path: str, title: str) -> TemporaryTable:
    layout = find_columns(raw.what, list(raw.types), options)
    rows = _Rows(raw, layout)
    rows.check()
    classes = rows.classes(options)
    check_class_names(classes.names, raw.what, written=True)
    slices = rows.slices()
    rows.join_classes(classes)
    if classes.known:
        rows.warn_of_unknown(classes)
    reader = ScoreReader(layout.scores.kind, classes.num_scores, raw.what) if layout.scores else None
    schema = arrow_schema(
        len(classes.names),
        0,
        slices,
        logits=reader is not None and not classes.known,  # there is none for a class that the model does not know
        confidence=reader is not None or layout.confidence is not None,
        label_confidence=reader is not None or layout.label_confidence is not None,
    )
    info = TableInfo(
        schema_version=SCHEMA_VERSION,
        model_name=title,
        model_version="",
        model_uri="",
        dataset="",
        split=options.split,
        class_names=classes.names,
        preprocessing="",
        digest=rows.digest(classes),
        num_examples=rows.num_examples,
        columns=tuple(schema.names),
        slices=slices,
        path=path,
        classes_from_data=classes.from_data,
        known_classes=classes.known,
    )

    def finish(info: TableInfo) -> TableInfo:
        if reader is None:
            return info
        return replace(info, predictions_stated=reader.finish(), confidences_stated=rows.confidences_stated)

    with sql.reading(raw.what):
        made = write_temporary(info, schema, rows.batches(schema, slices, reader), finish)
    return replace(made, absent=layout.absent)


class _Rows:
    """The rows of a foreign table: checked, counted and read, each in one query."""

    def __init__(self, raw: Raw, layout: Layout) -> None:
        self.raw, self.layout = raw, layout
        for meaning in ("sample_id", "label", "prediction"):
            name = getattr(layout, meaning)
            if name is not None and is_nested(raw.types[name]):
                raise _several(raw.what, name, meaning)
        self.num_examples = 0
        self.confidences_stated = False  # beside logits of which they are not the softmax, for example rescaled ones
        self._id = as_text(layout.sample_id, raw.types[layout.sample_id])

    def check(self) -> None:
        """Raise PctError for the first empty value, repeated id or confidence outside [0, 1]."""
        problems = [(f"coalesce({self._id}, '') = ''", f"has no {self.layout.sample_id}: name every example")]
        for column in self._class_columns():
            name = getattr(self.layout, column)
            problems.append((f"coalesce({self._text(column)}, '') = ''", f"has no {name}: give one, or leave it out"))
        for column in self._confidences():
            name = getattr(self.layout, column)
            number = as_number(name, self.raw.types[name])
            text = f"has a {name} that is no number from 0 to 1: give the probability that the model gives"
            problems.append((f"NOT coalesce({number} BETWEEN -1e-6 AND 1.000001, false)", text))
        counts = ", ".join(f"count(*) FILTER ({condition})" for condition, _ in problems)
        ((total, distinct, *found),) = self.raw.all(f"SELECT count(*), count(DISTINCT {self._id}), {counts} FROM raw")
        if total == 0:
            raise TableError(f"{self.raw.what} holds no examples: a prediction table needs at least one.")
        for (condition, text), number in zip(problems, found, strict=True):
            if number:
                raise TableError(f"{self._where(condition)} {text}.")
        if distinct < total:
            query = f"SELECT {self._id} FROM raw GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
            ((repeated,),) = self.raw.all(query)
            raise TableError(
                f"{self.raw.what} holds the id '{repeated}' more than once: name every example differently."
            )
        self.num_examples = total

    def classes(self, options: ReadOptions) -> Classes:
        """Return the class names, and which class every label and prediction is."""
        scores = self.layout.scores
        num_scores = self._num_scores() if scores is not None else None
        own = self.raw.class_names if scores is None or scores.class_names is None else scores.class_names
        given, known = options.classes, None
        if given is None:
            given = own
        elif num_scores is not None and own is not None and set(own) <= set(given):
            # The file names its scores, and the person numbers the classes.
            known = own
        values = {column: self._distinct(column) for column in self._class_columns()}
        try:
            return settle_classes(self.raw.what, values, given, num_scores, known)
        except NoClassError as error:
            condition = f"{self._text(error.column)} = $value"
            where = self._where(condition, {"value": error.value})
            end = error.sentence_end("list all classes with --classes")
            raise TableError(f"{where} has the {error.column} '{error.value}', which {end}") from None

    def join_classes(self, classes: Classes) -> None:
        """Make the index of every label and prediction available to the queries that follow."""
        for column, indices in classes.indices.items():
            given = {"values": list(indices), "places": list(indices.values())}
            rows = "unnest($values::VARCHAR[]) AS value, unnest($places::INT[]) AS place"
            self.raw.all(f"CREATE TABLE class_of_{column} AS SELECT {rows}", given)

    def warn_of_unknown(self, classes: Classes) -> None:
        """Warn of labels that the model does not know."""
        counted = f"SELECT of_label.place AS place, count(*) FROM {self._joined()} GROUP BY 1 ORDER BY 1"
        rows = [(place, number) for place, number in self.raw.all(counted) if place >= len(classes.known)]
        names = [classes.names[place] for place, _ in rows]
        log_unknown_labels(self.raw.what, names, sum(number for _, number in rows))

    def slices(self) -> tuple[str, ...]:
        """Return the further columns of few different values. A log line names those that are left out."""
        found: list[str] = []
        left: list[str] = []
        for name in self.layout.others:
            usable = not is_nested(self.raw.types[name]) and name.lower() not in RESERVED
            if usable:
                text = as_text(name, self.raw.types[name])
                limited = f"SELECT DISTINCT {text} FROM raw LIMIT {MAX_SLICE_VALUES + 1}"
                ((number,),) = self.raw.all(f"SELECT count(*) FROM ({limited})")
                usable = number <= MAX_SLICE_VALUES and 2 * number <= max(self.num_examples, 40)
            (found if usable else left).append(name)
        if left:
            shown = ", ".join(left[:8]) + (f" and {len(left) - 8} more" if len(left) > 8 else "")
            _LOG.info(
                "%s: columns left out (too many different values, lists, or a name that is taken): %s",
                self.raw.what,
                shown,
            )
        return tuple(found)

    def digest(self, classes: Classes) -> str:
        """Return the digest of ids, labels and class names."""
        query = f"SELECT {self._id} AS id, of_label.place FROM {self._joined()} ORDER BY ALL"
        with sql.reading(self.raw.what):
            return digest_of(self.raw.connection.sql(query).to_arrow_reader(65_536), classes.names)

    def batches(
        self, schema: pa.Schema, slices: tuple[str, ...], reader: ScoreReader | None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the table to write, in any order."""
        layout, types = self.layout, self.raw.types
        wanted = [f"{self._id} AS sample_id", "of_label.place AS label"]
        wanted += ["of_prediction.place AS prediction"] if layout.prediction else []
        for column in self._confidences():
            name = getattr(layout, column)
            wanted.append(f"greatest(0, least(1, {as_number(name, types[name])}))::FLOAT AS {column}")
        wanted += [f"{as_vector(layout.scores, types)} AS scores"] if layout.scores else []
        wanted += [f"{as_text(name, types[name])} AS {sql.quoted(name)}" for name in slices]
        size = 65_536 if reader is None else max(1, min(65_536, _BATCH_NUMBERS // reader.num_classes))
        query = f"SELECT {', '.join(wanted)} FROM {self._joined()}"
        for batch in self.raw.connection.sql(query).to_arrow_reader(size):
            columns: dict[str, Any] = {name: batch.column(name) for name in batch.schema.names}
            if reader is not None:
                columns = {**(read := reader.read(columns)), **columns}
                self._compare_confidences(columns, read)
            yield as_batch(columns, schema)

    def _compare_confidences(self, columns: dict[str, Any], read: dict[str, Any]) -> None:
        """Note where the file's own confidences are not those of its scores."""
        for name in self._confidences():
            same = is_rounding(numbers(columns[name]), read[name].astype(np.float64))
            self.confidences_stated |= not same.all()

    def _class_columns(self) -> list[str]:
        return ["label"] if self.layout.prediction is None else ["label", "prediction"]

    def _confidences(self) -> list[str]:
        return [name for name in ("confidence", "label_confidence") if getattr(self.layout, name) is not None]

    def _text(self, column: str) -> str:
        name = getattr(self.layout, column)
        return as_text(name, self.raw.types[name])

    def _joined(self) -> str:
        joins = (
            f"JOIN class_of_{column} AS of_{column} ON {self._text(column)} = of_{column}.value"
            for column in self._class_columns()
        )
        return f"raw {' '.join(joins)}"

    def _distinct(self, column: str) -> set[str]:
        """Return the different values of a column of classes. Raise PctError where there are too many."""
        rows = self.raw.all(f"SELECT DISTINCT {self._text(column)} FROM raw LIMIT {MAX_CLASSES + 1}")
        name = getattr(self.layout, column)
        if len(rows) > MAX_CLASSES:
            raise TableError(
                f"{self.raw.what}: the column '{name}' holds more than {MAX_CLASSES:,} different values, which are no "
                f"classes: name the right one with --columns {column}=NAME."
            )
        found = {value for (value,) in rows}
        if found and all(value.startswith("[") and value.endswith("]") for value in found):
            raise _several(self.raw.what, name, column)
        return found

    def _num_scores(self) -> int:
        scores = self.layout.scores
        assert scores is not None  # as the caller saw
        if scores.class_names is not None:
            return len(scores.class_names)
        vector = as_vector(scores, self.raw.types)
        lengths = f"SELECT len({vector}) AS number, count(*) AS times FROM raw GROUP BY 1"
        rows = self.raw.all(f"{lengths} ORDER BY times DESC, number DESC NULLS LAST LIMIT 2")
        usual = rows[0][0]
        if len(rows) > 1 or not usual:
            text = f"has {scores.kind} that are no list of {usual or 2:,} numbers as the other examples have"
            raise TableError(f"{self._where(f'len({vector}) IS DISTINCT FROM {usual or 0}')} {text}: give one a class.")
        return int(usual)

    def _where(self, condition: str, values: dict[str, Any] | None = None) -> str:
        """Name the first row for which a condition holds: file, id, and row."""
        with sql.reading(self.raw.what):
            self.raw.connection.execute("SET preserve_insertion_order = true")
        numbered = f"SELECT {self._id} AS id, {condition} AS wrong, row_number() OVER () AS place FROM raw"
        query = f"SELECT id, place FROM ({numbered}) WHERE wrong ORDER BY place LIMIT 1"
        ((name, place),) = self.raw.all(query, values)
        return f"{self.raw.what}: example {place:,}" + (f" ('{name}')" if name else "")


def _several(what: str, name: str, meaning: str) -> TableError:
    if meaning == "sample_id":
        return TableError(
            f"{what}: the column '{name}' holds lists or records: give each example an id that is a text."
        )
    return TableError(
        f"{what}: the column '{name}' holds several classes for an example, and one is compared: "
        "write a table for each label, with the classes yes and no."
    )
