"""Defines the comparison of two joined tables: counts, metrics with bounds, and pages of flips."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

from pct_mlops.comparison.class_changes import (
    PARTS,
    Aliases,
    ClassChange,
    KnownClasses,
    class_change_of,
    unknown_labels,
)
from pct_mlops.comparison.example_inputs import counted_table, input_conditions
from pct_mlops.comparison.flips import FLIP_MATRIX, ONE_EXAMPLE, OTHER_CONFIDENCES, FlipFilter, FlipRow, page_query
from pct_mlops.comparison.intervals import mcnemar_exact
from pct_mlops.comparison.joined_pairs import Pairs
from pct_mlops.comparison.metrics import METRICS, Metric, metric
from pct_mlops.comparison.results import ClassCounts, Estimate, FlipCell, FlipCounts, SliceCounts, counts_of
from pct_mlops.comparison.slices import Joined, SliceExcess, excesses
from pct_mlops.comparison.totals import Totals
from pct_mlops.config import unknown
from pct_mlops.errors import ConfigError, NotComparableError

if TYPE_CHECKING:
    from pct_mlops.predictions import Predictions, TableInfo


class Comparison:
    """Two comparable tables and their counts, made by `compare`. Single flips are queried when needed. Thread-safe.

    Attributes:
        old: what the old table says about itself.
        new: what the new table says about itself.
        apart: ids of examples whose negative flips do not count in flip rates.
        costs: cost of a flip by class name; None where there are none.
        aliases: class -> its finer ones, whose predictions count as right; empty where there are none.
        unknown_labels: labels that neither model knows, with their numbers of examples.
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
        aliases: Aliases | None = None,
        known: KnownClasses | None = None,
    ) -> None:
        self.old = old
        self.new = new
        self.apart = apart
        self.costs = costs
        self.aliases = dict(aliases or {})
        self.slices_path = joined.path
        self.joined_columns = joined.columns
        # What was counted, and the same without the corrections of aliases.
        self.counted: tuple[Predictions, ...] = ()
        self.tables: tuple[Predictions, ...] = ()
        self.num_without_slices = joined.num_missing
        self._pairs = pairs
        self._by_class = pairs.classes()
        self._overall = reduce(Totals.__add__, self._by_class.values(), Totals())
        self.unknown_labels: dict[str, int] = {} if known is None else unknown_labels(self, known)
        self._known = known if known is not None and known.differ else None
        self._parts = {} if self._known is None else self._label_parts(self._known)

    @property
    def counts(self) -> FlipCounts:
        """The 2x2 over all examples, including flips that were set apart."""
        return counts_of(self._overall)

    @property
    def apart_counts(self) -> int:
        """Number of negative flips that were set apart."""
        return int(self._overall.apart)

    @cached_property
    def class_change(self) -> ClassChange | None:
        """Difference between the classes that the two models know, or None where they know the same ones."""
        return None if self._known is None else class_change_of(self, self._known)

    def counts_on(self, on: str, slice: tuple[str, str] | None = None) -> FlipCounts:
        """Return the 2x2 of a part of the examples: all, shared (labels that the old model knows) or new."""
        return counts_of(self._totals(None, slice, on))

    def labels_on(self, on: str) -> Collection[int] | None:
        """Return the class indices of a part of the examples, or None for those of every class."""
        if on not in PARTS:
            raise unknown("part of the examples", on, list(PARTS))
        if on == "all" or (on == "shared" and not self._parts):
            return None
        return self._parts.get(on, ())

    @cached_property
    def is_copy(self) -> bool:
        """True if both tables say the same of every example, to the last bit of each confidence.

        No two models do that, so one table is a copy of the other, whatever its name. It is False where all confidences
        are one number, because then they say nothing about which model made them.
        """
        if self.estimate("churn").numerator:
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
        on: str = "all",
    ) -> Estimate:
        """Estimate a metric over all examples, or over those of a target class, of a slice (column, value), or of both.

        `on` keeps to a part of them: those whose label the old model knows (shared), or only the new one (new).

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
        totals = self._totals(class_index, slice, on)
        if self.lacking(name):
            return Estimate(name, None, None, None, confidence)
        if definition.costly:
            totals = self._calibrated(totals, class_index, slice, on)
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
        sample_ids, not_sample_ids, text, cause. Raises PctError for a filter on confidences that the tables lack.
        """
        where, values = self._condition(FlipFilter(kind, **filters))
        counted = counted_table(self._pairs, filters.get("cause"))
        query, page = page_query(where, sort, limit, offset, counted)
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
        for name, needed in wanted.needs().items():
            if reason := self.lacking(needed):
                raise NotComparableError(f"Flips cannot be filtered by {name}, because {reason}: leave {name} out.")
        self._pairs.changed()
        for condition, more in input_conditions(self._pairs, wanted):
            where += f" AND {condition}"
            values |= more
        return where, values

    def _label_parts(self, known: KnownClasses) -> dict[str, frozenset[int]]:
        names = {part: known.part(part) for part in PARTS if part != "all"}
        numbered = list(enumerate(self.new.class_names))
        return {part: frozenset(index for index, name in numbered if name in wanted) for part, wanted in names.items()}

    def _totals(self, index: int | None, slice: tuple[str, str] | None = None, on: str = "all") -> Totals:
        if index is not None and not 0 <= index < len(self.new.class_names):
            raise ConfigError(f"There is no class {index}: classes are numbered 0 to {len(self.new.class_names) - 1}.")
        labels = self.labels_on(on)
        if slice is not None:
            self._check_value(*slice)
        if index is None and labels is None:
            return self._overall if slice is None else self._pairs.slice_totals(slice[0])[slice[1], None]
        if index is not None:
            return self._of_class(index, slice) if labels is None or index in labels else Totals()
        return reduce(Totals.__add__, (self._of_class(label, slice) for label in sorted(labels or ())), Totals())

    def _check_value(self, column: str, value: str) -> None:
        whole = self._pairs.slice_totals(column)
        if (value, None) not in whole:
            raise unknown(f"value of column '{column}'", value, [str(item) for item, _ in whole])

    def _of_class(self, index: int, slice: tuple[str, str] | None) -> Totals:
        if slice is None:
            return self._by_class.get(index, Totals())
        column, value = slice
        return self._pairs.slice_totals(column, by_class=True).get((value, index), Totals())

    def _calibrated(self, totals: Totals, index: int | None, slice: tuple[str, str] | None, on: str) -> Totals:
        column, value = slice or (None, None)
        labels = None if index is not None else self.labels_on(on)
        if not totals.num:
            return totals
        part = {} if labels is None else {"only": labels}
        found = self._pairs.calibration(column, by_class=index is not None, **part).get((value, index))
        return totals if found is None else replace(totals, old_calibration=found[0], new_calibration=found[1])
