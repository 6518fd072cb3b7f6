"""Reads what is recorded of a version's evidence: its table, its weights and its served model, each by a digest.

The gate compares what it reads with the record, so that a table that was replaced without `pct` is found.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from pct_mlops.errors import PctError, PromotionError, RegistryError
from pct_mlops.predictions.content_digest import content_digest
from pct_mlops.registry.artifacts import ModelFiles
from pct_mlops.registry.connection import missing, said_plainly
from pct_mlops.registry.model_digests import digest_of_files, stored_digests
from pct_mlops.registry.registry import Registry, Version

EVIDENCE_TAG = "pct.evidence."  # of a version or a logged model; the split follows
TABLE, WEIGHTS, SERVED = "table of predictions", "weights", "served model"


@dataclass(frozen=True)
class EvidenceDigests:
    """The sha256 of each part of a version's evidence on one split.

    Attributes:
        table: The content of the prediction table, whatever file holds it.
        file: The bytes of that file. Where they are the same, the content is not read again.
        weights: The weights that the version holds (`pct_mlops.registry.model_digests.weights_digest`).
        served: The other files of the model; empty where all of them count as its weights.
    """

    table: str
    file: str
    weights: str
    served: str = ""

    @property
    def whole(self) -> str:
        """One digest over table, weights and served model."""
        return hashlib.sha256(f"pct-evidence-1 {self.table} {self.weights} {self.served}".encode()).hexdigest()

    @property
    def text(self) -> str:
        """The digests as JSON, for a tag."""
        return json.dumps(asdict(self))

    def changed(self, now: EvidenceDigests) -> str:
        """Name a part that is another one now. Return "" where none is."""
        # The model first: where it is another one, no table that is scored or attached again helps.
        parts = ((WEIGHTS, "weights"), (SERVED, "served"), (TABLE, "table"))
        return next((words for words, part in parts if getattr(self, part) != getattr(now, part)), "")


class EvidenceRecord(NamedTuple):
    """Digests that were recorded, and the address of the version or logged model whose tag holds them."""

    digests: EvidenceDigests
    owner: str


class TableCopy(NamedTuple):
    """A private copy of a version's table, with the digests of what was read."""

    path: Path
    digests: EvidenceDigests


def find_record(registry: Registry, version: Version, split: str) -> EvidenceRecord | None:
    """Find what was recorded of a version's evidence. Return None where nothing was.

    The version's own tag counts before that of its logged model, which whoever may edit the experiment can change.
    """
    key = EVIDENCE_TAG + split
    if text := version.tags.get(key):
        return read_record(text, split, version.uri)
    model_id, tags = model_tags(registry, version)
    return read_record(tags[key], split, f"models:/{model_id}") if tags.get(key) else None


def recorded_evidence(registry: Registry, version: Version, split: str) -> EvidenceDigests | None:
    """Return the digests that `find_record` finds, None where nothing was recorded."""
    found = find_record(registry, version, split)
    return None if found is None else found.digests


def model_tags(registry: Registry, version: Version) -> tuple[str, Mapping[str, str]]:
    """Return the id and the tags of a version's logged model. Both are empty where there is none, or none any more."""
    model_id = registry.find_model_id(version)
    if model_id is None:
        return "", {}
    try:
        with said_plainly(f"reading the model of {version.uri}"):
            return model_id, dict(registry.client.get_logged_model(model_id).tags or {})
    except PctError as error:
        # Any other failure may hide a record, so nothing is judged without it.
        if not missing(error):
            raise
        return "", {}


def recorded_splits(tags: Iterable[str]) -> set[str]:
    """Return the splits whose evidence is recorded in these tags."""
    return {key.removeprefix(EVIDENCE_TAG) for key in tags if key.startswith(EVIDENCE_TAG)}


def read_record(text: str, split: str, owner: str) -> EvidenceRecord:
    """Read a record from the text of the tag that `owner` carries. Raise RegistryError where it was changed by hand."""
    try:
        known = json.loads(text)
        digests = EvidenceDigests(known["table"], known["file"], known["weights"], known["served"])
    except (ValueError, TypeError, KeyError) as error:
        raise RegistryError(
            f"The tag {EVIDENCE_TAG}{split} of {owner} was changed by hand: restore its text, or delete the tag."
        ) from error
    return EvidenceRecord(digests, owner)


def was_changed(part: str, uri: str) -> str:
    """Begin the sentence that says which part of a model's evidence was changed."""
    return f"The {part} of {uri} {'were' if part == WEIGHTS else 'was'} changed"


def other_model(split: str, owner: str) -> str:
    """Say what to do about weights or a served model that are not those that `owner` records."""
    return (
        "register the model again as a new version, or, where the change is right, delete the tag "
        f"{EVIDENCE_TAG}{split} of {owner}"
    )


def stored_evidence(
    files: ModelFiles,
    split: str,
    folder: Path,
    known: EvidenceDigests | None = None,
    model: tuple[str, str] | None = None,
) -> TableCopy | None:
    """Copy a model's table on a split into `folder`, and return it with its digests. Return None where there is none.

    All of it is read from the store at this moment. `known` spares reading the rows of a file of the same bytes, and
    `model` (`stored_digests`) hashing the files of the model again.
    """
    path = f"predictions/{split}.parquet"
    if not files.has(path):
        return None
    copied = files.copy(path, folder / f"{split}.parquet")
    digest = digest_of_files([copied])
    if known is not None and known.file == digest:
        table = known.table
    else:
        try:
            table = content_digest(copied)
        except PctError as error:
            raise error.reworded(str(error).replace(str(copied), files.address(path))) from error
    return TableCopy(copied, EvidenceDigests(table, digest, *(model or stored_digests(files))))


def check_evidence(registry: Registry, version: Version, split: str, judged: EvidenceDigests) -> None:
    """Raise PromotionError where a version's evidence is not what was judged, read again at this moment."""
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        try:
            now = stored_evidence(registry.files(version), split, Path(folder), judged)
        except PctError as error:
            why = str(error).rstrip(".")
            raise PromotionError(
                f"The evidence of {version.uri} cannot be read any more ({why}): run 'pct gate' again."
            ) from None
    changed = TABLE if now is None else judged.changed(now.digests)
    if changed:
        raise PromotionError(f"{was_changed(changed, version.uri)} since the gate judged: run 'pct gate' again.")
