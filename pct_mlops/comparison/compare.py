"""Old against new: counts, metrics with bounds, and pages of flips."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import TYPE_CHECKING, Any

import duckdb

from pct_mlops.comparison.flips import CREATE_CHANGED, FlipRow, condition, page_query
from pct_mlops.comparison.metrics import METRICS, Metric, Totals, metric
from pct_mlops.config import PctError

if TYPE_CHECKING:
    from pct_mlops.predictions import Predictions, TableInfo

# One pass over the pairs. Confidences are added as decimals: exact, so the sum does not depend on the thread count.
_CREATE_CELLS = """
CREATE TABLE cells AS
SELECT label, old_prediction, new_prediction, count(*) AS num,
       sum((new_confidence - new_label_confidence)::DECIMAL(18, 9)) AS excess_confidence,
       count(*) FILTER (WHERE fall <= 0.1) AS fell_little, count(*) FILTER (WHERE fall >= 0.5) AS fell_far
FROM (SELECT *, old_label_confidence::DECIMAL(9, 6) - new_label_confidence::DECIMAL(9, 6) AS fall FROM pairs)
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
       sum(fell_far) FILTER (WHERE negative)
FROM kinds GROUP BY label
"""
_FLIP_MATRIX = """
SELECT label, new_prediction, num::BIGINT FROM
    (SELECT label, new_prediction, sum(num) AS num FROM cells
     WHERE old_prediction = label AND new_prediction <> label GROUP BY label, new_prediction)
ORDER BY num DESC, label, new_prediction
"""


@dataclass(frozen=True)
class FlipCounts:
    """The 2x2 of a joined pair of tables."""

    both_right: int
    negative_flips: int
    positive_flips: int
    both_wrong: int

    @property
    def total(self) -> int:
        """Examples."""
        return self.both_right + self.negative_flips + self.positive_flips + self.both_wrong


@dataclass(frozen=True)
class ClassCounts:
    """The 2x2 of the examples whose target is one class."""

    index: int
    name: str
    counts: FlipCounts


@dataclass(frozen=True)
class FlipCell:
    """Negative flips of target class `target` that the new model takes for class `wrong` (indices)."""

    target: int
    wrong: int
    count: int


@dataclass(frozen=True)
class Estimate:
    """A metric's value and its one-sided bounds, each at `confidence`; None means undefined."""

    metric: str
    value: float | None
    lower: float | None
    upper: float | None
    confidence: float
    numerator: int | None = None
    denominator: int | None = None


def compare(old: Predictions, new: Predictions) -> Comparison:
    """Join two tables by sample_id and count. PctError says what differs when they are not comparable."""
    connection = duckdb.connect(config=new.connection_config())
    try:
        new.pairs(old, connection).create_view("pairs")
        connection.execute(_CREATE_CELLS).fetchall()
        rows = connection.execute(_CLASS_TOTALS).fetchall()
    except duckdb.Error as error:
        first = str(error).strip().split("\n", 1)[0]
        raise PctError(f"The tables cannot be compared ({first}): write them again.") from error
    totals = {row[0]: _totals(row[1:]) for row in rows}
    return Comparison(old.info, new.info, totals, connection)


class Comparison:
    """Two comparable tables, counted once. Counts are in memory; flips are queried. Safe to share between threads."""

    def __init__(
        self, old: TableInfo, new: TableInfo, totals: Mapping[int, Totals], connection: duckdb.DuckDBPyConnection
    ) -> None:
        self.old = old
        self.new = new
        self._by_class = totals
        self._overall = reduce(Totals.__add__, totals.values(), Totals())
        self._connection = connection
        self._lock = threading.Lock()
        self._has_changed = False

    @property
    def counts(self) -> FlipCounts:
        """The 2x2 over all examples."""
        return _counts(self._overall)

    def metric(self, name: str) -> Metric:
        """What a metric is; PctError for an unknown name."""
        return metric(name)

    def metrics(self) -> tuple[Metric, ...]:
        """Every metric there is, in the order in which people read them."""
        return tuple(METRICS.values())

    def estimate(
        self, name: str, confidence: float = 0.95, class_index: int | None = None, *, scale: float = 1.0
    ) -> Estimate:
        """A metric overall or among the examples of one target class, with one-sided bounds at `confidence`.

        `scale` answers "what if": the bounds that the same observed rates would have on `scale` times as many examples.
        """
        definition = metric(name)
        if not (0 < confidence < 1 and 0 < scale < math.inf):
            raise PctError(
                f"Confidence lies between 0 and 1 and scale is positive: {confidence} and {scale} do not fit."
            )
        if class_index is None and definition.per_class:
            raise PctError(f"{name} is about one class: say which, by class_index.")
        totals = self._overall if class_index is None else self._totals(class_index)
        value, lower, upper, numerator, denominator = definition.evaluate(totals.scaled(scale), confidence)
        return Estimate(
            name,
            value,
            lower,
            upper,
            confidence,
            None if numerator is None else round(numerator),
            None if denominator is None else round(denominator),
        )

    def classes(self) -> list[ClassCounts]:
        """Every class in the order of its index, also those without examples."""
        return [ClassCounts(i, name, _counts(self._totals(i))) for i, name in enumerate(self.new.class_names)]

    def flip_matrix(self) -> list[FlipCell]:
        """Negative flips by target and wrong new class, the most frequent first; empty cells are left out."""
        return [FlipCell(*row) for row in self._query(_FLIP_MATRIX)]

    def flips(
        self,
        kind: str = "negative",
        *,
        target: int | None = None,
        old_prediction: int | None = None,
        new_prediction: int | None = None,
        sort: str = "confidence_lost",
        limit: int = 24,
        offset: int = 0,
    ) -> list[FlipRow]:
        """One page of examples whose prediction changed; kinds: negative, positive, both_wrong, all."""
        where, values = condition(kind, label=target, old_prediction=old_prediction, new_prediction=new_prediction)
        query, page = page_query(where, sort, limit, offset)
        self._need_changed()
        return [FlipRow(*row) for row in self._query(query, {**values, **page})]

    def num_flips(
        self,
        kind: str = "negative",
        *,
        target: int | None = None,
        old_prediction: int | None = None,
        new_prediction: int | None = None,
    ) -> int:
        """How many examples the same filter of `flips` would show in all."""
        where, values = condition(kind, label=target, old_prediction=old_prediction, new_prediction=new_prediction)
        self._need_changed()
        return int(self._query(f"SELECT count(*) FROM changed WHERE {where}", values)[0][0])

    def _totals(self, index: int) -> Totals:
        if not 0 <= index < len(self.new.class_names):
            raise PctError(f"There is no class {index}: classes are numbered 0 to {len(self.new.class_names) - 1}.")
        return self._by_class.get(index, Totals())

    def _need_changed(self) -> None:
        with self._lock:
            if not self._has_changed:
                self._query(CREATE_CHANGED)
                self._has_changed = True

    def _query(self, query: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        # A cursor of its own for every call: one connection must not be used by two threads at once.
        try:
            with self._connection.cursor() as cursor:
                return cursor.execute(query, values or {}).fetchall()
        except duckdb.Error as error:
            first = str(error).strip().split("\n", 1)[0]
            raise PctError(f"The flips cannot be read ({first}): are the tables still where they were?") from error


def _totals(row: Sequence[Any]) -> Totals:
    """A row of the class query without its label; an empty FILTER sums to NULL. Counts become exact Python ints."""
    names = [field.name for field in fields(Totals)]
    whole = {name: int(value or 0) for name, value in zip(names, row, strict=True) if name != "excess_confidence"}
    return Totals(**whole, excess_confidence=float(row[names.index("excess_confidence")] or 0))


def _counts(totals: Totals) -> FlipCounts:
    parts = (totals.both_right, totals.negative_flips, totals.positive_flips, totals.both_wrong)
    return FlipCounts(*(round(part) for part in parts))
