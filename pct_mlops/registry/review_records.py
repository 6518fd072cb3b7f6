"""Keeps reviews of a version as tags of the version. Tags are only ever added.

One record is one tag with a random part in its key, so that reviewers who write at the same moment cannot overwrite
each other. Ids of examples are kept beside it in as many tags as they need. The record itself is written last. Ids
without a record are ignored.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime, timezone

from pydantic import TypeAdapter

from pct_mlops.errors import ConfigError, RegistryError, RegistryNotFoundError
from pct_mlops.gate.reviews import Review, ReviewKind
from pct_mlops.registry.connection import said_plainly
from pct_mlops.registry.model_version import MAX_TAG
from pct_mlops.registry.registry import Registry, Version
from pct_mlops.registry.release import copies

REVIEW_TAG, SAMPLES_TAG = "pct.review.", "pct.review-samples."
_REVIEW = TypeAdapter(Review)


def reviews(registry: Registry, version: Version, into: str = "") -> tuple[Review, ...]:
    """Read all records of a version, including undone and expired ones.

    A copy carries the records of its source, also those that are added to the source later.

    Args:
        registry: Where the version is.
        version: The version.
        into: The model whose production the review is about. Records of the version's copies there count as well.

    Returns:
        The records, oldest first.

    Raises:
        PctError: A record was changed by hand.
    """
    found: dict[str, Review] = {}
    for item in _of_one_model(registry, registry.get(version.name, version.version), into):
        for key in item.tags:
            if key.startswith(REVIEW_TAG) and key not in found:
                found[key] = _read(item, key)
    return tuple(sorted(found.values(), key=lambda review: (review.when, review.id)))


def _of_one_model(registry: Registry, version: Version, into: str) -> Iterator[Version]:
    """Yield the version, what it was copied from, and its copies in `into`."""
    seen: dict[str, Version] = {}
    item: Version | None = version
    # Where models were deleted and made again under their old names, two can name each other as source.
    while item is not None and item.uri not in seen:
        seen[item.uri] = item
        yield item
        item = registry.origin(item)
    if into and into != version.name and registry.look(into) is not None:
        for source in seen.values():
            yield from copies(registry, source, into)


def add_review(registry: Registry, version: Version, review: Review) -> Review:
    """Append a record.

    Args:
        registry: Where the version is.
        version: The version that was reviewed.
        review: The record. An empty `when` is replaced by the present time.

    Returns:
        The record with its id.

    Raises:
        PctError: The reason is missing or too long, marks and examples do not belong together, or it undoes no review.
    """
    _check(review, reviews(registry, version))
    now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    made = replace(review, id=uuid.uuid4().hex[:10], when=review.when or now)
    parts = list(_parts(made.samples))
    record = {**asdict(made), "kind": str(made.kind), "mark": made.mark and str(made.mark), "samples": len(parts)}
    text = json.dumps(record, ensure_ascii=False)
    if len(text.encode()) > MAX_TAG:
        raise ConfigError(
            f"The reason has {len(review.reason):,} characters, more than the registry keeps: shorten it."
        )
    with said_plainly(f"recording the review of {version.uri}"):
        for number, part in enumerate(parts):
            key = f"{SAMPLES_TAG}{made.id}.{number:04d}"
            registry.client.set_model_version_tag(version.name, str(version.version), key, part)
        registry.client.set_model_version_tag(version.name, str(version.version), REVIEW_TAG + made.id, text)
    return made


def _check(review: Review, before: Sequence[Review]) -> None:
    if not review.reason.strip():
        raise ConfigError("A review needs a reason: give one with --reason.")
    is_mark = review.kind is ReviewKind.MARK
    if bool(review.samples) != is_mark or (review.mark is not None) != is_mark:
        raise ConfigError("A mark belongs to examples: give their ids with --samples and the mark with --mark.")
    if review.kind is ReviewKind.UNDO and review.undoes not in {item.id for item in before if item.id}:
        raise RegistryNotFoundError(
            f"There is no review '{review.undoes}' to undo: 'pct review MODEL --list' shows them."
        )


def _parts(samples: Sequence[str]) -> Iterator[str]:
    """Yield JSON lists of ids, none longer than a tag may be."""
    part: list[str] = []
    length = 0
    for sample in samples:
        size = len(json.dumps(sample, ensure_ascii=False).encode()) + 2
        if size > MAX_TAG - 2:
            raise ConfigError(
                f"The id of an example has {len(sample):,} characters, more than the registry keeps: check the file."
            )
        if part and length + size > MAX_TAG - 2:
            yield json.dumps(part, ensure_ascii=False)
            part, length = [], 0
        part.append(sample)
        length += size
    if part:
        yield json.dumps(part, ensure_ascii=False)


def _read(version: Version, key: str) -> Review:
    identifier, tags = key.removeprefix(REVIEW_TAG), version.tags
    try:
        data = json.loads(tags[key])
        parts = [json.loads(tags[f"{SAMPLES_TAG}{identifier}.{number:04d}"]) for number in range(data["samples"])]
        samples = tuple(sample for part in parts for sample in part)
        given = {**data, "samples": samples, "id": identifier}
        # Check the types, and that the record has no keys that this version of pct does not know.
        review = _REVIEW.validate_python(given)
        if given.keys() - {item.name for item in fields(Review)}:
            raise ValueError("unknown keys")
        if review.expires is not None and datetime.fromisoformat(review.expires).tzinfo is None:
            raise ValueError("a time without a zone")
        return review
    except (ValueError, KeyError, TypeError) as error:
        # It may have been a rejection or a blocker: a gate that ignores it would fail open.
        raise RegistryError(
            f"The review in the tag {key} of {version.uri} cannot be read, because somebody changed it by hand: "
            "restore its text, or delete the tag."
        ) from error
