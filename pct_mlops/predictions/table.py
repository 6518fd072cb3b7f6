"""A handle on one model's predictions for one evaluation set."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy.typing as npt
import pyarrow as pa

from pct_mlops.errors import TableError
from pct_mlops.predictions import logits, pairing, sql
from pct_mlops.predictions.arrays import checked_columns, softmax_columns, to_arrow
from pct_mlops.predictions.schema import (
    SCHEMA_VERSION,
    TableInfo,
    arrow_schema,
    check_class_names,
    check_slices,
    digest_of,
    read_info,
    to_metadata,
)
from pct_mlops.predictions.writing import without_vectors, write, write_aside


class Predictions:
    """Lazy handle on a Parquet file (or, before it is saved, on an Arrow table); one row per example.

    Rows are read through DuckDB, a few columns at a time: a table may be far larger than memory. `Predictions.load`
    opens a file, and `Predictions.from_arrays` makes a table of arrays.

    Attributes:
        info: what the table says about itself.

    Example:
        >>> from pct_mlops import Predictions
        >>> logits = [[2.0, 0.0], [0.0, 2.0]]
        >>> table = Predictions.from_arrays(["a", "b"], [0, 0], logits, class_names=("cat", "dog"))
        >>> table.accuracy(), table.save("predictions.parquet").info.num_examples
        (0.5, 2)
    """

    def __init__(self, info: TableInfo, *, path: Path | None = None, table: pa.Table | None = None) -> None:
        self.info = info
        self._path = path
        self._table = table
        self._hashes: pairing.RowHashes | None = None
        self._look: Future[bool] | None = None

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Open a table; only its footer is read. PctError names the file and what is wrong with it."""
        path = Path(path)
        return cls(read_info(path), path=path)

    @classmethod
    def from_arrays(
        cls,
        sample_ids: Sequence[str],
        labels: npt.ArrayLike,
        logits: npt.ArrayLike,
        *,
        class_names: Sequence[str],
        model_name: str = "",
        model_version: str | int = "",
        model_uri: str = "",
        dataset: str = "",
        split: str = "",
        preprocessing: str = "",
        features: npt.ArrayLike | None = None,
        slices: Mapping[str, Sequence[str | None]] | None = None,
        keep_logits: bool = True,
    ) -> Predictions:
        """Predictions from labels [N], logits [N, C] and optionally features [N, D] and string columns [N].

        Confidences are softmax probabilities computed in float64. PctError for unequal lengths, labels outside
        [0, C), empty or repeated sample_ids and non-finite numbers.
        """
        class_names = tuple(class_names)
        check_class_names(class_names, written=False)
        arrays = {"label": labels, "logits": logits} | ({} if features is None else {"features": features})
        ids, columns = checked_columns(sample_ids, arrays, slices or {}, len(class_names))
        values = columns.pop("logits")
        if keep_logits:
            columns["logits"] = values
        prediction, confidence, label_confidence = softmax_columns(values, columns["label"])
        columns.update(prediction=prediction, confidence=confidence, label_confidence=label_confidence)
        names = check_slices(slices or {}, "the table")
        num_features = columns["features"].shape[1] if "features" in columns else 0
        schema = arrow_schema(len(class_names), num_features, names, logits=keep_logits)
        columns.update({name: list((slices or {})[name]) for name in names})
        table = pa.table([ids] + [to_arrow(columns[f.name], f.type) for f in list(schema)[1:]], schema=schema)
        info = TableInfo(
            schema_version=SCHEMA_VERSION,
            model_name=model_name,
            model_version=str(model_version),
            model_uri=model_uri,
            dataset=dataset,
            split=split,
            class_names=class_names,
            preprocessing=preprocessing,
            digest="",
            num_examples=table.num_rows,
            columns=tuple(schema.names),
            slices=names,
        )
        unsigned = cls(info, table=table)
        return cls(replace(info, digest=unsigned._digest()), table=table)

    @property
    def path(self) -> Path | None:
        """Where the table lies, None before it is saved."""
        return self._path

    @staticmethod
    def connect() -> duckdb.DuckDBPyConnection:
        """A connection on which tables can be joined."""
        return sql.connect()

    @staticmethod
    def show_progress(cursor: duckdb.DuckDBPyConnection) -> None:
        """Let a long query on this cursor show how far it is, where a person looks."""
        sql.show_progress(cursor)

    def check_joined(self, number: int) -> None:
        """PctError unless `number` pairs are all examples of this table."""
        pairing.check_joined(number, self.info)

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str, *, vectors: bool = False) -> None:
        """Make the table visible to SQL on this connection and its cursors as `name`.

        A table in memory is copied, and without its `vectors` (logits, features) unless they are asked for.
        """
        with sql.reading(self._what):
            if self._path is not None:
                sql.view_parquet(connection, name, self._path)
            else:
                table = self._table
                sql.view_arrow(connection, name, table if vectors else without_vectors(table))

    def save(self, path: str | Path) -> Predictions:
        """Write the table: aside in the same folder, flushed to disk, then renamed. Returns the handle on the file."""
        check_class_names(self.info.class_names, written=True)
        path = Path(path)
        table = self._table
        if table is not None:
            schema = table.schema.with_metadata(to_metadata(self.info))
            write_aside(path, lambda aside: write(aside, schema, table.to_batches()))
        elif self._path is not None and not (path.exists() and path.samefile(self._path)):
            source = self._path
            write_aside(path, lambda aside: shutil.copyfile(source, aside))
        return Predictions.load(path)

    def verify(self) -> None:
        """Check every row's values, its logits too, and recompute the digest; PctError when the file was altered."""
        self.check_rows()
        if self._num_logits > logits.MAX_LOGITS:
            self._check_logits()
        if self._digest() != self.info.digest:
            raise TableError(f"{self._what} was altered after it was written (its digest differs): write it again.")

    def check_rows(self) -> pairing.RowHashes:
        """Labels and predictions in range, ids unique, confidences in [0, 1]: one pass in SQL, done once a handle.

        Up to logits.MAX_LOGITS logits of a file are read as well: they must agree with the predictions. Returns
        what the rows' hashes say, by which two tables are found to hold the same ids and labels.
        """
        if self._hashes is None:
            self._look_at_logits()
            with sql.connect() as connection:
                self.attach(connection, "mine")
                found = pairing.check_rows(connection, "mine", self.info, self._what)
            if self._look is not None and not self._look.result():
                self._check_logits()
            self._hashes = found
        return self._hashes

    def accuracy(self) -> float:
        """Share of examples whose prediction is their label."""
        with sql.connect() as connection:
            self.attach(connection, "mine")
            with sql.reading(self._what):
                (share,) = sql.one(connection, "SELECT avg((prediction = label)::INT) FROM mine")
        return float(share)

    def pairs(self, old: Predictions, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """This (new) table joined to `old` by sample_id, lazily; PctError says what differs if not comparable.

        Columns: sample_id, label, old_prediction, new_prediction, old_confidence, new_confidence,
        old_label_confidence, new_label_confidence, old_right, new_right, then the slice columns of both (the new
        table's where both have one). The views `old_table` and `new_table` appear on `connection`.
        """
        connection = connection or sql.connect()
        pairing.check_classes(old.info, self.info)
        old._look_at_logits()
        self._look_at_logits()
        hashes = old.check_rows(), self.check_rows()
        old.attach(connection, "old_table")
        self.attach(connection, "new_table")
        with sql.reading(f"{old._what} or {self._what}"):
            pairing.check_same_examples(connection, old.info, self.info, hashes)
            by_hash = all(side.distinct for side in hashes)
            return pairing.joined(connection, old.info, self.info, by_hash=by_hash)

    def nfr(self, old: Predictions) -> float:
        """Negative flip rate: share of examples that `old` gets right and this table wrong."""
        return self._share(old, "old_right AND NOT new_right")

    def pfr(self, old: Predictions) -> float:
        """Positive flip rate: share of examples that `old` gets wrong and this table right."""
        return self._share(old, "NOT old_right AND new_right")

    def __add__(self, other: Predictions) -> Predictions:
        """Ensemble: the mean of the members' logits, every member weighing the same, however the sum is nested."""
        if "logits" not in self.info.columns or "logits" not in other.info.columns:
            lacking = self if "logits" not in self.info.columns else other
            raise TableError(f"{lacking._what} holds no logits, which an ensemble averages: score the model again.")
        connection = sql.connect()
        other.pairs(self, connection)
        self.attach(connection, "old_table", vectors=True)
        other.attach(connection, "new_table", vectors=True)
        info, batches = pairing.mean_logits(connection, self.info, other.info, softmax_columns)
        # The sum may be larger than memory: it lives in a temporary file until the handle is dropped.
        folder = tempfile.mkdtemp(prefix="pct-mlops-")
        path = Path(folder) / "ensemble.parquet"
        schema = arrow_schema(len(info.class_names), 0, info.slices, logits=True).with_metadata(to_metadata(info))
        with sql.reading(f"{self._what} or {other._what}"):
            write(path, schema, batches)
        result = Predictions.load(path)
        weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
        return result

    @property
    def _what(self) -> str:
        return str(self._path) if self._path is not None else f"the predictions of {self.info.title}"

    @property
    def _num_logits(self) -> int:
        return self.info.num_examples * len(self.info.class_names) if "logits" in self.info.columns else 0

    def _share(self, old: Predictions, condition: str) -> float:
        pairs = self.pairs(old)
        with sql.reading(self._what):
            ((share, number),) = pairs.aggregate(f"avg(({condition})::INT), count(*)").fetchall()
        pairing.check_joined(number, self.info)
        return float(share)

    def _look_at_logits(self) -> None:
        """Begin to, beside what else there is to read. A table in memory was made of its logits."""
        if self._look is None and self._path is not None and 0 < self._num_logits <= logits.MAX_LOGITS:
            with_one = ThreadPoolExecutor(1)
            self._look = with_one.submit(logits.agree, self._path, len(self.info.class_names))
            with_one.shutdown(wait=False)

    def _check_logits(self) -> None:
        """PctError with the number of rows whose logits disagree."""
        with sql.connect() as connection:
            self.attach(connection, "mine", vectors=True)
            logits.check(connection, "mine", len(self.info.class_names), self._what)

    def _digest(self) -> str:
        with sql.connect() as connection, sql.reading(self._what):
            self.attach(connection, "mine")
            ordered = connection.sql("SELECT sample_id, label FROM mine ORDER BY sample_id, label")
            return digest_of(ordered.to_arrow_reader(65_536), self.info.class_names)
