"""Settles the class names of a foreign table, and which class each of its labels and predictions is."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pct_mlops.errors import TableError
from pct_mlops.predictions.foreign.read_options import MAX_CLASSES, checked_names

# A whole number as programs write class numbers, 7 or 7.0; 007 is a name.
_WHOLE = re.compile(r"(0|[1-9][0-9]{0,17})(\.0+)?")


@dataclass(frozen=True)
class Classes:
    """Class names in order, and the class index of each value that stands for one, by column (label, prediction).

    `from_data`: the names are those that occur, so that another table of the same classes may hold further ones.
    """

    names: tuple[str, ...]
    indices: dict[str, dict[str, int]]
    from_data: bool


class NoClassError(TableError):
    """A value that stands for no class. The caller adds where it was found."""

    def __init__(self, column: str, value: str, names: Sequence[str]) -> None:
        self.column, self.value, self.names = column, value, names
        super().__init__(f"{value} is no class")


def settle_classes(
    what: str, values: Mapping[str, Collection[str]], given: Sequence[str] | None, num_scores: int | None
) -> Classes:
    """Return the classes of a table.

    Args:
        what: the table, for errors.
        values: the different values of the columns label and, where there is one, prediction.
        given: class names in their order. None takes them from the values.
        num_scores: how many scores each example has. None means none.

    Raises:
        NoClassError: a value is no class.
        PctError: the names do not fit, or are missing and cannot be found.
    """
    from_data = False
    if given is not None:
        names = checked_names(given, what)
        if num_scores is not None and num_scores != len(names):
            raise TableError(
                f"{what} has {num_scores:,} scores for each example, and there are {len(names):,} class names."
            )
    elif num_scores is not None:
        names = _numbers(what, num_scores)
        if any(not _are_whole(found) for found in values.values()):
            raise TableError(
                f"{what} names its classes, but not in which order the scores stand: "
                "give the names in that order with --classes."
            )
    else:
        names, from_data = _observed(what, values), True
    return Classes(names, _indices(values, names), from_data)


def _observed(what: str, values: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the names that occur, sorted. Where all are whole numbers, return "0" to the greatest."""
    numbered = [column for column, found in values.items() if found and _are_whole(found)]
    # A column of names and numbers, such as "none" beside "1", names its classes with numbers too.
    named = [column for column, found in values.items() if found and not any(map(_WHOLE.fullmatch, found))]
    if numbered and named:
        raise TableError(
            f"{what} holds each {named[0]} as a name and each {numbered[0]} as a number: "
            "give the names in the order of the numbers with --classes."
        )
    together = {value for found in values.values() for value in found}
    if together and all(map(_are_whole, values.values())):
        return _numbers(what, 1 + max(int(value.split(".")[0]) for value in together))
    return checked_names(sorted(together), what)


def _numbers(what: str, number: int) -> tuple[str, ...]:
    if number > MAX_CLASSES:
        raise TableError(
            f"{what} has the class number {number - 1:,}, and at most {MAX_CLASSES:,} classes can be compared: "
            "give class names with --classes, or name the column of labels with --columns."
        )
    return tuple(map(str, range(number)))


def _indices(values: Mapping[str, Collection[str]], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the index of each value by column: by name where all are names, else by number where all are numbers."""
    places = {name: index for index, name in enumerate(names)}
    numbered = [column for column, found in values.items() if _are_whole(found)]
    # Both columns are read alike: names may be numbers themselves.
    by_name = all(_plain(value, places) in places for column in numbered for value in values[column])
    indices = {}
    for column, found in values.items():
        if column in numbered and not by_name:
            indices[column] = {value: int(value.split(".")[0]) for value in found}
            unknown = [value for value, index in indices[column].items() if index >= len(names)]
        else:
            indices[column] = {value: places.get(_plain(value, places), -1) for value in found}
            unknown = [value for value, index in indices[column].items() if index < 0]
        if unknown:
            raise NoClassError(column, min(unknown), names)
    return indices


def _plain(value: str, places: dict[str, int]) -> str:
    """Return a whole number without the decimals that pandas gives it, unless a class is called so."""
    return value if value in places or not _WHOLE.fullmatch(value) else value.split(".", maxsplit=1)[0]


def _are_whole(values: Iterable[str]) -> bool:
    return all(map(_WHOLE.fullmatch, values))
