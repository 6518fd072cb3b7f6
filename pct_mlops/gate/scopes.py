"""Finds what a rule is held against: all examples, classes, slices, or classes within slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pct_mlops.config import unknown
from pct_mlops.config.numbers import NO_VALUE
from pct_mlops.errors import ConfigError, PctError
from pct_mlops.gate.decision import NotJudged

if TYPE_CHECKING:
    from pct_mlops.comparison import ClassCounts, Comparison, FlipCounts
    from pct_mlops.config import Rule

MAX_CHECKS = 100_000


@dataclass(frozen=True)
class Scope:
    """Some examples: of a class, of a slice (column, value), of both, or all. `support` counts them.

    `negative_flips` counts those among them.

    `on` keeps to the labels that the old model knows (shared), or that only the new one does (new).
    """

    support: int
    class_index: int | None = None
    class_name: str | None = None
    slice: tuple[str, str] | None = None
    on: str = "all"
    negative_flips: int | None = None

    @property
    def subject(self) -> str:
        """Words that follow a metric's name: " of 'cat'", " where camera is 'night'". Empty for all examples."""
        where = f" of '{self.class_name}'" if self.class_name is not None else ""
        where += f" on {self.on} classes" if self.on != "all" else ""
        return where + (f" where {self.slice[0]} is '{self.slice[1]}'" if self.slice else "")

    @property
    def examples(self) -> str:
        """Noun for the examples of this scope."""
        if self.slice is not None:
            return "such examples"
        return "examples" if self.class_name is None else "examples of this class"


def scopes(rule: Rule, comparison: Comparison) -> tuple[list[Scope], list[NotJudged]]:
    """Return the scopes that a rule judges, and the classes and slices that are too small for it.

    Raises:
        PctError: a class, column or value does not exist, or nothing is large enough. A class or value that the rule
            names is never skipped: if it is too small, that is an error, too.
    """
    slices = _slices(rule, comparison)
    number = len(slices) * (len(comparison.new.class_names) if rule.judged_classes == "all" else 1)
    if number > MAX_CHECKS:
        raise ConfigError(f"{rule.metric} would be judged {number:,} times: take a coarser column, or name classes.")
    found = [scope for slice in slices for scope in _parts(rule, comparison, slice)]
    by_name = _is_by_name(rule)
    large, small = [], []
    for scope in found:
        if scope.support >= rule.min_support:
            large.append(scope)
        elif by_name:
            what = f"{rule.metric}{scope.subject}"
            raise ConfigError(f"{what} needs {rule.min_support:,} examples, and there are {scope.support:,}.")
        else:
            item = NotJudged(rule.metric, scope.class_name, scope.support, rule.min_support, scope.slice, scope.on)
            small.append(replace(item, negative_flips=scope.negative_flips))
    # If only the slice of examples without a value is large enough, no slice that the rule means was judged.
    if not [scope for scope in large if not (_is_every_slice(rule) and scope.slice and scope.slice[1] == NO_VALUE)]:
        raise _NoneLarge(f"No {_kind(rule)} has {rule.min_support:,} examples, so {rule.metric} judges nothing.", small)
    return large, small


class _NoneLarge(ConfigError):
    """Error for a rule under which nothing is large enough. `small` lists what there is."""

    def __init__(self, message: str, small: Sequence[NotJudged] = ()) -> None:
        super().__init__(message)
        self.small = list(small)


def too_small(error: PctError) -> list[NotJudged]:
    """Return the classes and slices that were too small when `scopes` raised this error."""
    return error.small if isinstance(error, _NoneLarge) else []


def _kind(rule: Rule) -> str:
    part = "" if rule.on in (None, "all") else f"{rule.on} "
    value = "" if rule.slice is None else f"value of column '{rule.slice.column}'"
    if rule.judged_classes is None:
        return value
    return f"{part}class within a {value}" if _is_every_slice(rule) else f"{part}class"


def _is_every_slice(rule: Rule) -> bool:
    return rule.slice is not None and rule.slice.value is None


def _is_by_name(rule: Rule) -> bool:
    return not _is_every_slice(rule) and rule.judged_classes != "all"


def _slices(rule: Rule, comparison: Comparison) -> list[tuple[tuple[str, str] | None, FlipCounts]]:
    part = rule.on or "all"
    if rule.slice is None:
        return [(None, comparison.counts if part == "all" else comparison.counts_on(part))]
    column, value = rule.slice.column, rule.slice.value
    found = {item.value: item.counts for item in comparison.slices(column)}
    if part != "all":
        found = {name: comparison.counts_on(part, (column, name)) for name in found}
    if value is None:
        return [((column, name), counts) for name, counts in found.items()]
    if value not in found:
        raise unknown(f"value of column '{column}'", value, list(found))
    return [((column, value), found[value])]


def _parts(rule: Rule, comparison: Comparison, slice: tuple[tuple[str, str] | None, FlipCounts]) -> list[Scope]:
    place, counts = slice
    wanted, on = rule.judged_classes, rule.on or "all"
    if wanted is None:
        return [Scope(counts.total, slice=place, on=on, negative_flips=counts.negative_flips)]
    classes = comparison.classes(place) if place else comparison.classes()
    if wanted != "all":
        classes = _named(wanted, classes)
    labels = None if on == "all" else comparison.labels_on(on)
    if labels is not None:
        other = [part.name for part in classes if part.index not in labels]
        if other and wanted != "all":
            raise ConfigError(f"'{other[0]}' is no {on} class: leave it out of the rule on {rule.metric}.")
        classes = [part for part in classes if part.index in labels]
    return [Scope(part.counts.total, part.index, part.name, place, on, part.counts.negative_flips) for part in classes]


def _named(names: tuple[str, ...], classes: list[ClassCounts]) -> list[ClassCounts]:
    """Return all classes with these names. Some data sets (ImageNet) give two classes one name: a rule means both."""
    known: dict[str, list[ClassCounts]] = {}
    for part in classes:
        known.setdefault(part.name, []).append(part)
    for name in names:
        if name not in known:
            raise unknown("class", name, list(known))
    return [part for name in names for part in known[name]]
