"""Tells whether two tables hold the same predictions, and whether they are one table in two formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.predictions import sql
from pct_mlops.predictions.schema import CONFIDENCE_COLUMNS

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison

ROUNDING = 1e-4  # by which confidences in a text of few digits may differ from those that it was written from
SCORES = (*CONFIDENCE_COLUMNS, "logits")


def have_same_predictions(comparison: Comparison) -> bool:
    """Tell whether no prediction differs between the two tables."""
    return comparison.estimate("churn").numerator == 0


def are_equal(comparison: Comparison) -> bool:
    """Tell whether both tables say the same of every example, as one table in two formats does.

    Another format may round numbers and leave lists out, so confidences count as equal within ROUNDING, and scores that
    only one table has do not count. Two tables of which one alone has any scores are not equal.
    """
    old, new = comparison.tables
    columns = set(old.info.columns) & set(new.info.columns)
    has_scores = {bool(set(SCORES) & set(table.info.columns)) for table in (old, new)}
    if len(has_scores) > 1 or set(old.info.slices) != set(new.info.slices):
        return False
    scored = [name for name in CONFIDENCE_COLUMNS if name in columns]
    # Logits are compared only without confidences, which follow from them and are rounded as they are.
    exact = columns - set(CONFIDENCE_COLUMNS) - {"features"} - ({"logits"} if scored else set())
    differing = [f"o.{name} IS DISTINCT FROM n.{name}" for name in map(sql.quoted, sorted(exact))]
    differing += [f"coalesce(abs(o.{name} - n.{name}) > {ROUNDING}, true)" for name in scored]
    both = "FROM mine AS o JOIN other AS n ON o.sample_id = n.sample_id"
    query = f"SELECT count(*) {both} WHERE {' OR '.join(differing)}"
    with sql.connect() as connection, sql.reading(f"{old.what} or {new.what}"):
        old.attach(connection, "mine", vectors=True)
        new.attach(connection, "other", vectors=True)
        return bool(sql.one(connection, query)[0] == 0)
