"""Simulates candidates from the table of an old model alone, to try a policy before any candidate exists.

A candidate differs from the old model in three ways, and one random number an example settles which:

    right examples   the prediction leaves the target            with chance min(1, s * (1 - P(target)))
    wrong examples   the prediction becomes the target           with chance min(1, t * P(target))
    wrong examples   it becomes another wrong class              with chance t * P(any other class), at most the rest

P are the old model's own probabilities: as if a share of the predictions were drawn again from them. So examples on
which the old model hesitates change first, and classes differ as they do between real models. s is chosen so that the
true NFR is the wanted one. t is chosen so that NFR plus the wanted change of accuracy is the true rate of positive
flips. A table without these probabilities has the same chance for every example.

The examples are drawn with replacement (bootstrap), so the test set varies as well. The table is then the whole
population, and its rates are true ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pct_mlops.comparison.class_changes import Aliases
from pct_mlops.comparison.compare import compare
from pct_mlops.comparison.comparison import Comparison
from pct_mlops.comparison.costs import costs_by_index
from pct_mlops.comparison.flip_chances import FlipWeights, Floats, check_possible, flip_weights, scaled_chances
from pct_mlops.comparison.joined_pairs import Pairs, Scope
from pct_mlops.comparison.results import Estimate
from pct_mlops.comparison.slices import Joined
from pct_mlops.comparison.totals import Totals
from pct_mlops.errors import TableError
from pct_mlops.predictions.schema import CONFIDENCE_COLUMNS
from pct_mlops.predictions.sql import quoted

if TYPE_CHECKING:
    from pct_mlops.predictions import Predictions, TableInfo

# Events of an example, in the order of the rows of a tally.
_NUM_EVENTS = 5
_BOTH_RIGHT, _NEGATIVE, _POSITIVE, _BOTH_WRONG, _CHANGED = range(_NUM_EVENTS)

Tally = Callable[[npt.NDArray[np.int64], int], npt.NDArray[Any]]


class Chances(NamedTuple):
    """Chances by example [N]: of a flip of its correctness, and of this or a change to another wrong class."""

    flip: Floats
    change: Floats


@dataclass(frozen=True)
class Population:
    """The examples from which candidates are simulated: the table of an old model.

    Attributes:
        info: what the old table says about itself.
        labels: class index of each example [N].
        is_right: whether the old model is right [N].
        weights: weights of its flips [N].
        slices: column -> its values, and the index of each example's value [N].
        joined: the joined file of slices.
        costs: cost of a flip by class name; None without costs.
        aliases: class -> finer ones whose predictions count as right.
        named: whether an example is one of those that the caller asked for by id [N].
    """

    info: TableInfo
    labels: npt.NDArray[np.int64]
    is_right: npt.NDArray[np.bool_]
    weights: FlipWeights
    slices: dict[str, tuple[list[str], npt.NDArray[np.int64]]]
    joined: Joined
    costs: dict[str, float] | None
    aliases: Aliases | None
    named: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    @classmethod
    def of(
        cls,
        old: Predictions,
        *,
        columns: Collection[str] = (),
        slices: Path | None = None,
        costs: Mapping[str, float] | None = None,
        aliases: Aliases | None = None,
        ids: Collection[str] = (),
    ) -> Population:
        """Read the table of an old model.

        Args:
            old: the table.
            columns: slice columns that are wanted.
            slices: a file with further slice columns.
            costs: cost of a flip by class name.
            aliases: a class -> a finer one, or several.
            ids: ids of examples to be marked as named.

        Raises:
            PctError: the table has a wrong row, or an argument does not fit it.
        """
        # Compared with itself, the table goes through every check that a comparison makes.
        itself = compare(old, old, slices=slices, costs=costs, aliases=aliases)
        for column in columns:
            itself.slices(column)
        wanted = ["sample_id"] if ids else []
        texts = [f"coalesce({quoted(column)}::VARCHAR, '(none)') AS slice_{n}" for n, column in enumerate(columns)]
        given = ["label", "old_prediction", *(f"old_{name}" for name in CONFIDENCE_COLUMNS), *wanted, *texts]
        read = itself._pairs.arrays(f"SELECT {', '.join(given)} FROM sliced ORDER BY sample_id")
        labels, said = (np.asarray(read[name], np.int64) for name in ("label", "old_prediction"))
        coded = [np.unique(read[f"slice_{number}"].astype(str), return_inverse=True) for number in range(len(columns))]
        return cls(
            replace(old.info, class_names=itself.old.class_names),
            labels,
            labels == said,
            flip_weights(read, labels == said, itself.old),
            {column: (names.tolist(), codes) for column, (names, codes) in zip(columns, coded, strict=True)},
            Joined(itself.joined_columns, itself.num_without_slices, itself.slices_path),
            None if costs is None else dict(costs),
            aliases,
            np.isin(read["sample_id"].astype(str), list(ids)) if ids else np.zeros(len(labels), np.bool_),
        )

    @property
    def accuracy(self) -> float:
        """Share of the examples that the old model gets right."""
        return float(self.is_right.mean())

    @property
    def error(self) -> float:
        """Share of the examples that the old model gets wrong."""
        return float((~self.is_right).mean())

    def chances(self, nfr: float, accuracy_change: float = 0.0) -> Chances:
        """Return the chances of a candidate with this true NFR and this true change of accuracy, as fractions.

        Raises:
            PctError: no candidate can have both on these examples.
        """
        check_possible(nfr, accuracy_change, self.accuracy, self.error)
        num, gained = len(self.labels), nfr + accuracy_change
        lost, _ = scaled_chances(self.weights.negative_flip, self.is_right, nfr * num)
        returned, factor = scaled_chances(self.weights.positive_flip, ~self.is_right, gained * num)
        flip = lost + returned
        other_change = np.where(self.is_right, 0.0, np.minimum(factor * self.weights.other_change, 1.0))
        return Chances(flip, np.minimum(flip + other_change, 1.0))

    def draw(self, chances: Chances, generator: np.random.Generator) -> Comparison:
        """Return the comparison of the old model with a candidate, on examples drawn with replacement."""
        num = len(self.labels)
        drawn = generator.integers(num, size=num)
        luck, is_right = generator.random(num), self.is_right[drawn]
        flipped, changed = luck < chances.flip[drawn], luck < chances.change[drawn]
        wrong = np.where(flipped, _POSITIVE, np.where(changed, _CHANGED, _BOTH_WRONG))
        events = np.where(is_right, np.where(flipped, _NEGATIVE, _BOTH_RIGHT), wrong)

        def tally(groups: npt.NDArray[np.int64], num_groups: int) -> npt.NDArray[Any]:
            found = np.bincount(groups[drawn] * _NUM_EVENTS + events, minlength=num_groups * _NUM_EVENTS)
            return found.reshape(num_groups, _NUM_EVENTS)

        return self._compared(tally, _Try)

    def expected(self, chances: Chances) -> Comparison:
        """Return the comparison whose counts are the means over all candidates. They may be fractional."""
        stays = 1 - chances.flip
        weights = [
            np.where(self.is_right, stays, 0),
            np.where(self.is_right, chances.flip, 0),
            np.where(self.is_right, 0, chances.flip),
            np.where(self.is_right, 0, 1 - chances.change),
            np.where(self.is_right, 0, chances.change - chances.flip),
        ]

        def tally(groups: npt.NDArray[np.int64], num_groups: int) -> npt.NDArray[Any]:
            return np.stack([np.bincount(groups, weight, num_groups) for weight in weights], axis=1)

        return self._compared(tally)

    def _compared(self, tally: Tally, kind: type[Comparison] = Comparison) -> Comparison:
        columns = tuple(name for name in self.info.columns if name not in CONFIDENCE_COLUMNS)
        new = replace(
            self.info, model_name="simulated candidate", model_version="", model_uri="", path="", columns=columns
        )
        pairs = SimulatedPairs(self, tally)
        return kind(self.info, new, pairs, self.joined, apart=frozenset(), costs=self.costs, aliases=self.aliases)


class _Try(Comparison):
    """Comparison with one simulated candidate.

    For every undecided check, the gate works out how many examples would decide it. That takes most of its time, and
    nobody reads it of one try among hundreds. So there are no bounds on another number of examples here.
    """

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
        """Estimate a metric as any comparison does, undefined on another number of examples than there are."""
        if scale != 1.0:
            return Estimate(name, None, None, None, confidence)
        return super().estimate(name, confidence, class_index, slice=slice, on=on)


class SimulatedPairs(Pairs):
    """Sums over the examples of a simulated candidate. It has no rows: single flips cannot be asked for."""

    def __init__(self, population: Population, tally: Tally) -> None:
        self._population, self._tally = population, tally
        self._by_index = costs_by_index(population.info.class_names, population.costs)
        self._found: dict[tuple[str, bool], dict[Scope, Totals]] = {}
        self.slice_columns = tuple(population.slices)
        self.sources = dict.fromkeys(self.slice_columns, "old_table")

    def classes(self) -> dict[int, Totals]:
        """Return the sums by target class, for the classes that have examples."""
        counted = self._tally(self._population.labels, len(self._population.info.class_names))
        return {index: self._weighed(row, index) for index, row in enumerate(counted.tolist()) if any(row)}

    def slice_totals(self, column: str, *, by_class: bool = False) -> dict[Scope, Totals]:
        """Return the sums of a column by (value, None), or with `by_class` by (value, class index)."""
        key = (column, by_class)
        if key not in self._found:
            self.check_slice(column)
            self._found[key] = self._count(column, by_class)
        return self._found[key]

    def query(self, query: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """Raise PctError: there are no rows."""
        raise TableError("A simulated candidate has no single examples: look at its counts.")

    def table(self, name: str, create: str, values: Mapping[str, Any] | None = None) -> str:
        """Raise PctError: there are no rows to make a table of."""
        self.query(create, values)
        return name

    def _count(self, column: str, by_class: bool) -> dict[Scope, Totals]:
        names, codes = self._population.slices[column]
        num = len(self._population.info.class_names)
        counted = self._tally(codes * num + self._population.labels, len(names) * num).tolist()
        found: dict[Scope, Totals] = {}
        for place, name in enumerate(names):
            rows = counted[place * num : (place + 1) * num]
            parts = {index: self._weighed(row, index) for index, row in enumerate(rows) if any(row)}
            if by_class:
                found |= {(name, index): part for index, part in parts.items()}
            elif parts:
                found[name, None] = reduce(Totals.__add__, parts.values())
        return found

    def _weighed(self, row: list[float], index: int) -> Totals:
        totals = Totals(
            both_right=row[_BOTH_RIGHT],
            negative_flips=row[_NEGATIVE],
            positive_flips=row[_POSITIVE],
            both_wrong=row[_BOTH_WRONG] + row[_CHANGED],
            both_wrong_changed=row[_CHANGED],
        )
        return totals if self._by_index is None else totals.weighed(self._by_index[index])
