"""Records what a version's evidence is made of: its table, its weights and its served model, each by a digest.

The gate compares what it reads with the record, so that a table that was replaced without `pct` is found.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from pct_mlops.errors import DataError, PctError, PromotionError, RegistryError
from pct_mlops.predictions.content_digest import content_digest
from pct_mlops.registry.artifacts import ModelFiles
from pct_mlops.registry.connection import said_plainly
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
        """Name the first part that is another one now. Return "" where none is."""
        parts = ((TABLE, "table"), (WEIGHTS, "weights"), (SERVED, "served"))
        return next((words for words, part in parts if getattr(self, part) != getattr(now, part)), "")


class TableCopy(NamedTuple):
    """A private copy of a version's table, with the digests of what was read."""

    path: Path
    digests: EvidenceDigests


def recorded_evidence(registry: Registry, version: Version, split: str) -> EvidenceDigests | None:
    """Return what was recorded of a version's evidence, None where nothing was.

    The version's own tag counts before that of its logged model, which whoever may edit the experiment can change.
    """
    key = EVIDENCE_TAG + split
    text = version.tags.get(key) or _tags_of_model(registry, version).get(key)
    if not text:
        return None
    try:
        known = json.loads(text)
        return EvidenceDigests(known["table"], known["file"], known["weights"], known["served"])
    except (ValueError, TypeError, KeyError) as error:
        raise RegistryError(
            f"The tag {key} of {version.uri} was changed by hand: restore its text, or delete the tag."
        ) from error


def _tags_of_model(registry: Registry, version: Version) -> Mapping[str, str]:
    try:
        model_id = registry.model_id(version)
        with said_plainly(f"reading the model of {version.uri}"):
            return dict(registry.client.get_logged_model(model_id).tags or {})
    except PctError:
        return {}  # made of a run or a path, or the logged model was deleted


def stored_evidence(
    files: ModelFiles, split: str, folder: Path, known: EvidenceDigests | None = None
) -> TableCopy | None:
    """Copy a model's table on a split into `folder`, and return it with its digests. Return None where there is none.

    All of it is read from the store at this moment. `known` spares reading the rows of a file of the same bytes.
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
    return TableCopy(copied, EvidenceDigests(table, digest, *stored_digests(files)))


def record_evidence(registry: Registry, version: Version, split: str) -> None:
    """Record the table that a version carries on a split as its evidence, in the place of what was recorded before.

    Raises:
        PctError: The weights or the served model are not those that were recorded.
    """
    found = registry.get(version.name, version.version)
    before = recorded_evidence(registry, found, split)
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        made = stored_evidence(registry.files(found), split, Path(folder), before)
    if made is None:
        return
    changed = "" if before is None else before.changed(made.digests)
    if changed in (WEIGHTS, SERVED):
        raise DataError(
            f"The {changed} of {found.uri} changed since its evidence was recorded: register the model again, or, "
            f"where the change is right, delete the tag {EVIDENCE_TAG}{split} of the version."
        )
    write_evidence(registry, found, split, made.digests)


def write_evidence(registry: Registry, version: Version, split: str, digests: EvidenceDigests) -> None:
    """Write the digests on the version."""
    with said_plainly(f"recording the evidence of {version.uri}"):
        registry.client.set_model_version_tag(
            version.name, str(version.version), f"{EVIDENCE_TAG}{split}", digests.text
        )


def evidence_tags(files: ModelFiles, splits: list[str]) -> dict[str, str]:
    """Return the tags that record the evidence of a model on each of `splits`."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        for split in splits:
            made = stored_evidence(files, split, Path(folder))
            if made is not None:
                found[EVIDENCE_TAG + split] = made.digests.text
    return found


def record_with_model(registry: Registry, files: ModelFiles, split: str) -> list[str]:
    """Record the table of a logged model as evidence of it, and of the versions that were made of it.

    Returns:
        The addresses of the versions whose record could not be changed: the gate refuses these.
    """
    tags, model_id = evidence_tags(files, [split]), files.title.removeprefix("models:/")
    with said_plainly(f"recording the evidence of {files.title}"):
        registry.client.set_logged_model_tags(model_id, tags)
        made = registry.client.search_model_versions(f"source_path='{files.title}'")
    left = []
    for item in made:
        try:
            with said_plainly(f"recording the evidence of {item.name}/{item.version}"):
                for key, text in tags.items():
                    registry.client.set_model_version_tag(item.name, str(item.version), key, text)
        except PctError:
            left.append(f"models:/{item.name}/{item.version}")
    return left


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
        raise PromotionError(f"The {changed} of {version.uri} was changed since the gate judged: run 'pct gate' again.")
