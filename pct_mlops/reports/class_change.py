"""Writes sentences on what changed between the classes of two models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pct_mlops.config.numbers import percent, points

if TYPE_CHECKING:
    from pct_mlops.comparison import ClassChange, Comparison

_MAX_NAMES = 5


def class_change_lines(comparison: Comparison, confidence: float = 0.95) -> list[str]:
    """Return sentences on the classes, then on each part of the examples. Return none where the classes are equal."""
    change = comparison.class_change
    if change is None:
        return []
    lines = [_names(change)]
    if change.num_new:
        lines += [_part(comparison, part, confidence) for part in ("shared", "new")]
    if change.num_gone:
        lines.append(
            f"The shared examples include {_examples(change.num_gone)} of classes {_gone(change)}: their flips are "
            "real losses."
        )
    return lines


def _names(change: ClassChange) -> str:
    new = "never predicted by the old model" if "old" in change.inferred else "known to the new model only"
    gone = "never predicted by the new model" if "new" in change.inferred else "known to the old model only"
    return f"Classes: {len(change.shared):,} shared; {_some(change.new)} {new}; {_some(change.gone)} {gone}."


def _gone(change: ClassChange) -> str:
    return "that the new model never predicts" if "new" in change.inferred else "that only the old model knows"


def _part(comparison: Comparison, part: str, confidence: float) -> str:
    old, new, change, nfr = (
        comparison.estimate(name, confidence, on=part)
        for name in ("accuracy_old", "accuracy_new", "accuracy_change", "nfr")
    )
    found = comparison.class_change
    assert found is not None  # as the caller saw
    who = found.shared_labels if part == "shared" else found.new_labels
    total = comparison.counts_on(part).total
    return (
        f"On {_examples(total)} with a label {who}: accuracy {percent(old.value)} before, {percent(new.value)} now "
        f"({points(change.value)}, bounds {points(change.lower)} to {points(change.upper)}); NFR {percent(nfr.value)} "
        f"(bounds {percent(nfr.lower)} to {percent(nfr.upper)})."
    )


def _examples(number: int) -> str:
    return f"{number:,} example" + ("" if number == 1 else "s")


def _some(names: Sequence[str]) -> str:
    if not names:
        return "none"
    shown = ", ".join(names[:_MAX_NAMES])
    return f"{len(names):,} ({shown}{', ...' if len(names) > _MAX_NAMES else ''})"
