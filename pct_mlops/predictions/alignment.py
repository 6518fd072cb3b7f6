"""Brings two tables into one list of classes, so that class numbers mean the same in both."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pct_mlops.errors import TableError
from pct_mlops.predictions import sql
from pct_mlops.predictions.arrow_numbers import as_column, numbers
from pct_mlops.predictions.pairing import digest_of_rows
from pct_mlops.predictions.schema import TableInfo, arrow_schema
from pct_mlops.predictions.writing import TemporaryTable, write_temporary

if TYPE_CHECKING:
    from pct_mlops.predictions.table import Predictions

_BATCH_NUMBERS = 4_000_000
_PREDICTED = "SELECT DISTINCT prediction FROM mine"
_NEVER_PREDICTED = "SELECT label FROM mine EXCEPT SELECT prediction FROM mine"

# The (label, prediction) pairs of the old and of the new table that count as right.
Aliased = tuple[Collection[tuple[str, str]], Collection[tuple[str, str]]]


def shared_class_order(old: TableInfo, new: TableInfo) -> tuple[str, ...] | None:
    """Return the class names under which two tables can be compared, in the order of the new one, or None.

    Both must have the same names, in any order. A table whose names are only those that occur in it may lack some.
    """
    missing = [name for name in old.class_names if name not in set(new.class_names)]
    further = set(new.class_names) - set(old.class_names)
    unique = all(len(set(info.class_names)) == len(info.class_names) for info in (old, new))
    if not unique or (missing and not new.classes_from_data) or (further and not old.classes_from_data):
        return None
    return (*new.class_names, *missing)


def joined_class_order(old: TableInfo, new: TableInfo) -> tuple[str, ...] | None:
    """Return the classes of the new table in their order, then those that only the old one has.

    Return None where a name stands for two classes, because then names do not tell which classes are the same.
    """
    if old.class_names == new.class_names:
        return new.class_names
    if any(len(set(info.class_names)) < len(info.class_names) for info in (old, new)):
        return None
    known = set(new.class_names)
    return (*new.class_names, *(name for name in old.class_names if name not in known))


def known_classes(table: Predictions, other: TableInfo) -> frozenset[str]:
    """Return the classes that the model of a table can predict, as far as the table and the `other` one tell.

    These are the classes that the table states. Where their names were only taken from the data, they are those of
    both tables without the labels that the model never predicts: such a name may come from the labels alone.

    Raise PctError where a model predicts a class that it does not know.
    """
    info = table.info
    if info.known_classes:
        known = frozenset(info.known_classes)
        wrong = sorted({info.class_names[index] for index in _found(table, _PREDICTED)} - known)
        if wrong:
            raise TableError(
                f"{table.what} predicts '{wrong[0]}', which is none of the classes that its model knows: write the "
                "table again."
            )
        return known
    if not info.classes_from_data:
        return frozenset(info.class_names)
    never = {info.class_names[index] for index in _found(table, _NEVER_PREDICTED)}
    return frozenset({*info.class_names, *other.class_names} - never)


def _found(table: Predictions, query: str) -> list[int]:
    """Return the class indices that a query over the table finds."""
    table.check_rows()
    with sql.connect() as connection, sql.reading(table.what):
        table.attach(connection, "mine")
        return [index for (index,) in connection.execute(query).fetchall()]


def align(
    old: Predictions, new: Predictions, names: Sequence[str] | None, right: Aliased | None = None
) -> tuple[Predictions, Predictions]:
    """Return two tables with the classes `names`, or as they are where it is None.

    With `right`, predictions that count as right under an alias become the label, in the old and in the new table.
    """
    if names is None:
        return old, new
    aliased = right or ((), ())
    old, new = (
        table
        if table.info.class_names == tuple(names) and not pairs
        else table.temporary(with_classes(table, names, pairs))
        for table, pairs in zip((old, new), aliased, strict=True)
    )
    return old, new


def with_classes(table: Predictions, names: Sequence[str], right: Collection[tuple[str, str]] = ()) -> TemporaryTable:
    """Write a table again with its classes in another order, or with further ones.

    A prediction becomes the label where (label, prediction) is in `right`. Logits are left out where they do not fit:
    the model has none for further classes, and they are not largest at a label that it did not predict.
    """
    # A class number outside the classes could not be moved.
    table.check_rows()
    info = table.info
    place_of = {name: place for place, name in enumerate(names)}
    places = np.array([place_of[name] for name in info.class_names], np.int32)
    right_places = [(place_of[label], place_of[prediction]) for label, prediction in right]
    connection = sql.connect()
    table.attach(connection, "mine", vectors=True)
    if right or len(names) > len(info.class_names):
        _check_digest(connection, table)
    has = set(info.columns)
    num_features = 0
    if "features" in has:
        with sql.reading(table.what):
            num_features = int(sql.one(connection, "SELECT max(len(features)) FROM mine")[0] or 0)
    schema = arrow_schema(
        len(names),
        num_features,
        info.slices,
        logits="logits" in has and len(names) == len(info.class_names) and not right,
        confidence="confidence" in has,
        label_confidence="label_confidence" in has,
    )
    changed = replace(info, class_names=tuple(names), columns=tuple(schema.names), known_classes=_known_of(info, names))
    columns = ", ".join(sql.quoted(name) for name in schema.names)
    size = max(1, min(65_536, _BATCH_NUMBERS // len(names)))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in connection.sql(f"SELECT {columns} FROM mine").to_arrow_reader(size):
            arrays = {field.name: _moved(batch.column(field.name), field, places) for field in schema}
            if right:
                arrays["prediction"] = _corrected(arrays["label"], arrays["prediction"], right_places)
            yield pa.record_batch(list(arrays.values()), schema=schema)

    with sql.reading(table.what):
        made = write_temporary(changed, schema, batches())
        sql.view_parquet(connection, "moved", made.path)
        return replace(made, info=replace(changed, digest=digest_of_rows(connection, "moved", names)))


def _known_of(info: TableInfo, names: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that the model knows where these are fewer than `names`, else ()."""
    if info.classes_from_data:
        return info.known_classes
    return info.model_classes if len(info.model_classes) < len(names) else ()


def _check_digest(connection: duckdb.DuckDBPyConnection, table: Predictions) -> None:
    """Raise PctError where the rows of `mine` are not those of the digest, which the moved table would hide."""
    with sql.reading(table.what):
        found = digest_of_rows(connection, "mine", table.info.class_names)
    if found != table.info.digest:
        raise TableError(f"{table.what} was altered after it was written (its digest differs): write it again.")


def _moved(column: pa.Array, field: pa.Field, places: npt.NDArray[np.int32]) -> pa.Array:
    if field.name in ("label", "prediction"):
        return as_column(places[numbers(column)], field.type)
    if field.name == "logits":
        values = numbers(column.flatten()).reshape(len(column), -1)[:, np.argsort(places)]
        return as_column(values, field.type)
    return column.cast(field.type)


def _corrected(label: pa.Array, prediction: pa.Array, right: Sequence[tuple[int, int]]) -> pa.Array:
    """Return the predictions, with the label in place of those that count as right."""
    labels, predictions = numbers(label), numbers(prediction)
    changed = predictions.copy()
    for target, said in right:
        changed[(labels == target) & (predictions == said)] = target
    return as_column(changed, prediction.type)
