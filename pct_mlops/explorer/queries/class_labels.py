"""Makes unique titles of classes, and searches and sorts rows of classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pct_mlops.charts import printable

if TYPE_CHECKING:
    from pct_mlops.comparison import ClassCounts

ORDERS = {"nfr": "NFR", "pfr": "PFR", "accuracy": "accuracy lost", "support": "support", "name": "name"}


def unique(names: Sequence[str]) -> list[str]:
    """Return one title per class index: the name, with the index behind it where the name is empty or not unique."""
    shown = [printable(name).strip() for name in names]
    times = Counter(shown)
    titles = [name if name and times[name] == 1 else f"{name} #{i}".strip() for i, name in enumerate(shown)]
    # A name may itself end like an index. Then only titles with an index are surely unique.
    return titles if len(set(titles)) == len(titles) else [f"{name} #{i}".strip() for i, name in enumerate(shown)]


def matching(names: Sequence[str], needle: str) -> Callable[[int], bool] | None:
    """Return a test of whether the name of a class index contains `needle`, whatever its case. None without a text."""
    wanted = needle.strip().casefold()
    return (lambda index: wanted in names[index].casefold()) if wanted else None


def ordered(rows: Sequence[ClassCounts], order: str, wanted: Callable[[int], bool] | None = None) -> list[ClassCounts]:
    """Return the rows whose index is `wanted`, sorted by a key of ORDERS: the largest first, names alphabetically."""
    keys: dict[str, Callable[[ClassCounts], Any]] = {
        "nfr": lambda row: -(row.counts.negative_flips / row.counts.total if row.counts.total else -1),
        "pfr": lambda row: -(row.counts.positive_flips / row.counts.total if row.counts.total else -1),
        "accuracy": lambda row: (
            (row.counts.positive_flips - row.counts.negative_flips) / row.counts.total if row.counts.total else 2
        ),
        "support": lambda row: -row.counts.total,
        "name": lambda row: row.name.casefold(),
    }
    return sorted((row for row in rows if wanted is None or wanted(row.index)), key=keys[order])
