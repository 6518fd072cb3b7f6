"""Finds which column of a foreign table holds what, and reads its values in SQL whatever their type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pct_mlops.config import unknown
from pct_mlops.errors import TableError
from pct_mlops.predictions.foreign.read_options import PLURAL_NAMES, PREFIXES, USUAL_NAMES, ReadOptions
from pct_mlops.predictions.sql import quoted

_VECTORS = ("probabilities", "logits")
_NUMBER = re.compile(r"FLOAT|DOUBLE|DECIMAL.*")
_NESTED = re.compile(r".*\]|(STRUCT|MAP|UNION).*", re.DOTALL)


@dataclass(frozen=True)
class Scores:
    """The scores of every class: one column of lists, or one column a class with the names that these columns give.

    `kind` is probabilities or logits.
    """

    kind: str
    columns: tuple[str, ...]
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Layout:
    """The column of each meaning, None where there is none, and the columns that mean nothing known.

    `absent` holds the meanings for which a person named columns that this table does not have.
    """

    sample_id: str
    label: str
    prediction: str | None
    confidence: str | None
    label_confidence: str | None
    scores: Scores | None
    others: tuple[str, ...]
    absent: tuple[str, ...] = ()


def find_columns(what: str, names: Sequence[str], options: ReadOptions) -> Layout:
    """Return the layout of a table. Raise PctError for two candidates for one meaning, or where one is missing."""
    by_name = {name.lower(): name for name in names}
    mapping, absent = _of_this_table(by_name, options)
    found = {meaning: _single(what, meaning, by_name, mapping) for meaning in USUAL_NAMES}
    found |= {key: found[key] or _plural(what, key, by_name) for key in ("sample_id", "label")}
    if found["sample_id"] is None:
        raise _missing(what, "sample_id", names, "examples are joined by id, never by their order")
    if found["label"] is None:
        raise _missing(what, "label", names, "it is the class that an example belongs to")
    scores = {kind: _scores(what, kind, found[kind], by_name, mapping) for kind in _VECTORS}
    if scores["probabilities"] and scores["logits"]:
        raise TableError(
            f"{what} holds both probabilities and logits ({_shown(scores['probabilities'].columns[:1])} and "
            f"{_shown(scores['logits'].columns[:1])}): leave one of them out of the file."
        )
    either = scores["probabilities"] or scores["logits"]
    if either is None:
        found["prediction"] = found["prediction"] or _plural(what, "prediction", by_name)
    if found["prediction"] is None and either is None:
        raise _missing(what, "prediction", names, "it is what the model said; probabilities or logits do as well")
    used = {found[meaning] for meaning in USUAL_NAMES} | set(either.columns if either else ())
    return Layout(
        found["sample_id"],
        found["label"],
        found["prediction"],
        found["confidence"],
        found["label_confidence"],
        either,
        tuple(name for name in names if name not in used),
        absent,
    )


def _of_this_table(by_name: dict[str, str], options: ReadOptions) -> tuple[Sequence[tuple[str, str]], tuple[str, ...]]:
    """Return the pairs of meaning and column that are about this table, and the meanings that it leaves out.

    Options of several files may name a column that only one of them has. The others are searched by usual names.
    """
    if not options.are_shared:
        return options.columns, ()
    found = {meaning for meaning, column in options.columns if _is_there(column, by_name)}
    usual = {meaning for meaning, names in USUAL_NAMES.items() if any(name in by_name for name in names)}
    usual |= {meaning for meaning, names in PLURAL_NAMES.items() if any(name in by_name for name in names)}
    usual |= {meaning for meaning, prefix in PREFIXES.items() if _is_there(f"{prefix}*", by_name)}
    absent = {meaning for meaning, _ in options.columns} - found
    # Where there is no usual name either, the error is about the one that was named.
    kept = tuple(pair for pair in options.columns if pair[0] not in absent or pair[0] not in usual)
    return kept, tuple(sorted(absent))


def _is_there(column: str, by_name: dict[str, str]) -> bool:
    if column.endswith("*"):
        return any(name.startswith(column[:-1].lower()) for name in by_name)
    return column.lower() in by_name


def _single(what: str, meaning: str, by_name: dict[str, str], mapping: Sequence[tuple[str, str]]) -> str | None:
    """Return the column of a meaning: the one that was named, else the only one of a usual name."""
    named = [column for key, column in mapping if key == meaning and not column.endswith("*")]
    if any(key == meaning for key, _ in mapping):
        there = [by_name[column.lower()] for column in named if column.lower() in by_name]
        if named and not there:
            raise unknown(f"column of {what}", named[0], list(by_name.values()))
    else:
        there = [by_name[name] for name in USUAL_NAMES[meaning] if name in by_name]
    return _only(what, meaning, there)


def _plural(what: str, meaning: str, by_name: dict[str, str]) -> str | None:
    """Return the only column with a plural name. Where there is a usual name, a plural one may mean something else."""
    return _only(what, meaning, [by_name[name] for name in PLURAL_NAMES[meaning] if name in by_name])


def _only(what: str, meaning: str, there: list[str]) -> str | None:
    """Return the only column of those that are there, None for none. Raise TableError for several."""
    if len(there) > 1:
        raise TableError(
            f"{what} has {len(there)} columns for the {meaning} ({_shown(there)}): "
            f"say which one with --columns {meaning}={there[0]}."
        )
    return there[0] if there else None


def _scores(
    what: str, kind: str, lists: str | None, by_name: dict[str, str], mapping: Sequence[tuple[str, str]]
) -> Scores | None:
    """Return the scores of one kind: a column of lists, or columns that begin alike."""
    prefixes = [column[:-1] for key, column in mapping if key == kind and column.endswith("*")]
    # A column of lists that was named beats columns that are guessed by their beginning.
    guessed = [] if any(key == kind for key, _ in mapping) else [PREFIXES[kind]]
    for prefix in prefixes or guessed:
        columns = [name for low, name in by_name.items() if low.startswith(prefix.lower())]
        if len(columns) > 1 and lists is not None:
            raise TableError(
                f"{what} holds {kind} twice ({_shown([lists, *columns[:1]])}): say which with --columns {kind}={lists}."
            )
        if len(columns) > 1:
            return Scores(kind, tuple(columns), tuple(name[len(prefix) :] for name in columns))
    if prefixes and lists is None:
        raise TableError(
            f"{what} has no two columns that begin with '{prefixes[0]}', which --columns names for {kind}."
        )
    return Scores(kind, (lists,)) if lists is not None else None


def _missing(what: str, meaning: str, names: Sequence[str], why: str) -> TableError:
    usual = " | ".join((*USUAL_NAMES[meaning], *PLURAL_NAMES[meaning]))
    return TableError(
        f"{what} has no column {usual} ({why}): its columns are {_shown(names)}; name one with "
        f"--columns {meaning}=NAME."
    )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:8]) + (f" and {len(names) - 8:,} more" if len(names) > 8 else "")


def is_nested(kind: str) -> bool:
    """Tell whether values of a DuckDB type are lists or records."""
    return _NESTED.fullmatch(kind) is not None


def as_text(name: str, kind: str) -> str:
    """Return SQL for a value as text: a number without decimals as a whole one, True and False as Python has them."""
    column = quoted(name)
    if kind == "BOOLEAN":
        return f"CASE WHEN {column} THEN 'True' WHEN NOT {column} THEN 'False' END"
    if kind == "BLOB":
        return f"decode({column})"
    if kind == "JSON":
        flag = f"CASE {column}->>'$' WHEN 'true' THEN 'True' ELSE 'False' END"
        return f"CASE json_type({column}) WHEN 'NULL' THEN NULL WHEN 'BOOLEAN' THEN {flag} ELSE {column}->>'$' END"
    if _NUMBER.fullmatch(kind):
        number = f"{column}::DOUBLE"
        whole = f"abs({number}) < 1e15 AND {number} = trunc({number})"
        text = f"CASE WHEN {whole} THEN {number}::BIGINT::VARCHAR ELSE {column}::VARCHAR END"
        return f"CASE WHEN isnan({number}) THEN NULL ELSE {text} END"
    return f"{column}::VARCHAR"


def as_number(name: str, kind: str) -> str:
    """Return SQL for a value as DOUBLE, or NULL for a text that is no number."""
    text = f"{quoted(name)}->>'$'" if kind == "JSON" else quoted(name)
    return f"TRY_CAST({text} AS DOUBLE)"


def as_vector(scores: Scores, types: dict[str, str]) -> str:
    """Return SQL for the scores of all classes as DOUBLE[], with NULL for what is no number."""
    if scores.class_names is not None:
        return f"[{', '.join(as_number(name, types[name]) for name in scores.columns)}]"
    return f"TRY_CAST({quoted(scores.columns[0])} AS DOUBLE[])"
