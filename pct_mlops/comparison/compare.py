"""Compares an old with a new prediction table: counts, metrics with bounds, and pages of flips."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from pct_mlops.comparison.costs import costs_by_index
from pct_mlops.comparison.example_inputs import input_conditions
from pct_mlops.comparison.flips import FLIP_MATRIX, ONE_EXAMPLE, OTHER_CONFIDENCES, FlipFilter, FlipRow, page_query
from pct_mlops.comparison.intervals import mcnemar_exact
from pct_mlops.comparison.joined_pairs import Pairs
from pct_mlops.comparison.metrics import METRICS, Metric, metric
from pct_mlops.comparison.results import ClassCounts, Estimate, FlipCell, FlipCounts, SliceCounts, counts_of
from pct_mlops.comparison.slices import Joined, SliceExcess, excesses, join_slices
from pct_mlops.comparison.totals import Totals
from pct_mlops.config import unknown
from pct_mlops.errors import ConfigError, TableError
from pct_mlops.predictions import pairing, sql

if TYPE_CHECKING:
    from pct_mlops.predictions import Predictions, TableInfo


def compare(
    old: Predictions,
    new: Predictions,
    *,
    slices: Path | None = None,
    apart: Collection[str] = (),
    costs: Mapping[str, float] | None = None,
) -> Comparison:
    """Join two prediction tables by sample_id and count their flips.

    Args:
        old: the table of the model in use.
        new: the table of its replacement, about the same examples and classes.
        slices: a CSV or Parquet file with further slice columns by sample_id.
        apart: ids of examples whose negative flips are left out of flip rates.
        costs: cost of a flip by class name, for weighted_nfr; classes that are not named cost 1.

    Returns:
        The comparison: counts, metrics with bounds, classes, slices, and pages of flips.

    Raises:
        PctError: the tables are not comparable (the message says what differs), or a file, class or cost does not fit.

    Example:
        >>> from pct_mlops import Predictions, compare
        >>> ids, labels, classes = ["a", "b", "c", "d"], [0, 1, 1, 0], ("cat", "dog")
        >>> old = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [0, 2], [0, 2]], class_names=classes)
        >>> new = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [2, 0], [2, 0]], class_names=classes)
        >>> compare(old, new).counts
        FlipCounts(both_right=2, negative_flips=1, positive_flips=1, both_wrong=0)
    """
    old, new = old.aligned(new)
    by_index = costs_by_index(new.info.class_names, costs)
    connection = sql.connect()
    try:
        new.pairs(old, connection).create_view("pairs")
        # If both tables have a column, that of the new one counts. SQL does not tell a from A.
        known = {name.lower() for name in new.info.slices}
        own = dict.fromkeys(new.info.slices, "new_table")
        own |= {name: "old_table" for name in old.info.slices if name.lower() not in known}
        joined = replace(join_slices(connection, slices), path=slices)
    except duckdb.Error as error:
        first = str(error).strip().split("\n", 1)[0]
        raise TableError(f"The tables cannot be compared ({first}): write them again.") from error
    columns = own | dict.fromkeys(joined.columns, "extra")
    pairs = Pairs(connection, columns, apart, by_index, sql.show_progress)
    own_costs = dict(costs) if costs is not None else None
    comparison = Comparison(old.info, new.info, pairs, joined, apart=frozenset(apart), costs=own_costs)
    # Keep the handles: some tables lie in a temporary file that goes with its handle, and later queries read it again.
    comparison.tables = (old, new)
    # So far only sums of hashes say that the tables are about the same examples. The join itself proves it.
    pairing.check_joined(comparison.counts.total, new.info)
    return comparison


class Comparison:
    """Two comparable tables and their counts, made by `compare`. Single flips are queried when needed. Thread-safe.

    Attributes:
        old: what the old table says about itself.
        new: what the new table says about itself.
        apart: ids of examples whose negative flips do not count in flip rates.
        costs: cost of a flip by class name; None where there are none.
        slices_path: the joined file of slices, with its `joined_columns`; `num_without_slices` examples are not in it.

    Example:
        >>> from pct_mlops import Predictions, compare
        >>> table = lambda logits: Predictions.from_arrays(["a", "b"], [0, 1], logits, class_names=("cat", "dog"))
        >>> compare(table([[2, 0], [0, 2]]), table([[2, 0], [2, 0]])).flips("negative")[0].sample_id
        'b'
    """

    def __init__(
        self,
        old: TableInfo,
        new: TableInfo,
        pairs: Pairs,
        joined: Joined,
        *,
        apart: frozenset[str],
        costs: Mapping[str, float] | None,
    ) -> None:
        self.old = old
        self.new = new
        self.apart = apart
        self.costs = costs
        self.slices_path = joined.path
        self.joined_columns = joined.columns
        self.tables: tuple[Predictions, ...] = ()
        self.num_without_slices = joined.num_missing
        self._pairs = pairs
        self._by_class = pairs.classes()
        self._overall = reduce(Totals.__add__, self._by_class.values(), Totals())

    @property
    def counts(self) -> FlipCounts:
        """The 2x2 over all examples, including flips that were set apart."""
        return counts_of(self._overall)

    @property
    def apart_counts(self) -> int:
        """Number of negative flips that were set apart."""
        return int(self._overall.apart)

    @cached_property
    def is_copy(self) -> bool:
        """True if both tables say the same of every example, to the last bit of each confidence.

        No two models do that, so one table is a copy of the other, whatever its name. It is False where all confidences
        are one number, because then they say nothing about which model made them.
        """
        overall = self._overall
        if overall.negative_flips or overall.positive_flips or overall.both_wrong_changed:
            return False
        ((differing, distinct),) = self._pairs.query(OTHER_CONFIDENCES)
        return not differing and distinct > 1

    @property
    def slice_columns(self) -> tuple[str, ...]:
        """Columns by which examples can be sliced: those of either table, then those of the joined file."""
        return self._pairs.slice_columns

    def metric(self, name: str) -> Metric:
        """Return the definition of a metric, or raise PctError for an unknown name."""
        return metric(name)

    def metrics(self, *, every: bool = False) -> tuple[Metric, ...]:
        """Return the metrics in reading order. With `every`, also those that take another pass over the rows."""
        return tuple(
            item
            for item in METRICS.values()
            if (every or not item.costly) and (self.costs is not None or not item.needs_costs)
        )

    def lacking(self, name: str) -> str:
        """Say which table lacks what a metric needs. Return "" where neither does."""
        return metric(name).lacking({"old": self.old.columns, "new": self.new.columns})

    def estimate(
        self,
        name: str,
        confidence: float = 0.95,
        class_index: int | None = None,
        *,
        scale: float = 1.0,
        slice: tuple[str, str] | None = None,
    ) -> Estimate:
        """Estimate a metric over all examples, or over those of a target class, of a slice (column, value), or of both.

        Bounds are one-sided at `confidence`. They are those that the same observed rates would have on `scale` times as
        many examples. Raises PctError for an unknown metric, class or slice.
        """
        definition = metric(name)
        if not (0 < confidence < 1 and 0 < scale < math.inf):
            raise ConfigError(
                f"Confidence lies between 0 and 1 and scale is positive: {confidence} and {scale} do not fit."
            )
        if class_index is None and definition.per_class:
            raise ConfigError(f"{name} is about one class: say which, by class_index.")
        totals = self._totals(class_index, slice)
        if self.lacking(name):
            return Estimate(name, None, None, None, confidence)
        if definition.costly:
            totals = self._calibrated(totals, class_index, slice)
        value, lower, upper, numerator, denominator = definition.evaluate(totals.scaled(scale), confidence)
        counts = (None if number is None else round(number) for number in (numerator, denominator))
        return Estimate(name, value, lower, upper, confidence, *counts)

    def classes(self, slice: tuple[str, str] | None = None) -> list[ClassCounts]:
        """Return the 2x2 of every class, even without examples, in the order of indices: over all, or in one slice."""
        names = enumerate(self.new.class_names)
        return [ClassCounts(index, name, counts_of(self._totals(index, slice))) for index, name in names]

    def slices(self, column: str) -> list[SliceCounts]:
        """Return the 2x2 of every value of a column, in the order of values. Raises PctError for an unknown column."""
        found = self._pairs.slice_totals(column)
        return [SliceCounts(column, str(value), counts_of(totals)) for (value, _), totals in found.items()]

    def find_slices(self, confidence: float = 0.95, *, limit: int = 20, min_support: int = 30) -> list[SliceExcess]:
        """Find the slices of any column that flip more than the rest of the examples, the surest first.

        Bounds and p-values are corrected for the number of slices that were searched: those with `min_support` examples
        or more. Columns with too many values to be slices are left out.
        """
        parts = [
            (column, str(value), part)
            for column, found in self._pairs.all_slices().items()
            for (value, _), part in found.items()
            if part.num >= min_support
        ]
        return excesses(parts, self._overall, confidence, limit)

    def mcnemar(self) -> float:
        """Return the two-sided exact p-value of McNemar's test. It is about net accuracy: no evidence of a low NFR."""
        return mcnemar_exact(int(self._overall.positive_flips), int(self._overall.negative_flips))

    def flip_matrix(self) -> list[FlipCell]:
        """Count negative flips by target and wrong new class, the most frequent first. Empty cells are left out."""
        return [FlipCell(*row) for row in self._pairs.query(FLIP_MATRIX)]

    def flips(
        self,
        kind: str = "negative",
        *,
        sort: str = "confidence_lost",
        limit: int = 24,
        offset: int = 0,
        **filters: Any,
    ) -> list[FlipRow]:
        """Return one page of examples whose prediction changed. Kinds are negative, positive, both_wrong and all.

        `filters` are those of FlipFilter: target, old_prediction, new_prediction, slice, type_, confidence_range,
        sample_ids, not_sample_ids, text.
        """
        where, values = self._condition(FlipFilter(kind, **filters))
        query, page = page_query(where, sort, limit, offset)
        return [FlipRow(*row) for row in self._pairs.query(query, {**values, **page})]

    def num_flips(self, kind: str = "negative", **filters: Any) -> int:
        """Count the examples that all pages of `flips` with the same filters show together."""
        where, values = self._condition(FlipFilter(kind, **filters))
        return int(self._pairs.query(f"SELECT count(*) FROM changed WHERE {where}", values)[0][0])

    def example(self, sample_id: str) -> FlipRow | None:
        """Return one example, whether its prediction changed or not, or None when the tables do not hold it."""
        rows = self._pairs.query(ONE_EXAMPLE, {"sample_id": sample_id})
        return FlipRow(*rows[0]) if rows else None

    def flipped(self, sample_ids: Collection[str]) -> list[str]:
        """Return those of these ids that are negative flips, sorted."""
        where, values = self._condition(FlipFilter(sample_ids=sample_ids))
        return [row[0] for row in self._pairs.query(f"SELECT sample_id FROM changed WHERE {where} ORDER BY 1", values)]

    def absent(self, sample_ids: Collection[str]) -> list[str]:
        """Return those of these ids that the tables do not hold, sorted."""
        given = "SELECT unnest($ids::VARCHAR[]) AS id"
        query = f"SELECT id FROM ({given}) WHERE id NOT IN (SELECT sample_id FROM new_table)"
        return sorted(row[0] for row in self._pairs.query(query, {"ids": list(sample_ids)}))

    def _condition(self, wanted: FlipFilter) -> tuple[str, dict[str, Any]]:
        where, values = wanted.condition()
        self._pairs.changed()
        for condition, more in input_conditions(self._pairs, wanted):
            where += f" AND {condition}"
            values |= more
        return where, values

    def _totals(self, index: int | None, slice: tuple[str, str] | None = None) -> Totals:
        if index is not None and not 0 <= index < len(self.new.class_names):
            raise ConfigError(f"There is no class {index}: classes are numbered 0 to {len(self.new.class_names) - 1}.")
        if slice is None:
            return self._overall if index is None else self._by_class.get(index, Totals())
        column, value = slice
        whole = self._pairs.slice_totals(column)
        if (value, None) not in whole:
            raise unknown(f"value of column '{column}'", value, [str(item) for item, _ in whole])
        return whole[value, None] if index is None else self._in_class(column, value, index)

    def _in_class(self, column: str, value: str, index: int) -> Totals:
        return self._pairs.slice_totals(column, by_class=True).get((value, index), Totals())

    def _calibrated(self, totals: Totals, index: int | None, slice: tuple[str, str] | None) -> Totals:
        column, value = slice or (None, None)
        found = self._pairs.calibration(column, by_class=index is not None).get((value, index))
        return totals if found is None else replace(totals, old_calibration=found[0], new_calibration=found[1])
