"""The handle on one model's predictions for one evaluation set."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pct_mlops.errors import TableError
from pct_mlops.predictions import logits, pairing, sql
from pct_mlops.predictions.alignment import align, joined_class_order, shared_class_order
from pct_mlops.predictions.building import Given, build_from_call
from pct_mlops.predictions.foreign import ReadOptions, convert_file, convert_frame, is_foreign
from pct_mlops.predictions.mean_logits import write_mean
from pct_mlops.predictions.schema import TableInfo, check_class_names, read_info
from pct_mlops.predictions.writing import TemporaryTable, without_vectors, write_aside, write_table


class Predictions:
    """Handle on a prediction table, with one row for each example. Rows are read when they are needed.

    The table is a Parquet file, or an Arrow table before it is saved. It may be far larger than memory, since DuckDB
    reads a few columns at a time. `load` opens a table of this package. `from_file`, `from_frame` and `from_arrays`
    take predictions of any program.

    Attributes:
        info: the description that the table carries of itself.
        absent: meanings of columns that the caller named and a file of another program lacks. None for other tables.

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
        self._is_temporary = False
        self.absent: tuple[str, ...] | None = None

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Open a table of this package, and read its footer only. Raise PctError that says what is wrong with it."""
        path = Path(path)
        return cls(read_info(path), path=path)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str] | None = None,
        class_names: Sequence[str] | None = None,
        split: str = "test",
    ) -> Predictions:
        """Read predictions that any program wrote: Parquet, CSV, JSON lines, .npz, or a folder of such parts.

        A table of this package is opened as it is.

        Args:
            path: The file or folder.
            columns: Meaning of a column -> its name in the file, for example {"label": "gold"}.
            class_names: In the order of the class numbers [C], by default those of the file.
            split: Which part of the data set the examples are.

        Raises:
            PctError: A column is missing, or a value does not fit. The message names the file, and the line or id.
        """
        if not is_foreign(Path(path)):
            return cls.load(path)
        return cls.convert(Path(path), ReadOptions.make(columns, class_names, split))

    @classmethod
    def convert(cls, path: Path, options: ReadOptions) -> Predictions:
        """Read a file or folder of another program into a temporary table."""
        return cls.temporary(convert_file(path, options))

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        columns: Mapping[str, str] | None = None,
        class_names: Sequence[str] | None = None,
        split: str = "test",
        model_name: str = "",
    ) -> Predictions:
        """Read predictions from a pandas or polars frame, an Arrow table, a DuckDB relation or a dictionary of columns.

        Columns are found by their usual names, or by `columns`, and what does not fit is refused as in `from_file`.
        """
        return cls.temporary(convert_frame(frame, ReadOptions.make(columns, class_names, split), model_name))

    @classmethod
    def temporary(cls, made: TemporaryTable) -> Predictions:
        """Return the handle on a table whose folder goes with it."""
        table = cls(made.info, path=made.path)
        table._is_temporary, table.absent = True, made.absent
        weakref.finalize(table, shutil.rmtree, made.folder, ignore_errors=True)
        return table

    @classmethod
    def from_arrays(
        cls,
        *arrays: Any,
        labels: Any = None,
        predictions: Any = None,
        probabilities: Any = None,
        logits: Any = None,
        scores: Any = None,
        sample_ids: Sequence[Any] | None = None,
        class_names: Sequence[str] | None = None,
        known_classes: Sequence[str] | None = None,
        features: Any = None,
        slices: Mapping[str, Sequence[str | None]] | None = None,
        keep_logits: bool = True,
        **about: str | int,
    ) -> Predictions:
        """Build a table from arrays or tensors of any library, or from lists.

        Args:
            arrays: The labels, or sample_ids, labels and logits.
            labels: The class of each example [N], as class numbers or names.
            predictions: What the model said [N], by default the class of the greatest score.
            probabilities: Of every class [N, C].
            logits: Scores of every class [N, C] whose softmax are probabilities.
            scores: Confidences in the predictions [N], where nothing is known of the other classes.
            sample_ids: The name of each example [N].
            class_names: In the order of the class numbers [C], by default those that occur.
            known_classes: Those that the model can predict, in the order of its scores, by default all class names.
            features: For the search of similar examples [N, D].
            slices: Texts by which examples can be told apart [N], by column.
            keep_logits: Whether the table holds the logits.
            about: `model_name`, `model_version`, `model_uri`, `dataset`, `split` and `preprocessing`.

        Returns:
            The table, in memory until it is saved. It has no column for what is not known of the model.

        Raises:
            PctError: Arrays that do not fit each other, or probabilities given as logits.
        """
        given = Given(labels, predictions, probabilities, logits, scores, features)
        names = {"class_names": class_names, "known_classes": known_classes}
        info, table = build_from_call(
            arrays, given, sample_ids, **names, slices=slices or {}, keep_logits=keep_logits, about=about
        )
        return cls(replace(info, digest=cls(info, table=table)._digest()), table=table)

    @property
    def path(self) -> Path | None:
        """The file that holds the table, None before it is saved."""
        return self._path

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str, *, vectors: bool = False) -> None:
        """Make the table visible to SQL on this connection and its cursors as `name`.

        A table in memory is copied, and without its `vectors` (logits, features) unless they are asked for.
        """
        with sql.reading(self.what):
            if self._path is not None:
                sql.view_parquet(connection, name, self._path)
            else:
                table = self._table
                sql.view_arrow(connection, name, table if vectors else without_vectors(table))

    def save(self, path: str | Path) -> Predictions:
        """Write the table as a whole or not at all, and return the handle on the file."""
        check_class_names(self.info.class_names, self.what, written=True)
        path = Path(path)
        if self._table is not None:
            write_table(path, self._table.schema, self._table.to_batches(), self.info)
        elif self._path is not None and self._is_temporary:
            file = pq.ParquetFile(self._path)
            write_table(path, file.schema_arrow, file.iter_batches(), self.info)
        elif self._path is not None and not (path.exists() and path.samefile(self._path)):
            source = self._path
            write_aside(path, lambda aside: shutil.copyfile(source, aside))
        return Predictions.load(path)

    def verify(self) -> None:
        """Check every row's values, its logits too, and the digest. Raise PctError when the file was altered."""
        self.check_rows()
        if self._num_logits > logits.MAX_LOGITS:
            self._check_logits()
        if self._digest() != self.info.digest:
            raise TableError(f"{self.what} was altered after it was written (its digest differs): write it again.")

    def check_rows(self) -> pairing.RowHashes:
        """Check that labels and predictions are classes, ids unique, and confidences in [0, 1], once a handle.

        Up to logits.MAX_LOGITS logits of a file are read as well: predictions and confidences must be theirs. Return
        the hashes of the rows, by which two tables are found to hold the same ids and labels.
        """
        if self._hashes is None:
            self._look_at_logits()
            with sql.connect() as connection:
                self.attach(connection, "mine")
                found = pairing.check_rows(connection, "mine", self.info, self.what)
            if self._look is not None and not self._look.result():
                self._check_logits()
            self._hashes = found
        return self._hashes

    def accuracy(self) -> float:
        """Return the share of examples whose prediction is their label."""
        with sql.connect() as connection:
            self.attach(connection, "mine")
            with sql.reading(self.what):
                (share,) = sql.one(connection, "SELECT avg((prediction = label)::INT) FROM mine")
        return float(share)

    def pairs(self, old: Predictions, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """Join this (new) table to `old` by sample_id, lazily. PctError says what differs if they do not compare.

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
        with sql.reading(f"{old.what} or {self.what}"):
            pairing.check_same_examples(connection, old.info, self.info, hashes)
            by_hash = all(side.distinct for side in hashes)
            return pairing.joined(connection, old.info, self.info, by_hash=by_hash)

    def nfr(self, old: Predictions) -> float:
        """Return the negative flip rate: the share of examples that `old` gets right and this table wrong."""
        return self._share(old, "old_right AND NOT new_right")

    def pfr(self, old: Predictions) -> float:
        """Return the positive flip rate: the share of examples that `old` gets wrong and this table right."""
        return self._share(old, "NOT old_right AND new_right")

    def __add__(self, other: Predictions) -> Predictions:
        """Return the ensemble: the mean of the members' logits, every member weighing the same."""
        return self.temporary(write_mean(*align(self, other, shared_class_order(self.info, other.info))))

    def aligned(self, new: Predictions) -> tuple[Predictions, Predictions]:
        """Return this table and a `new` one with one list of classes, or as they are where names do not tell them."""
        return align(self, new, joined_class_order(self.info, new.info))

    @property
    def what(self) -> str:
        """The name of the table in errors: the file that it is, or that it was read from."""
        if self._path is None:
            return f"the predictions of {self.info.title}"
        return self.info.path or str(self._path)

    @property
    def _num_logits(self) -> int:
        """Number of logits to check. It is 0 where predictions and confidences are stated apart from them."""
        number = self.info.num_examples * len(self.info.class_names)
        return number if any(logits.claims_of(self.info)) else 0

    def _share(self, old: Predictions, condition: str) -> float:
        old, new = old.aligned(self)
        pairs = new.pairs(old)
        with sql.reading(self.what):
            ((share, number),) = pairs.aggregate(f"avg(({condition})::INT), count(*)").fetchall()
        pairing.check_joined(number, self.info)
        return float(share)

    def _look_at_logits(self) -> None:
        """Start to check the logits in a thread. A table in memory needs no check, as it was made of its logits."""
        if self._look is None and self._path is not None and 0 < self._num_logits <= logits.MAX_LOGITS:
            pool = ThreadPoolExecutor(1)
            self._look = pool.submit(logits.agree, self._path, self.info)
            pool.shutdown(wait=False)

    def _check_logits(self) -> None:
        """Raise PctError with the number of rows whose logits say something else."""
        with sql.connect() as connection:
            self.attach(connection, "mine", vectors=True)
            logits.check(connection, "mine", self.info, self.what)
        if self._path is not None:
            logits.check_confidences(self._path, self.info, self.what)

    def _digest(self) -> str:
        with sql.connect() as connection, sql.reading(self.what):
            self.attach(connection, "mine")
            return pairing.digest_of_rows(connection, "mine", self.info.class_names)
