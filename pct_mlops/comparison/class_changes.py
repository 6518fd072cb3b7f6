"""Finds which classes only one of two models knows, and which predictions an alias makes right."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pct_mlops.config import unknown
from pct_mlops.config.numbers import percent
from pct_mlops.errors import ConfigError
from pct_mlops.predictions.alignment import align, joined_class_order, known_classes

if TYPE_CHECKING:
    from pct_mlops.comparison.comparison import Comparison
    from pct_mlops.predictions import Predictions

# Parts of the examples, by label. "shared" are labels that the old model knows, "new" those that only the new one does.
PARTS = ("all", "shared", "new")

Aliases = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class KnownClasses:
    """Classes that the old and the new model can be right on.

    `inferred` names the sides (old, new) whose tables do not state them. There, a label that the model never predicts
    counts as a class that it does not know.
    """

    old: frozenset[str]
    new: frozenset[str]
    inferred: tuple[str, ...] = ()

    @property
    def differ(self) -> bool:
        """True if one of the models knows a class that the other does not."""
        return self.old != self.new

    def part(self, name: str) -> frozenset[str]:
        """Return the labels of the part "shared" or "new"."""
        return self.old if name == "shared" else self.new - self.old


@dataclass(frozen=True)
class ClassChange:
    """Difference between the classes of two models.

    A class that only the old model knows is gone. Its examples count as shared, because their flips are real losses.

    Attributes:
        shared: names of the classes that both models know.
        new: names of the classes that only the new model knows.
        gone: names of the classes that only the old model knows.
        num_shared: number of examples whose label the old model knows.
        num_new: number of examples whose label only the new model knows.
        num_gone: number of examples whose label only the old model knows; they are among `num_shared`.
        inferred: sides ("old", "new") whose tables do not state what the model knows. There, a label that the model
            never predicts counts as a class that it does not know.

    Example:
        >>> from pct_mlops import Predictions, compare
        >>> ids, labels = ["a", "b", "c"], ["zip", "npz", "npz"]
        >>> old = Predictions.from_arrays(sample_ids=ids, labels=labels, predictions=["zip", "zip", "zip"])
        >>> new = Predictions.from_arrays(sample_ids=ids, labels=labels, predictions=["zip", "npz", "npz"])
        >>> change = compare(old, new).class_change
        >>> change.shared, change.new, change.num_new, change.inferred
        (('zip',), ('npz',), 2, ('old', 'new'))
    """

    shared: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    num_shared: int
    num_new: int
    num_gone: int
    inferred: tuple[str, ...] = ()

    @property
    def shared_labels(self) -> str:
        """Words that follow "labels": those of the shared examples."""
        return "that the old model predicts at least once" if "old" in self.inferred else "that the old model knows"

    @property
    def new_labels(self) -> str:
        """Words that follow "labels": those of the new examples."""
        return "that the old model never predicts" if "old" in self.inferred else "that only the new model knows"


def aligned_by_name(
    old: Predictions, new: Predictions, aliases: Aliases | None
) -> tuple[Predictions, Predictions, KnownClasses]:
    """Return both tables with one list of classes, and the classes that each model knows.

    Raises:
        PctError: an alias names a class that neither table has, or class names are not unique.
    """
    names = joined_class_order(old.info, new.info)
    known = known_classes(old, new.info), known_classes(new, old.info)
    if aliases and len(set(new.info.class_names)) < len(new.info.class_names):
        raise ConfigError("'aliases' go by class name, and two classes of the tables have one name: rename them first.")
    pairs = alias_pairs(aliases or {}, names or new.info.class_names)
    right = (right_by_alias(pairs, known[0]), right_by_alias(pairs, known[1]))
    aligned = align(old, new, names, right)
    reach = [side | {label for label, said in found if said in side} for side, found in zip(known, right, strict=True)]
    inferred = tuple(side for side, table in (("old", old), ("new", new)) if table.info.classes_from_data)
    return *aligned, KnownClasses(reach[0], reach[1], inferred)


def alias_pairs(aliases: Aliases, names: Collection[str]) -> list[tuple[str, str]]:
    """Return the aliases as (coarse, fine) pairs. Raise PctError for a name that is no class of either table."""
    pairs = [(coarse, name) for coarse, fine in aliases.items() for name in ([fine] if isinstance(fine, str) else fine)]
    for name in (name for pair in pairs for name in pair):
        if name not in names:
            raise unknown("class under 'aliases'", name, list(names))
    return pairs


def right_by_alias(pairs: Sequence[tuple[str, str]], known: Collection[str]) -> list[tuple[str, str]]:
    """Return the (label, prediction) pairs that count as right for a model that knows these classes.

    A finer prediction than the label is right. A coarser one is right only where the model does not know the finer
    class, since then it could not say more.
    """
    finer = [(coarse, fine) for coarse, fine in pairs if fine in known]
    return finer + [(fine, coarse) for coarse, fine in pairs if fine not in known and coarse in known]


def class_change_of(comparison: Comparison, known: KnownClasses) -> ClassChange:
    """Return the difference between the classes of two models, with the numbers of examples."""
    names = comparison.new.class_names
    totals = {part.name: part.counts.total for part in comparison.classes()}

    def those(wanted: frozenset[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name in wanted)

    gone = those(known.old - known.new)
    return ClassChange(
        those(known.old & known.new),
        those(known.new - known.old),
        gone,
        comparison.counts_on("shared").total,
        comparison.counts_on("new").total,
        sum(totals[name] for name in gone),
        known.inferred,
    )


def unknown_labels(comparison: Comparison, known: KnownClasses) -> dict[str, int]:
    """Return the labels that neither model knows, with their numbers of examples.

    Return none where both sides are inferred: there, such a label is only one that neither model predicts.
    """
    if len(known.inferred) == len(("old", "new")):
        return {}
    either = known.old | known.new
    counts = {part.name: part.counts.total for part in comparison.classes()}
    return {name: number for name, number in counts.items() if number and name not in either}


def unknown_labels_sentence(comparison: Comparison) -> str:
    """Say how many examples have a label that neither model knows. Return "" where there are none."""
    names = list(comparison.unknown_labels)
    if not names:
        return ""
    number = sum(comparison.unknown_labels.values())
    examples = f"{number:,} example" + ("" if number == 1 else "s")
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return (
        f"Neither model knows the label of {examples} ({shown}), so both count as wrong on them: check the class names "
        "if one should know it."
    )


def shared_loss(comparison: Comparison) -> str:
    """Say that accuracy fell on the labels that the old model knows but rose over all. Return "" where it did not."""
    change = comparison.class_change
    if change is None:
        return ""
    shared, whole = comparison.counts_on("shared"), comparison.counts
    if shared.positive_flips >= shared.negative_flips or whole.positive_flips <= whole.negative_flips:
        return ""
    on_shared, over_all = (
        [comparison.estimate(name, on=part).value for name in ("accuracy_old", "accuracy_new")]
        for part in ("shared", "all")
    )
    return (
        f"On the labels {change.shared_labels}, accuracy fell from {percent(on_shared[0])} to "
        f"{percent(on_shared[1])}, although over all examples it rose from {percent(over_all[0])} to "
        f"{percent(over_all[1])}."
    )
