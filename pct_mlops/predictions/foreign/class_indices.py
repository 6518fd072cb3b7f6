"""Settles the class names of a foreign table, and which class each of its labels and predictions is."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pct_mlops.errors import TableError
from pct_mlops.predictions.foreign.read_options import MAX_CLASSES, checked_names

# A whole number as programs write class numbers, 7 or 7.0; 007 is a name.
_WHOLE = re.compile(r"(0|[1-9][0-9]{0,17})(\.0+)?")
_SHOWN = 8  # names in a log line
_LOG = logging.getLogger("pct_mlops.predictions")


@dataclass(frozen=True)
class Classes:
    """Class names in order, and the class index of each value that stands for one, by column (label, prediction).

    `from_data`: the names are those that occur, so that another table of the same classes may hold further ones.
    `known`: the classes that the model can predict, which come first. It is empty where these are all of the names.
    """

    names: tuple[str, ...]
    indices: dict[str, dict[str, int]]
    from_data: bool
    known: tuple[str, ...] = ()

    @property
    def num_scores(self) -> int:
        """Number of classes that the model has a score for, where it has any."""
        return len(self.known or self.names)


class NoClassError(TableError):
    """A value that stands for no class. The caller adds where it was found.

    Attributes:
        column: label or prediction.
        value: the value.
        names: the classes that it could be.
        only_numbers: whether it is a class number that is too large.
    """

    def __init__(self, column: str, value: str, names: Sequence[str], *, only_numbers: bool = False) -> None:
        self.column, self.value, self.names, self.only_numbers = column, value, names, only_numbers
        super().__init__(f"{value} is no class")

    def sentence_end(self, list_them: str) -> str:
        """Return the end of a sentence: the classes that there are, and what to do.

        `list_them` says how to list class names here.
        """
        shown = ", ".join(self.names[:5]) + (", ..." if len(self.names) > 5 else "")
        if self.column == "prediction":
            return f"is no class of {shown}: {list_them}, one for rejected examples too."
        if self.only_numbers:
            return f"is no class of {shown}: {list_them}, or give labels as names where the model does not know them."
        return f"is no class of {shown}, and no other label is one: correct the labels or the class names."


def settle_classes(
    what: str,
    values: Mapping[str, Collection[str]],
    given: Sequence[str] | None,
    num_scores: int | None,
    known: Sequence[str] | None = None,
) -> Classes:
    """Return the classes of a table.

    Labels may name classes that the model does not know, as long as it knows one of the labels. Such classes follow
    those of the model.

    Args:
        what: the table, for errors.
        values: the different values of the columns label and, where there is one, prediction.
        given: class names by class number. None takes them from the values.
        num_scores: how many scores each example has. None means none.
        known: names of the classes that the model knows, in the order of the scores. They are among those `given`,
            and by default they are all of those.

    Raises:
        NoClassError: a value is no class.
        PctError: the names do not fit, or are missing and cannot be found.
    """
    from_data = given is None and known is None and num_scores is None
    if from_data:
        names = _observed(what, values)
        stated = _Stated(names, names)
    else:
        stated = _stated(what, values, given, num_scores, known)
    named = _named(values, stated)
    own = stated.places
    further = {name for name in named.get("label", {}).values() if name not in own}
    names = checked_names((*own, *sorted(further)), what)
    place = {name: index for index, name in enumerate(names)}
    indices = {column: {value: place[name] for value, name in found.items()} for column, found in named.items()}
    return Classes(names, indices, from_data, stated.known if len(stated.known) < len(names) else ())


def log_unknown_labels(what: str, names: Sequence[str], num_examples: int) -> None:
    """Warn of labels that the model does not know, in one line of the log. One may be misspelt."""
    if names:
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
        text = "%s: the model does not know %s of the labels (%s), so its predictions for %s count as wrong."
        examples = f"{num_examples:,} example" + ("" if num_examples == 1 else "s")
        _LOG.warning(text, what, f"{len(names):,}", shown, examples)


class _Stated(NamedTuple):
    """Classes that the model can predict, in the order of its scores, and classes by class number.

    `are_names` is False where the scores have no names but their places.
    """

    known: tuple[str, ...]
    numbered: tuple[str, ...]
    are_names: bool = True

    @property
    def places(self) -> dict[str, int]:
        """Name -> place. Classes of the model come first."""
        return {name: place for place, name in enumerate(dict.fromkeys((*self.known, *self.numbered)))}


def _stated(
    what: str,
    values: Mapping[str, Collection[str]],
    given: Sequence[str] | None,
    num_scores: int | None,
    known: Sequence[str] | None,
) -> _Stated:
    """Return the classes of a table that states them: by their names, or by the number of its scores."""
    numbered = None if given is None else checked_names(given, what)
    own = numbered if known is None else checked_names(known, what)
    if own is None:
        assert num_scores is not None  # as the caller saw
        names = _numbers(what, num_scores)
        if any(not _are_whole(found) for found in values.values()):
            raise TableError(
                f"{what} names its classes, but not in which order the scores stand: "
                "give the names in that order with --classes."
            )
        return _Stated(names, names, are_names=False)
    if num_scores is not None and num_scores != len(own):
        raise TableError(
            f"{what} has {num_scores:,} scores for each example, and there are {len(own):,} class names: name each "
            "score by a column prob_CLASS, or give the names of the scores alone."
        )
    return _Stated(own, own if numbered is None else numbered)


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


def _named(values: Mapping[str, Collection[str]], stated: _Stated) -> dict[str, dict[str, str]]:
    """Return the class name of each value by column. Raise NoClassError for a value that stands for no class."""
    places = stated.places
    numbers = _columns_of_numbers(values, stated)
    named: dict[str, dict[str, str]] = {}
    for column, found in values.items():
        if column in numbers:
            large = [value for value in found if _number(value) >= len(stated.numbered)]
            if large:
                raise NoClassError(column, min(large), stated.numbered, only_numbers=True)
            named[column] = {value: stated.numbered[_number(value)] for value in found}
        else:
            named[column] = {value: _plain(value, places) for value in found}
    known = set(stated.known)
    labels = named.get("label", {})
    if labels and known.isdisjoint(labels.values()):
        raise NoClassError("label", min(labels), stated.known)
    wrong = [value for value, name in named.get("prediction", {}).items() if name not in known]
    if wrong:
        raise NoClassError("prediction", min(wrong), stated.known)
    return named


def _columns_of_numbers(values: Mapping[str, Collection[str]], stated: _Stated) -> list[str]:
    """Return the columns that hold class numbers. Both columns are read alike: names may be numbers themselves."""
    whole = [column for column, found in values.items() if _are_whole(found)]
    places = stated.places
    found = [value for column in whole for value in values[column]]
    if all(_plain(value, places) in places for value in found):
        return []
    are_numbers = all(_number(value) < len(stated.numbered) for value in found)
    # Of classes that are called 1, 2 and 3, a label 4 that is no class number is the name of a further class.
    return [] if stated.are_names and not are_numbers and _are_whole(stated.known) else whole


def _number(value: str) -> int:
    return int(value.split(".", maxsplit=1)[0])


def _plain(value: str, places: Collection[str]) -> str:
    """Return a whole number without the decimals that pandas gives it, unless a class is called so."""
    return value if value in places or not _WHOLE.fullmatch(value) else value.split(".", maxsplit=1)[0]


def _are_whole(values: Iterable[str]) -> bool:
    return all(map(_WHOLE.fullmatch, values))
