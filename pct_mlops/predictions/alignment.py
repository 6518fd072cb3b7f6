"""Brings two tables of the same classes into one order of classes, so that class numbers mean the same in both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pct_mlops.predictions import sql
from pct_mlops.predictions.arrow_numbers import as_column, numbers
from pct_mlops.predictions.pairing import digest_of_rows
from pct_mlops.predictions.schema import TableInfo, arrow_schema
from pct_mlops.predictions.writing import TemporaryTable, write_temporary

if TYPE_CHECKING:
    from pct_mlops.predictions.table import Predictions

_BATCH_NUMBERS = 4_000_000


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


def with_classes(table: Predictions, names: Sequence[str]) -> TemporaryTable:
    """Write a table again with its classes in another order, or with further ones."""
    info = table.info
    place_of = {name: place for place, name in enumerate(names)}
    places = np.array([place_of[name] for name in info.class_names], np.int32)
    connection = sql.connect()
    table.attach(connection, "mine", vectors=True)
    has = set(info.columns)
    num_features = 0
    if "features" in has:
        with sql.reading(table.what):
            num_features = int(sql.one(connection, "SELECT max(len(features)) FROM mine")[0] or 0)
    schema = arrow_schema(
        len(names),
        num_features,
        info.slices,
        logits="logits" in has,
        confidence="confidence" in has,
        label_confidence="label_confidence" in has,
    )
    changed = replace(info, class_names=tuple(names), columns=tuple(schema.names))
    columns = ", ".join(sql.quoted(name) for name in schema.names)
    size = max(1, min(65_536, _BATCH_NUMBERS // len(names)))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in connection.sql(f"SELECT {columns} FROM mine").to_arrow_reader(size):
            arrays = [_moved(batch.column(field.name), field, places) for field in schema]
            yield pa.record_batch(arrays, schema=schema)

    with sql.reading(table.what):
        made = write_temporary(changed, schema, batches())
        sql.view_parquet(connection, "moved", made.path)
        return replace(made, info=replace(changed, digest=digest_of_rows(connection, "moved", names)))


def _moved(column: pa.Array, field: pa.Field, places: npt.NDArray[np.int32]) -> pa.Array:
    if field.name in ("label", "prediction"):
        return as_column(places[numbers(column)], field.type)
    if field.name == "logits":
        # Only tables of the very same classes hold logits here: no class has none.
        values = numbers(column.flatten()).reshape(len(column), -1)[:, np.argsort(places)]
        return as_column(values, field.type)
    return column.cast(field.type)
