"""Records the evidence of models: on the logged model, on its versions, and on the copies that share its files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pct_mlops.errors import DataError, PctError
from pct_mlops.registry.artifacts import ModelFiles
from pct_mlops.registry.connection import said_plainly
from pct_mlops.registry.evidence_record import (
    EVIDENCE_TAG,
    SERVED,
    WEIGHTS,
    EvidenceDigests,
    EvidenceRecord,
    find_record,
    model_tags,
    other_model,
    read_record,
    recorded_evidence,
    stored_evidence,
    was_changed,
)
from pct_mlops.registry.model_digests import stored_digests
from pct_mlops.registry.registry import Registry, Version


def check_model(registry: Registry, version: Version, split: str) -> tuple[str, str]:
    """Return the digests of a version's weights and served model (`stored_digests`), before a table is stored with it.

    Raises:
        PctError: They are not those that are recorded with its table on the split.
    """
    found = registry.get(version.name, version.version)
    model = stored_digests(registry.files(found))
    _refuse_another(find_record(registry, found, split), model, found.uri, split)
    return model


def check_logged_model(registry: Registry, files: ModelFiles, split: str) -> tuple[str, str]:
    """Return the digests of a logged model's weights and served model, before a table is stored with it.

    Raises:
        PctError: They are not those that are recorded on the model, or on a version that has its files.
    """
    model = stored_digests(files)
    text = _tags_of(registry, files).get(EVIDENCE_TAG + split)
    _refuse_another(read_record(text, split, files.title) if text else None, model, files.title, split)
    for version in _with_files(registry, files, [files.title]):
        _refuse_another(find_record(registry, version, split), model, version.uri, split)
    return model


def _refuse_another(record: EvidenceRecord | None, model: tuple[str, str], uri: str, split: str) -> None:
    changed = "" if record is None else _changed_model(record.digests, model)
    if record is not None and changed:
        raise DataError(
            f"{was_changed(changed, uri)} since its evidence was recorded: {other_model(split, record.owner)}."
        )


def _changed_model(known: EvidenceDigests, model: tuple[str, str]) -> str:
    """Name which of weights and served model is another one than the recorded one. Return "" for neither."""
    if known.weights != model[0]:
        return WEIGHTS
    return SERVED if known.served != model[1] else ""


def record_evidence(
    registry: Registry, version: Version, split: str, model: tuple[str, str] | None = None
) -> list[str]:
    """Record the table that a version carries on a split as its evidence, in the place of what was recorded before.

    The logged model and other versions that share the files are given the same record.

    Args:
        registry: That holds the version.
        version: Whose table was stored.
        split: Of the table.
        model: What `check_model` returned before the table was stored. None checks now.

    Returns:
        The addresses of those whose record could not be changed: the gate refuses these.

    Raises:
        PctError: The weights or the served model are not those that were recorded.
    """
    model = model or check_model(registry, version, split)
    found = registry.get(version.name, version.version)
    files, before = registry.files(found), recorded_evidence(registry, found, split)
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        made = stored_evidence(files, split, Path(folder), before, model)
    if made is None:
        return []
    write_evidence(registry, found, split, made.digests)
    left = []
    model_id, tags = model_tags(registry, found)
    if EVIDENCE_TAG + split in tags:
        left += _written_on_model(registry, model_id, tags, split, made.digests)
    others = _with_files(registry, files, _sources(registry, found, model_id))
    return left + _written_on(registry, (item for item in others if item.uri != found.uri), split, made.digests)


def record_with_model(
    registry: Registry, files: ModelFiles, split: str, model: tuple[str, str] | None = None
) -> list[str]:
    """Record the table of a logged model as evidence of it, and of the versions and copies that have its files.

    Args:
        registry: That holds the model.
        files: Of the model.
        split: Of the table.
        model: What `check_logged_model` returned before the table was stored. None checks now.

    Returns:
        The addresses of the versions whose record could not be changed: the gate refuses these.

    Raises:
        PctError: The weights or the served model are not those that were recorded.
    """
    model = model or check_logged_model(registry, files, split)
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        made = stored_evidence(files, split, Path(folder), model=model)
    if made is None:
        return []
    with said_plainly(f"recording the evidence of {files.title}"):
        registry.client.set_logged_model_tags(_id_of(files), {EVIDENCE_TAG + split: made.digests.text})
    return _written_on(registry, _with_files(registry, files, [files.title]), split, made.digests)


def write_evidence(registry: Registry, version: Version, split: str, digests: EvidenceDigests) -> None:
    """Write the digests on the version."""
    with said_plainly(f"recording the evidence of {version.uri}"):
        registry.client.set_model_version_tag(
            version.name, str(version.version), f"{EVIDENCE_TAG}{split}", digests.text
        )


def write_first_evidence(registry: Registry, version: Version, split: str, digests: EvidenceDigests) -> None:
    """Write the digests on the version, unless it carries a record by now: that one may be of a newer table."""
    if EVIDENCE_TAG + split not in registry.get(version.name, version.version).tags:
        write_evidence(registry, version, split, digests)


def evidence_tags(files: ModelFiles, splits: list[str]) -> dict[str, str]:
    """Return the tags that record the evidence of a model on each of `splits`."""
    found = {}
    model = stored_digests(files) if splits else None
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        for split in splits:
            made = stored_evidence(files, split, Path(folder), model=model)
            if made is not None:
                found[EVIDENCE_TAG + split] = made.digests.text
    return found


def not_recorded(addresses: Sequence[str]) -> str:
    """Return the sentence on a table that could not be recorded everywhere. It is empty for no addresses."""
    if not addresses:
        return ""
    return (
        f"The table could not be recorded as evidence of {', '.join(addresses)}, and the gate refuses a table other "
        "than the recorded one."
    )


def _written_on(registry: Registry, versions: Iterable[Version], split: str, digests: EvidenceDigests) -> list[str]:
    """Write the digests on versions. Return the addresses of those that refuse, or that record another model."""
    left = []
    for version in versions:
        try:
            record = find_record(registry, version, split)
            if record is not None and _changed_model(record.digests, (digests.weights, digests.served)):
                left.append(version.uri)
            else:
                write_evidence(registry, version, split, digests)
        except PctError:
            left.append(version.uri)
    return left


def _written_on_model(
    registry: Registry, model_id: str, tags: Mapping[str, str], split: str, digests: EvidenceDigests
) -> list[str]:
    """Do for a logged model that has a record what `_written_on` does for versions."""
    title, key = f"models:/{model_id}", EVIDENCE_TAG + split
    try:
        record = read_record(tags[key], split, title)
        if _changed_model(record.digests, (digests.weights, digests.served)):
            return [title]
        with said_plainly(f"recording the evidence of {title}"):
            registry.client.set_logged_model_tags(model_id, {key: digests.text})
    except PctError:
        return [title]
    return []


def _with_files(registry: Registry, files: ModelFiles, sources: Sequence[str]) -> Iterator[Version]:
    """Yield the versions that were made of `sources` or copied from these, and whose files are `files`."""
    seen, found, left = set[str](), set[str](), list(sources)
    while left:
        source = left.pop()
        if source in seen:
            continue
        seen.add(source)
        quoted = source.replace("'", "''")
        with said_plainly(f"looking for the versions with the files of {files.title}"):
            made = registry.client.search_model_versions(f"source_path='{quoted}'")
        for item in made:
            version = registry.get(item.name, int(item.version))
            left.append(version.uri)
            # Name and number of a source may have belonged to a version that was deleted since.
            if version.uri not in found and registry.files(version).location == files.location:
                found.add(version.uri)
                yield version


def _sources(registry: Registry, version: Version, model_id: str) -> list[str]:
    """Return what versions with the same files may name as their source."""
    found = [f"models:/{model_id}"] if model_id else []
    item: Version | None = version
    while item is not None:
        found += [item.uri, item.source]
        item = registry.origin(item)
    return found


def _tags_of(registry: Registry, files: ModelFiles) -> Mapping[str, str]:
    with said_plainly(f"reading {files.title}"):
        return dict(registry.client.get_logged_model(_id_of(files)).tags or {})


def _id_of(files: ModelFiles) -> str:
    return files.title.removeprefix("models:/")
