"""Tells what changed between two models, from what is recorded of them. All of it is pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pct_mlops.workflows.advice.evidence_table import (
    ARCHITECTURE_GROWTH,
    CHANGES,
    CLASS_GROWTH,
    DATA_GROWTH,
    LABEL_CLEANING,
)

# What is no change of the decision table.
RETRAINING, NO_TRAINING, NOT_RECORDED = "retraining", "no training", "not recorded"
_MAX_NAMES = 3


@dataclass(frozen=True)
class ModelFacts:
    """Facts that are recorded of a model, or that a recipe says of it. Empty or None is what is not known.

    Attributes:
        classes: Names of the classes that it knows.
        architecture: Name and arguments.
        num_weights: Number of weights and buffers.
        data: Section `data` of the recipe.
        num_val: Number of examples on val, which is held out of the training data.
        operation: How it was made of other versions without a training, for example "ensemble".
    """

    classes: frozenset[str] | None = None
    architecture: str = ""
    num_weights: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    num_val: int | None = None
    operation: str = ""

    def number(self, key: str, otherwise: float) -> float:
        """Return a number of the data section. A value that is none, as in a damaged file, counts as not given."""
        value = self.data.get(key)
        return value if isinstance(value, int | float) else otherwise

    @property
    def is_empty(self) -> bool:
        """True where neither an architecture nor a recipe is known, so that only classes and labels can differ."""
        return not self.architecture and not self.data


@dataclass(frozen=True)
class Change:
    """One thing that changed.

    Attributes:
        kind: A kind of change of the decision table, or "retraining", "no training" or "not recorded".
        detail: What it was told from, for example "data.train_fraction 0.5 to 1.0".
    """

    kind: str
    detail: str = ""

    @property
    def is_measured(self) -> bool:
        """True for a kind of change that the decision table is about."""
        return self.kind in CHANGES


def changes_between(old: ModelFacts, new: ModelFacts, *, relabelled: int = 0) -> list[Change]:
    """Return what changed, the change that matters most first. There is always one.

    Args:
        old: The model that is replaced.
        new: What replaces it.
        relabelled: Number of examples whose label differs between the stored tables of both.
    """
    if new.operation:
        return [Change(NO_TRAINING, new.operation)]
    found = [
        Change(CLASS_GROWTH, _classes(old, new)),
        Change(ARCHITECTURE_GROWTH, _growth(old, new)),
        Change(LABEL_CLEANING, _cleaning(old, new, relabelled)),
        Change(DATA_GROWTH, _more_data(old, new)),
    ]
    changes = [change for change in found if change.detail]
    if changes:
        return changes
    if old.is_empty or new.is_empty:
        return [Change(NOT_RECORDED, "no recipe or architecture")]
    return [Change(RETRAINING, _other(old, new))]


def _classes(old: ModelFacts, new: ModelFacts) -> str:
    """Say which classes the new model knows besides. Return "" for none."""
    before, after = old.data.get("classes"), new.data.get("classes")
    if old.classes is not None and new.classes is not None:
        added = sorted(new.classes - old.classes)
        return f"{len(old.classes)} to {len(new.classes)} classes: {_some(added)}" if added else ""
    if isinstance(before, list) and before and new.data and not after and _same_data(old, new):
        return f"all classes in place of {len(before)}"
    return ""


def _growth(old: ModelFacts, new: ModelFacts) -> str:
    """Say which architecture the larger one replaces. Return "" for none, and where a size is not known."""
    before, after = old.num_weights, new.num_weights
    if not _other_architecture(old, new) or before is None or after is None or after <= before:
        return ""
    return f"{old.architecture} to {new.architecture} ({before:,} to {after:,})"


def _other_architecture(old: ModelFacts, new: ModelFacts) -> bool:
    return bool(old.architecture and new.architecture and old.architecture != new.architecture)


def _cleaning(old: ModelFacts, new: ModelFacts, relabelled: int) -> str:
    if relabelled:
        return f"{relabelled:,} examples have another label"
    before, after = (facts.number("label_noise", 0) for facts in (old, new))
    return f"data.label_noise {before} to {after}" if old.data and new.data and after < before else ""


def _more_data(old: ModelFacts, new: ModelFacts) -> str:
    if not (old.data and new.data) or old.data.get("name") != new.data.get("name"):
        return ""
    before, after = (facts.number("train_fraction", 1.0) for facts in (old, new))
    if after > before:
        return f"data.train_fraction {before} to {after}"
    # Val is held out of the training data, so it grows with them.
    same_share = all(old.data.get(key) == new.data.get(key) for key in ("val_fraction", "classes"))
    # In another place lie other data, of which more examples are no growth.
    if not same_share or not _same_data(old, new) or after < before or None in (old.num_val, new.num_val):
        return ""
    grown = (new.num_val or 0) > (old.num_val or 0)
    return f"{old.num_val:,} to {new.num_val:,} examples on val" if grown else ""


def _other(old: ModelFacts, new: ModelFacts) -> str:
    """Say what else differs, for a change that is none of the decision table."""
    parts = []
    if old.data and new.data and not _same_data(old, new):
        parts.append(f"data of {_place(old)} to {_place(new)}")
    elif old.data and new.data and old.data.get("train_fraction") != new.data.get("train_fraction"):
        parts.append(f"data.train_fraction {old.data.get('train_fraction')} to {new.data.get('train_fraction')}")
    if _other_architecture(old, new):
        is_known = None not in (old.num_weights, new.num_weights)
        size = "which is no larger" if is_known else "whose sizes are not both known"
        parts.append(f"{old.architecture} to {new.architecture}, {size}")
    if old.classes is not None and new.classes is not None and old.classes - new.classes:
        parts.append(f"without {_some(sorted(old.classes - new.classes))}")
    return ", ".join(parts)


def _same_data(old: ModelFacts, new: ModelFacts) -> bool:
    return _place(old) == _place(new)


def _place(facts: ModelFacts) -> str:
    root = facts.data.get("root")
    return f"{facts.data.get('name', '')} in {root}" if root else str(facts.data.get("name", ""))


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MAX_NAMES} more" if len(listed) > _MAX_NAMES else ""
    return ", ".join(listed[:_MAX_NAMES]) + more
