"""What reviewers said of a version, kept as tags of the version that are only ever added to.

One record is one tag with a random part in its key, so that reviewers who write at the same moment cannot overwrite
each other. Ids of samples are kept beside it in as many tags as they need; the record itself is written last, and a
part without its record is none.
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
from pct_mlops.registry.registry import Registry, Version
from pct_mlops.registry.release import copies

REVIEW_TAG, SAMPLES_TAG = "pct.review.", "pct.review-samples."
MAX_TAG = 60_000  # characters of a version's tag; MySQL's TEXT column holds 65,535 bytes
_REVIEW = TypeAdapter(Review)


def reviews(registry: Registry, version: Version, into: str = "") -> tuple[Review, ...]:
    """All records of a version, oldest first; undone and expired ones among them.

    A copy carries those of its source, and what is said of the source later counts for it too. With `into`, the model
    whose production it is about, what was said of the copies there counts as well.
    """
    found: dict[str, Review] = {}
    for item in _of_one_model(registry, registry.get(version.name, version.version), into):
        for key in item.tags:
            if key.startswith(REVIEW_TAG) and key not in found:
                found[key] = _read(item, key)
    return tuple(sorted(found.values(), key=lambda review: (review.when, review.id)))


def _of_one_model(registry: Registry, version: Version, into: str) -> Iterator[Version]:
    """The version, what it was copied from, and its copies in `into`."""
    seen: dict[str, Version] = {}
    item: Version | None = version
    # Who makes models anew under their old names can let two be copied from each other.
    while item is not None and item.uri not in seen:
        seen[item.uri] = item
        yield item
        item = registry.origin(item)
    if into and into != version.name and registry.look(into) is not None:
        for source in seen.values():
            yield from copies(registry, source, into)


def add_review(registry: Registry, version: Version, review: Review) -> Review:
    """Append a record; returns it with its id, and with the present time where it had none."""
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
        raise ConfigError("A review without a reason tells nobody anything: give one with --reason.")
    is_mark = review.kind is ReviewKind.MARK
    if bool(review.samples) != is_mark or (review.mark is not None) != is_mark:
        raise ConfigError("Marks and samples belong together: give the ids with --samples and their mark with --mark.")
    if review.kind is ReviewKind.UNDO and review.undoes not in {item.id for item in before if item.id}:
        raise RegistryNotFoundError(
            f"There is no review '{review.undoes}' to take back: 'pct review MODEL --list' shows them."
        )


def _parts(samples: Sequence[str]) -> Iterator[str]:
    """JSON lists of ids, none longer than a tag may be."""
    part: list[str] = []
    length = 0
    for sample in samples:
        size = len(json.dumps(sample, ensure_ascii=False).encode()) + 2
        if size > MAX_TAG - 2:
            raise ConfigError(
                f"A sample id of {len(sample):,} characters is too long for the registry: check the file."
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
        # The types, and that there is nothing more than this version of pct knows.
        review = _REVIEW.validate_python(given)
        if given.keys() - {item.name for item in fields(Review)}:
            raise ValueError("unknown keys")
        if review.expires is not None and datetime.fromisoformat(review.expires).tzinfo is None:
            raise ValueError("a time without a zone")
        return review
    except (ValueError, KeyError, TypeError) as error:
        # A rejection or a blocker may be what it held: a gate that passes over it would fail open.
        raise RegistryError(
            f"The review in the tag {key} of {version.uri} cannot be read, it was changed by hand: put it back, or "
            "delete the tag."
        ) from error
