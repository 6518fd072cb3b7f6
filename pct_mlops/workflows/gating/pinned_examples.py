"""Pins examples that a reviewer called a blocker and that a candidate puts right: they must stay right."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.errors import ConfigError, TableError
from pct_mlops.gate import Mark, review_state

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison
    from pct_mlops.config.policy import Pinned
    from pct_mlops.registry import Registry

PAGE = 10_000


def pinned_file(pinned: Pinned | None, policy_file: Path) -> Path:
    """Return the CSV that a policy pins examples with. Raise ConfigError when it has none that can be added to."""
    if pinned is None:
        raise ConfigError(
            f"{policy_file} pins nothing, so --pin-fixed has no list to add to: write 'pinned: {{file: pinned.csv}}' "
            "into it, and make that file with the one line sample_id."
        )
    path = policy_file.absolute().parent / pinned.file
    if path.suffix.lower() != ".csv":
        raise ConfigError(f"{path} is no CSV, and --pin-fixed can add lines only to a CSV: convert it.")
    return path


def fixed_blockers(registry: Registry, names: Collection[str], comparison: Comparison) -> list[str]:
    """Return the sorted ids that carry a blocker, and that production gets wrong and the candidate right.

    A blocker on any version of the models `names` counts.
    """
    from pct_mlops.registry import reviews

    now = datetime.now(timezone.utc)
    blocked: set[str] = set()
    for name in names:
        for version in registry.versions(name):
            if any(key.startswith("pct.review.") for key in version.tags):
                blocked.update(review_state(reviews(registry, version), baseline=None, now=now).samples(Mark.BLOCKER))
    return sorted(_positive(comparison, blocked)) if blocked else []


def with_ids(path: Path, ids: Collection[str]) -> tuple[str, int]:
    """Return the file's text with the ids that it lacks added at its end, and their number. All else is unchanged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror}): correct 'pinned' in the policy.") from error
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    known = {row["sample_id"] for row in rows}
    missing = [sample for sample in ids if sample not in known]
    end = "\r\n" if "\r\n" in text else "\n"
    added = io.StringIO()
    writer = csv.DictWriter(added, rows.fieldnames or ["sample_id"], restval="", lineterminator=end)
    writer.writerows({"sample_id": sample} for sample in missing)
    start = text if not text or text.endswith("\n") else f"{text}{end}"
    return start + added.getvalue(), len(missing)


def _positive(comparison: Comparison, ids: Collection[str]) -> Iterator[str]:
    offset = 0
    while page := comparison.flips("positive", sample_ids=ids, sort="sample_id", limit=PAGE, offset=offset):
        yield from (row.sample_id for row in page)
        offset += PAGE
