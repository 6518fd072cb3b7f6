"""Records a reviewer's word on a version: the baseline it is about, and the examples that it names."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.config.policy_files import MAX_LIST_BYTES
from pct_mlops.config.texts import read_text
from pct_mlops.errors import ConfigError, PctError
from pct_mlops.gate.reviews import Mark, Review, ReviewKind

if TYPE_CHECKING:
    from pct_mlops.registry import Registry, Version

DEFAULT_MARKS = {ReviewKind.ACCEPT: Mark.ACCEPTED_LOSS, ReviewKind.REJECT: Mark.BLOCKER}
SHOWN, LONGEST = 3, 100  # ids in an error, and characters of each


@dataclass(frozen=True)
class ReviewRequest:
    """Request of a reviewer. `decision` is ACCEPT, REJECT or None. The examples `samples` get a mark."""

    by: str
    reason: str
    decision: ReviewKind | None = None
    samples: tuple[str, ...] = ()
    mark: Mark | None = None
    expires: str | None = None


def record_review(
    reference: str, request: ReviewRequest, *, baseline: str | None = None, tracking_uri: str | None = None
) -> list[Review]:
    """Keep the review with the version: the marks first, then the decision. Return the records that were written."""
    from pct_mlops.registry import Registry, add_review

    registry = Registry(tracking_uri)
    version = registry.resolve(reference)
    against = baseline_of(registry, version, baseline)
    common = {"by": request.by, "reason": request.reason, "when": "", "baseline": against, "expires": request.expires}
    made: list[Review] = []
    if request.samples:
        mark = request.mark or (DEFAULT_MARKS[request.decision] if request.decision else None)
        if mark is None:
            raise ConfigError("These examples need a mark: give --mark label_error, accepted_loss or blocker.")
        _check_ids(registry, version, request.samples)
        made.append(Review(kind=ReviewKind.MARK, mark=mark, samples=request.samples, **common))  # type: ignore[arg-type]
    if request.decision is not None:
        made.append(Review(kind=request.decision, **common))  # type: ignore[arg-type]
    return [add_review(registry, version, review) for review in made]


def undo_review(reference: str, identifier: str, *, by: str, reason: str, tracking_uri: str | None = None) -> Review:
    """Take a record back, by adding another record."""
    from pct_mlops.registry import Registry, add_review

    registry = Registry(tracking_uri)
    version = registry.resolve(reference)
    review = Review(kind=ReviewKind.UNDO, by=by, reason=reason, when="", undoes=identifier)
    return add_review(registry, version, review)


def baseline_of(registry: Registry, version: Version, reference: str | None) -> int | None:
    """Return the version number that a review compares with: production now, unless `reference` names another.

    For a version of NAME-candidates this is production of NAME, into which it will be copied.
    """
    from pct_mlops.registry import CANDIDATES, PRODUCTION

    if reference is not None:
        return registry.resolve(reference).version
    name = version.name.removesuffix(CANDIDATES)
    found = registry.find(name, PRODUCTION) or registry.find(version.name, PRODUCTION)
    return found.version if found else None


def read_sample_ids(path: Path) -> tuple[str, ...]:
    """Read each sample_id of a file once, in their order: one a line, or the column sample_id of a CSV."""
    text = read_text(path, wanted="a text or CSV file of sample_ids", max_bytes=MAX_LIST_BYTES)
    try:
        # Split a text at newlines only: an id may hold other characters at which Unicode breaks lines.
        rows = csv.DictReader(io.StringIO(text, newline=""))
        has_columns = "sample_id" in _header(text)
        ids = [row["sample_id"] or "" for row in rows] if has_columns else text.split("\n")
    except csv.Error as error:
        raise ConfigError(f"{path} is no CSV that can be read ({error}): write one sample_id a line.") from error
    found = tuple(dict.fromkeys(text.strip() for text in ids if text.strip()))
    if not found:
        raise ConfigError(f"{path} names no example: write one sample_id a line, or a CSV with a column sample_id.")
    return found


def _header(text: str) -> list[str]:
    """Return the first row of the text as that of a CSV. Return nothing where it cannot be one."""
    try:
        return next(csv.reader(io.StringIO(text, newline="")), [])
    except csv.Error:
        return []


def expiry(text: str) -> str:
    """Convert a date or time that was typed to ISO 8601 in UTC. A date lasts until its end.

    Raise ConfigError when it is no date, or has passed.
    """
    try:
        when = datetime.fromisoformat(text)
        if "T" not in text and " " not in text:
            when += timedelta(days=1)
        when = when.replace(tzinfo=timezone.utc) if when.tzinfo is None else when.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--expires {text} is no date: write it as 2031-12-24.") from error
    if when <= datetime.now(timezone.utc):
        raise ConfigError(f"--expires {text} has passed already: give a later date.")
    return when.isoformat(timespec="seconds")


def _check_ids(registry: Registry, version: Version, ids: Sequence[str]) -> None:
    """Raise ConfigError when some ids are not in the version's test set. Do nothing where it carries no predictions."""
    import pyarrow as pa

    from pct_mlops.predictions import sql
    from pct_mlops.workflows.runtime.references import version_predictions

    try:
        table = version_predictions(registry, version, "test")
    except PctError:
        return
    with sql.connect() as connection:
        table.attach(connection, "examples")
        sql.view_arrow(connection, "named", pa.table({"sample_id": list(ids)}))
        unknown = [
            row[0]
            for row in connection.execute(
                "SELECT sample_id FROM named ANTI JOIN examples USING (sample_id) ORDER BY sample_id"
            ).fetchall()
        ]
    if unknown:
        names = ", ".join(repr(_short(text)) for text in unknown[:SHOWN]) + (", ..." if len(unknown) > SHOWN else "")
        raise ConfigError(
            f"{version.uri} has no predictions for {len(unknown):,} of these examples ({names}): correct the file."
        )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
