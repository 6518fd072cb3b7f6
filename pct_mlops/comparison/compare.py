"""Joins an old with a new prediction table for a comparison."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from pct_mlops.comparison.class_changes import Aliases, aligned_by_name
from pct_mlops.comparison.comparison import Comparison
from pct_mlops.comparison.costs import costs_by_index
from pct_mlops.comparison.joined_pairs import Pairs
from pct_mlops.comparison.slices import join_slices
from pct_mlops.errors import TableError, reason_of
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
    aliases: Aliases | None = None,
) -> Comparison:
    """Join two prediction tables by sample_id and count their flips.

    Classes are compared by name. One table may have classes that the other does not: see `Comparison.class_change`.

    Args:
        old: the table of the model in use.
        new: the table of its replacement, about the same examples with the same labels.
        slices: a CSV or Parquet file with further slice columns by sample_id.
        apart: ids of examples whose negative flips are left out of flip rates.
        costs: cost of a flip by class name, for weighted_nfr; classes that are not named cost 1.
        aliases: a class -> a finer one, or several. A finer prediction than the label is right. A coarser one is right
            from a model that does not know the finer class.

    Returns:
        The comparison: counts, metrics with bounds, classes, slices, and pages of flips.

    Raises:
        PctError: the tables are not comparable (the message says what differs), or another argument is wrong.

    Example:
        >>> from pct_mlops import Predictions, compare
        >>> ids, labels, classes = ["a", "b", "c", "d"], [0, 1, 1, 0], ("cat", "dog")
        >>> old = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [0, 2], [0, 2]], class_names=classes)
        >>> new = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [2, 0], [2, 0]], class_names=classes)
        >>> compare(old, new).counts
        FlipCounts(both_right=2, negative_flips=1, positive_flips=1, both_wrong=0)
    """
    given = old, new
    old, new, classes = aligned_by_name(old, new, aliases)
    by_index = costs_by_index(new.info.class_names, costs)
    connection = sql.connect()
    try:
        new.pairs(old, connection).create_view("pairs")
        joined = replace(join_slices(connection, slices), path=slices)
    except duckdb.Error as error:
        raise TableError(f"The tables cannot be compared ({reason_of(error)}): write them again.") from error
    columns = _slice_sources(old.info, new.info) | dict.fromkeys(joined.columns, "extra")
    pairs = Pairs(connection, columns, apart, by_index)
    # The digests that the tables themselves carry, even where their classes were put into another order.
    infos = [replace(side.info, digest=own.info.digest) for side, own in zip((old, new), given, strict=True)]
    own_costs = None if costs is None else dict(costs)
    comparison = Comparison(
        infos[0], infos[1], pairs, joined, apart=frozenset(apart), costs=own_costs, aliases=aliases, known=classes
    )
    # Keep the handles: some tables lie in a temporary file that goes with its handle, and later queries read it again.
    comparison.counted = (old, new)
    comparison.tables = given[0].aligned(given[1]) if aliases else (old, new)
    # So far only sums of hashes say that the tables are about the same examples. The join itself proves it.
    pairing.check_joined(comparison.counts.total, new.info)
    return comparison


def _slice_sources(old: TableInfo, new: TableInfo) -> dict[str, str]:
    """Return slice column -> the table that it is read from. If both have a column, that of the new one counts."""
    # SQL does not tell a from A.
    known = {name.lower() for name in new.slices}
    own = dict.fromkeys(new.slices, "new_table")
    return own | {name: "old_table" for name in old.slices if name.lower() not in known}
