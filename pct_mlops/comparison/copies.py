"""Tells whether two tables hold the same predictions, and whether they are one table in two formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.predictions import sql

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison


def have_same_predictions(comparison: Comparison) -> bool:
    """Tell whether no prediction differs between the two tables."""
    return comparison.estimate("churn").numerator == 0


def are_equal(comparison: Comparison) -> bool:
    """Tell whether both tables have the same columns, and in each of them the same value for every example."""
    old, new = comparison.tables
    columns = set(old.info.columns)
    if columns != set(new.info.columns):
        return False
    differing = " OR ".join(f"o.{name} IS DISTINCT FROM n.{name}" for name in map(sql.quoted, sorted(columns)))
    query = f"SELECT count(*) FROM mine AS o JOIN other AS n ON o.sample_id = n.sample_id WHERE {differing}"
    with sql.connect() as connection, sql.reading(f"{old.what} or {new.what}"):
        old.attach(connection, "mine", vectors=True)
        new.attach(connection, "other", vectors=True)
        return bool(sql.one(connection, query)[0] == 0)
