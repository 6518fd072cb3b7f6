"""Checks in SQL that two tables are comparable, says what differs if they are not, and joins them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import duckdb

from pct_mlops.errors import NotComparableError, TableError
from pct_mlops.predictions import sql
from pct_mlops.predictions.digest import digest_of
from pct_mlops.predictions.reading_ids import READ_ANEW, read_differently
from pct_mlops.predictions.schema import CONFIDENCE_COLUMNS, TableInfo

_RANGES = """
       count(*) FILTER (WHERE sample_id IS NULL OR sample_id = ''),
       count(*) FILTER (WHERE NOT coalesce(label BETWEEN 0 AND $last, false)),
       count(*) FILTER (WHERE NOT coalesce(prediction BETWEEN 0 AND $last, false)),
       count(*) FILTER (WHERE NOT coalesce({confidences}, false))
"""
# Different hashes mean different ids, and hashes take a third of the memory. Equal hashes do not mean equal ids.
_ROW_CHECK = f"SELECT count(*), count(DISTINCT hash(sample_id)), sum(hash(sample_id, label)), {_RANGES} FROM {{name}}"
_DISTINCT = "SELECT count(DISTINCT sample_id) FROM {name}"


class RowHashes(NamedTuple):
    """Hashes of a table whose ids are unique: the sum of hash(sample_id, label), and whether all ids differ in hash."""

    total: int
    distinct: bool


def check_rows(connection: duckdb.DuckDBPyConnection, name: str, info: TableInfo, what: str) -> RowHashes:
    """Raise PctError for the first kind of impossible row in the view `name`. NaN lies outside every range.

    Return the hashes of its rows, which do not depend on their order.
    """
    known = [column for column in CONFIDENCE_COLUMNS if column in info.columns]
    in_range = " AND ".join(f"{column} BETWEEN 0 AND 1" for column in known) or "true"
    with sql.reading(what):
        query = _ROW_CHECK.format(name=name, confidences=in_range)
        row = sql.one(connection, query, {"last": len(info.class_names) - 1})
        total, hashes, summed, nameless, labels, predictions, confidences = row
        distinct = hashes
        if hashes != total:
            (distinct,) = sql.one(connection, _DISTINCT.format(name=name))
    problems = {
        f"{nameless} empty sample_ids": nameless,
        f"{total - distinct} repeated sample_ids": total - distinct - nameless,
        f"{labels} labels outside 0 to {len(info.class_names) - 1}": labels,
        f"{predictions} predictions outside 0 to {len(info.class_names) - 1}": predictions,
        f"{confidences} confidences outside 0 to 1": confidences,
        f"{total} rows instead of {info.num_examples}": total != info.num_examples,
    }
    for problem, present in problems.items():
        if present:
            raise TableError(f"{what} has {problem}: write the table again.")
    return RowHashes(int(summed), hashes == total)


def digest_of_rows(connection: duckdb.DuckDBPyConnection, name: str, class_names: Sequence[str]) -> str:
    """Return the digest of the relation `name`, whatever the order of its rows."""
    ordered = connection.sql(f"SELECT sample_id, label FROM {name} ORDER BY sample_id, label")
    return digest_of(ordered.to_arrow_reader(65_536), class_names)


def check_classes(old: TableInfo, new: TableInfo) -> None:
    """Raise PctError when the class names differ, and say which."""
    if old.class_names == new.class_names:
        return
    gone = [name for name in old.class_names if name not in new.class_names]
    added = [name for name in new.class_names if name not in old.class_names]
    parts = [
        f"class names only in the {side} table: {_some(names)}"
        for side, names in (("old", gone), ("new", added))
        if names
    ]
    if not parts:
        index = next(
            (i for i, pair in enumerate(zip(old.class_names, new.class_names, strict=False)) if pair[0] != pair[1]),
            min(len(old.class_names), len(new.class_names)),
        )
        parts = [f"the class names come in another order (first at index {index})"]
    raise _not_comparable(parts)


def check_same_examples(
    connection: duckdb.DuckDBPyConnection, old: TableInfo, new: TableInfo, hashes: tuple[RowHashes, RowHashes]
) -> None:
    """Raise PctError unless `old_table` and `new_table` hold the same ids with the same labels (ids are unique here).

    Equal sums of hashes (of check_rows) stand for equal sets, which saves a join. The caller counts the pairs and calls
    `check_joined`, since equal sums are no proof.
    """
    if hashes[0].total == hashes[1].total and old.num_examples == new.num_examples and old.digest == new.digest:
        _check_same_reading(old, new)
        return
    parts = []
    for side, mine, other in (("old", "old_table", "new_table"), ("new", "new_table", "old_table")):
        lone = f"FROM {mine} WHERE sample_id NOT IN (SELECT sample_id FROM {other})"
        (number,) = sql.one(connection, f"SELECT count(*) {lone}")
        if number:
            shown = connection.execute(f"SELECT sample_id {lone} ORDER BY 1 LIMIT 3").fetchall()
            parts.append(f"{_examples(number)} only in the {side} table ({_some([item for (item,) in shown], number)})")
    both = "FROM old_table AS o JOIN new_table AS n USING (sample_id) WHERE o.label <> n.label"
    (number,) = sql.one(connection, f"SELECT count(*) {both}")
    if number:
        shown = connection.execute(f"SELECT sample_id, o.label, n.label {both} ORDER BY 1 LIMIT 3").fetchall()
        changes = [f"{key}: {old.class_names[a]} became {new.class_names[b]}" for key, a, b in shown]
        parts.append(f"{_examples(number)} with another label ({_some(changes, number)})")
    raise _not_comparable(parts or ["their digests differ although their rows agree, so one file was altered"])


def _check_same_reading(old: TableInfo, new: TableInfo) -> None:
    """Raise PctError where the tables are about other pixels of the same image files."""
    if not read_differently(old.preprocessing, new.preprocessing):
        return
    former = new if READ_ANEW in old.preprocessing else old
    raise NotComparableError(
        f"The tables are not comparable: {former.title} saw other pixels, because its version of pct ignored the "
        "orientation, depth or transparency of image files, and this evaluation set has such files. Score it again "
        "with 'pct score'."
    )


def check_joined(number: int, info: TableInfo) -> None:
    """Raise PctError unless every example was found in both tables, by id and label."""
    if number != info.num_examples:
        raise _not_comparable([f"{info.num_examples:,} examples, of which {number:,} were found in both tables"])


def joined(
    connection: duckdb.DuckDBPyConnection, old: TableInfo, new: TableInfo, *, by_hash: bool
) -> duckdb.DuckDBPyRelation:
    """Return the pairs of the views `old_table` and `new_table`, lazily.

    With `by_hash` the hashes of the ids are joined in their place, which the caller knows to be different for each id.
    Numbers take less memory than names: where a join of ids would spill to disk, this is twice as fast.
    """
    known = {name.lower() for name in new.slices}
    columns = [f"n.{sql.quoted(name)}" for name in new.slices]
    columns += [f"o.{sql.quoted(name)}" for name in old.slices if name.lower() not in known]
    # A table without confidences has none here either: NULL, which no sum counts.
    sides = [
        (f"{side[0]}.{name}" if name in info.columns else "NULL::FLOAT") + f" AS {side}_{name}"
        for name in ("prediction", *CONFIDENCE_COLUMNS)
        for side, info in (("old", old), ("new", new))
    ]
    rights = [f"{side[0]}.prediction = n.label AS {side}_right" for side in ("old", "new")]
    wanted = ", ".join(["n.sample_id AS sample_id", "n.label AS label", *sides, *rights, *columns])
    on = _ON_HASHES if by_hash else JOINED
    return connection.sql(f"SELECT {wanted} FROM old_table AS o JOIN new_table AS n {on}")


# Rows whose labels differ drop out. Counting the pairs shows that they are missing.
JOINED = "ON o.sample_id = n.sample_id AND o.label = n.label"
# Two different ids, one in each table, have the same hash with a chance of 2^-64.
_ON_HASHES = "ON hash(o.sample_id) = hash(n.sample_id) AND o.label = n.label"


def _examples(number: int) -> str:
    return f"{number:,} example" + ("" if number == 1 else "s")


def _some(names: list[str], total: int | None = None) -> str:
    total = len(names) if total is None else total
    return ", ".join(names[:3]) + (f" and {total - 3:,} more" if total > 3 else "")


def _not_comparable(parts: list[str]) -> NotComparableError:
    return NotComparableError(
        f"The tables are not comparable: {'; '.join(parts)}. Score both models on the same evaluation set."
    )
