"""Conditions on examples beyond their predictions, and the row of an example: slice columns and texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.config import unknown
from pct_mlops.errors import TableError
from pct_mlops.predictions.sql import quoted

if TYPE_CHECKING:
    from pct_mlops.comparison.comparison import Comparison
    from pct_mlops.comparison.flips import CauseSearch, FlipFilter
    from pct_mlops.comparison.joined_pairs import Pairs
    from pct_mlops.predictions.example_texts import ExampleTexts

# What must hold of the number of members that are right, against the number of members.
CAUSES = {"noise": "<", "systematic": "="}


def input_conditions(pairs: Pairs, wanted: FlipFilter) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the conditions of a filter on slice, text and cause of an example, each with its parameters.

    Raise PctError for a cause that does not exist.
    """
    if wanted.slice is not None:
        column, value = wanted.slice
        table = pairs.changed_slices(column)
        condition = f"sample_id IN (SELECT sample_id FROM {table} WHERE slice_value = $slice_value)"
        yield condition, {"slice_value": value}
    if wanted.text is not None:
        if wanted.text.texts is not None:
            table, text = _changed_texts(pairs, wanted.text.texts), "content"
        else:
            table, text = pairs.changed_slices(wanted.text.column), "lower(slice_value)"
        condition = f"sample_id IN (SELECT sample_id FROM {table} WHERE contains({text}, lower($needle)))"
        yield condition, {"needle": wanted.text.needle}
    if wanted.cause is not None and wanted.cause.cause:
        if wanted.cause.cause not in CAUSES:
            raise unknown("cause of flips", wanted.cause.cause, list(CAUSES))
        table, test = counted_table(pairs, wanted.cause), CAUSES[wanted.cause.cause]
        found = f"SELECT sample_id FROM {table} WHERE num_correct {test} $num_members"
        yield f"kind = 'negative' AND sample_id IN ({found})", {"num_members": wanted.cause.counts.num_members}


def counted_table(pairs: Pairs, search: CauseSearch | None) -> str:
    """Return the name of a table (sample_id, num_correct) of the changed examples, "" without a search."""
    if search is None:
        return ""
    counts = search.counts
    name = f"changed_counts_{hashlib.sha256(f'{counts.path}{counts.stamp}'.encode()).hexdigest()[:16]}"
    found = f"SELECT sample_id, num_correct FROM {counts.relation()} SEMI JOIN {pairs.changed()} USING (sample_id)"
    return pairs.table(name, f"CREATE TABLE {name} AS {found}", {"counts_path": str(counts.path)})


def _changed_texts(pairs: Pairs, texts: ExampleTexts) -> str:
    """Return the name of a table (sample_id, content) of the changed examples. They are few, so a search is quick."""
    try:
        source = f"{texts}{Path(texts.path).stat().st_mtime_ns}"
        name = f"changed_texts_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
        create = f"CREATE TABLE {name} AS SELECT sample_id, lower(content) AS content FROM ({texts.relation()})"
        return pairs.table(name, f"{create} SEMI JOIN {pairs.changed()} USING (sample_id)", {"path": texts.pattern})
    except (TableError, OSError) as error:
        raise texts.unreadable(error.__cause__ or error) from error


def example_rows(comparison: Comparison, sample_ids: Sequence[str]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return id -> names and values of the slice columns, without empty values.

    They are read from the tables that hold them. The join of both would take far longer.
    """
    pairs = comparison._pairs
    sources, found = pairs.sources, {sample_id: dict[str, str]() for sample_id in sample_ids}
    ids = {f"id_{place}": sample_id for place, sample_id in enumerate(found)}
    where = f"sample_id IN ({', '.join(f'${name}' for name in ids)})"
    for table in dict.fromkeys(sources.values()) if ids else ():
        columns = [name for name, source in sources.items() if source == table]
        shown = ", ".join(f"{quoted(name)}::VARCHAR" for name in columns)
        for sample_id, *values in pairs.query(f"SELECT sample_id, {shown} FROM {table} WHERE {where}", ids):
            found[sample_id] |= zip(columns, values, strict=True)
    return {
        sample_id: tuple((name, row[name]) for name in sources if row.get(name) not in (None, ""))
        for sample_id, row in found.items()
    }
