"""Queries the joined pair of tables in SQL: sums by class and slice, calibration, changed examples.

No table is read into memory as a whole. Whatever only some policies or views need (slices, calibration, single flips)
is queried once, when it is first asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from typing import Any

import duckdb

from pct_mlops.comparison.calibration import BINS, SIDE, SIDE_SUMS, calibration_of
from pct_mlops.comparison.flips import CREATE_CHANGED, FALL
from pct_mlops.comparison.totals import Calibration, Totals, totals_of
from pct_mlops.config import unknown
from pct_mlops.config.numbers import NO_VALUE
from pct_mlops.errors import ConfigError, TableError, reason_of
from pct_mlops.predictions.sql import quoted, show_progress

MAX_SLICES = 10_000
_MAX_GROUPS = 200_000

_IS_APART = "old_right AND NOT new_right AND sample_id IN (SELECT sample_id FROM apart)"
# One pass over the pairs. Decimals add up exactly, so the sum of confidences does not depend on the thread count.
_CREATE_CELLS = f"""
CREATE TABLE cells AS
SELECT label, old_prediction, new_prediction, count(*) AS num,
       sum((new_confidence - new_label_confidence)::DECIMAL(18, 9)) FILTER (WHERE NOT is_apart) AS excess_confidence,
       count(*) FILTER (WHERE fall <= 0.1 AND NOT is_apart) AS fell_little,
       count(*) FILTER (WHERE fall >= 0.5 AND NOT is_apart) AS fell_far,
       count(*) FILTER (WHERE is_apart) AS num_apart
FROM (SELECT label, old_prediction, new_prediction, new_confidence, new_label_confidence, {FALL} AS fall,
             {{is_apart}} AS is_apart FROM pairs)
GROUP BY label, old_prediction, new_prediction
"""
_CLASS_TOTALS = """
WITH kinds AS (
    SELECT *, old_prediction = label AS old_right, new_prediction = label AS new_right,
           old_right AND NOT new_right AS negative
    FROM cells
)
SELECT label,
       sum(num) FILTER (WHERE old_right AND new_right),
       sum(num) FILTER (WHERE negative),
       sum(num) FILTER (WHERE NOT old_right AND new_right),
       sum(num) FILTER (WHERE NOT old_right AND NOT new_right),
       sum(num) FILTER (WHERE NOT old_right AND NOT new_right AND old_prediction <> new_prediction),
       sum(excess_confidence) FILTER (WHERE negative),
       sum(fell_little) FILTER (WHERE negative),
       sum(fell_far) FILTER (WHERE negative),
       sum(num_apart) FILTER (WHERE negative)
FROM kinds GROUP BY label
"""
# The same sums for each value of each column: by class where that is asked for, and by cost so that they can be
# weighed. Grouping sets make the join, which is most of the work, once for all columns.
_SLICE_TOTALS = f"""
WITH kinds AS (
    SELECT {{values}}, {{label}} AS class_index, {{cost}} AS cost, old_right, new_right,
           old_prediction <> new_prediction AS changed, old_right AND NOT new_right AS negative,
           {{is_apart}} AS is_apart,
           (new_confidence - new_label_confidence)::DECIMAL(18, 9) AS excess, {FALL} AS fall
    FROM sliced {{costs}}
)
SELECT {{names}}, class_index, cost,
       count(*) FILTER (WHERE old_right AND new_right),
       count(*) FILTER (WHERE negative),
       count(*) FILTER (WHERE NOT old_right AND new_right),
       count(*) FILTER (WHERE NOT old_right AND NOT new_right),
       count(*) FILTER (WHERE NOT old_right AND NOT new_right AND changed),
       sum(excess) FILTER (WHERE negative AND NOT is_apart),
       count(*) FILTER (WHERE negative AND fall <= 0.1 AND NOT is_apart),
       count(*) FILTER (WHERE negative AND fall >= 0.5 AND NOT is_apart),
       count(*) FILTER (WHERE is_apart)
FROM kinds GROUP BY GROUPING SETS ({{sets}}) LIMIT {_MAX_GROUPS + 1}
"""
Scope = tuple[str | None, int | None]
Both = tuple[Calibration, Calibration]


class Pairs:
    """Sums over the views `pairs` and `sliced` of a connection, each counted once. Safe to share between threads.

    Args:
        connection: has the views `pairs` and `sliced`.
        slice_columns: slice column -> table that it comes from.
        apart: ids of examples whose negative flips are left out of flip rates.
        costs: cost of a flip by class index; None without costs.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        slice_columns: Mapping[str, str],
        apart: Collection[str],
        costs: Sequence[float] | None,
    ) -> None:
        self.slice_columns = tuple(slice_columns)
        self.sources = dict(slice_columns)
        self._connection = connection
        self._costs = costs
        self._is_apart = f"({_IS_APART})" if apart else "false"
        self._lock = threading.RLock()
        self._tables: set[str] = set()
        self._slices: dict[tuple[str, bool], dict[Scope, Totals]] = {}
        self._bins: dict[tuple[str | None, bool, frozenset[int] | None], dict[Scope, Both]] = {}
        if apart:
            self.query("CREATE TABLE apart AS SELECT unnest($ids::VARCHAR[]) AS sample_id", {"ids": sorted(apart)})
        if costs is not None:
            given = {"costs": list(costs)}
            create = "CREATE TABLE class_costs AS SELECT unnest($costs::DOUBLE[]) AS class_cost"
            self.query(f"{create}, generate_subscripts($costs::DOUBLE[], 1) - 1 AS class_index", given)

    def classes(self) -> dict[int, Totals]:
        """Return the sums by target class, for the classes that have examples."""
        self.query(_CREATE_CELLS.format(is_apart=self._is_apart))
        totals = {row[0]: totals_of(row[1:]) for row in self.query(_CLASS_TOTALS)}
        if self._costs is None:
            return totals
        return {label: part.weighed(self._costs[label]) for label, part in totals.items()}

    def slice_totals(self, column: str, *, by_class: bool = False) -> dict[Scope, Totals]:
        """Return the sums of a column by (value, None), or with `by_class` by (value, class index)."""
        with self._lock:
            key = (column, by_class)
            if key not in self._slices:
                self._check_column(column)
                self._slices[key] = self._count_slices([column], by_class)[column]
            return self._slices[key]

    def all_slices(self) -> dict[str, dict[Scope, Totals]]:
        """Return the sums by value for every column that is not too fine, counted in one pass."""
        with self._lock:
            known = {column for column, by_class in self._slices if not by_class}
            new = [name for name in self.slice_columns if name not in known and not self.is_too_fine(name)]
            if new:
                self._slices.update(
                    {(column, False): found for column, found in self._count_slices(new, False).items()}
                )
            return {name: self._slices[name, False] for name in self.slice_columns if (name, False) in self._slices}

    def calibration(
        self, column: str | None, *, by_class: bool = False, only: Collection[int] | None = None
    ) -> dict[Scope, Both]:
        """Return the calibration of the old and the new model by value of a column (None: over all) and by class.

        `only` keeps to the examples of these classes.
        """
        with self._lock:
            key = (column, by_class, None if only is None else frozenset(only))
            if key not in self._bins:
                if column is not None:
                    self._check_column(column)
                self._bins[key] = self._calibrations(column, by_class, only)
            return self._bins[key]

    def changed_slices(self, column: str) -> str:
        """Make a table (sample_id, slice_value) of the changed examples, and return its name."""
        with self._lock:
            self.check_slice(column)
            name = f"changed_slice_{self.slice_columns.index(column)}"
            return self.table(
                name,
                f"CREATE TABLE {name} AS SELECT sample_id, {_value(column)} AS slice_value FROM sliced "
                "WHERE old_prediction <> new_prediction",
            )

    def changed(self) -> str:
        """Make the table of changed examples, and return its name."""
        return self.table("changed", CREATE_CHANGED)

    def table(self, name: str, create: str, values: Mapping[str, Any] | None = None) -> str:
        """Make a table, if it is not there yet, and return its name."""
        with self._lock:
            if name not in self._tables:
                self.query(create, values)
                self._tables.add(name)
            return name

    def query(self, query: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """Return all rows of a query, or raise PctError when the tables have gone."""
        # Every call has its own cursor, because two threads must not use one connection at once.
        try:
            with self._connection.cursor() as cursor:
                show_progress(cursor)
                return cursor.execute(query, values or {}).fetchall()
        except duckdb.Error as error:
            why = reason_of(error)
            raise TableError(f"The tables cannot be compared ({why}): check that their files exist.") from error

    def arrays(self, query: str) -> dict[str, Any]:
        """Return all rows of a query as arrays by column. NULL is masked."""
        try:
            with self._connection.cursor() as cursor:
                return dict(cursor.execute(query).fetchnumpy())
        except duckdb.Error as error:
            why = reason_of(error)
            raise TableError(f"The tables cannot be compared ({why}): check that their files exist.") from error

    def check_slice(self, column: str) -> None:
        """Raise PctError unless the slice column exists."""
        if not self.slice_columns:
            raise ConfigError(
                f"There is no slice column '{column}': neither table has one; give a file of columns under 'slices' "
                "in the policy."
            )
        if column not in self.slice_columns:
            raise unknown("slice column", column, list(self.slice_columns))

    def is_too_fine(self, column: str) -> bool:
        """Tell whether a column has too many values to be one of slices, such as an id of each example."""
        self.check_slice(column)
        # Read from the table that holds the column, without the join that the sums need.
        distinct = f"SELECT DISTINCT {quoted(column)} FROM {self.sources[column]} LIMIT {MAX_SLICES + 1}"
        return bool(self.query(f"SELECT count(*) FROM ({distinct})")[0][0] > MAX_SLICES)

    def _check_column(self, column: str) -> None:
        if self.is_too_fine(column):
            raise ConfigError(f"Column '{column}' has more than {MAX_SLICES:,} values: a slice needs a coarser column.")

    def _count_slices(self, columns: Sequence[str], by_class: bool) -> dict[str, dict[Scope, Totals]]:
        names = [f"slice_{index}" for index in range(len(columns))]
        rows = self.query(
            _SLICE_TOTALS.format(
                values=", ".join(f"{_value(column)} AS {name}" for column, name in zip(columns, names, strict=True)),
                names=", ".join(names),
                sets=", ".join(f"({name}, class_index, cost)" for name in names),
                label="sliced.label" if by_class else "NULL",
                cost="NULL" if self._costs is None else "class_costs.class_cost",
                costs="" if self._costs is None else "JOIN class_costs ON class_costs.class_index = sliced.label",
                is_apart=self._is_apart,
            )
        )
        if len(rows) > _MAX_GROUPS:
            shown = ", ".join(f"'{column}'" for column in columns[:3])
            raise ConfigError(f"The columns {shown} make more than {_MAX_GROUPS:,} groups: take a coarser column.")
        groups: dict[str, dict[Scope, list[Totals]]] = {column: {} for column in columns}
        for row in rows:
            # Each row has a value in one of the columns only.
            index = next(index for index in range(len(columns)) if row[index] is not None)
            label, cost, *sums = row[len(columns) :]
            totals = totals_of(sums)
            parts = groups[columns[index]].setdefault((row[index], label), [])
            parts.append(totals if cost is None else totals.weighed(cost))
        return {column: _added_up(found) for column, found in groups.items()}

    def _calibrations(self, column: str | None, by_class: bool, only: Collection[int] | None) -> dict[Scope, Both]:
        query = BINS.format(
            value="NULL" if column is None else _value(column),
            label="label" if by_class else "NULL",
            where="" if only is None else f"WHERE label IN ({', '.join(map(str, sorted(only)))})",
            **{side: SIDE.format(side=side) for side in ("old", "new")},
            **{f"{side}_sums": SIDE_SUMS.format(side=side) for side in ("old", "new")},
        )
        groups: dict[Scope, tuple[list[Any], list[Any]]] = {}
        for value, label, is_old, num, *sums in self.query(query):
            old, new = groups.setdefault((value, label), ([], []))
            if is_old:
                old.append((num, *sums[:4]))
            else:
                new.append((num, *sums[4:]))
        return {scope: (calibration_of(old), calibration_of(new)) for scope, (old, new) in groups.items()}


def _value(column: str) -> str:
    return f"coalesce(sliced.{quoted(column)}::VARCHAR, '{NO_VALUE}')"


def _added_up(groups: Mapping[Scope, Sequence[Totals]]) -> dict[Scope, Totals]:
    """Add up the parts of each scope, and sort the scopes by value and class.

    Parts are added in the order of their cost, so that every run gives the same sums.
    """
    ordered = sorted(groups.items(), key=lambda item: (item[0][0] or "", item[0][1] or 0))
    return {
        scope: reduce(Totals.__add__, sorted(parts, key=lambda part: part.max_cost or 0)) for scope, parts in ordered
    }
