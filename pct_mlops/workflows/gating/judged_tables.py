"""Reads the tables of versions for the gate: once, into a private copy, and only as they were recorded."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import PctError, TableError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.logits import MAX_LOGITS

if TYPE_CHECKING:
    from pct_mlops.registry import EvidenceDigests, Registry, Version

SHORT = 12  # digits of a digest in a sentence


@dataclass(frozen=True)
class JudgedTable:
    """The table of a version as the gate read it.

    Attributes:
        version: That carries it.
        split: That the table is about.
        table: A private copy, which goes with this handle.
        digests: Of the copy, and of the version's weights and served model at that moment.
        is_recorded: The digests were recorded before. Those of a version of an earlier release were not.
        is_on_version: The version itself carries the record, and not its logged model alone.
    """

    version: Version
    split: str
    table: Predictions
    digests: EvidenceDigests
    is_recorded: bool
    is_on_version: bool

    def to_json(self) -> dict[str, Any]:
        """Return the digests for the report."""
        parts = {key: getattr(self.digests, key) for key in ("whole", "table", "weights", "served")}
        return {**parts, "recorded": self.is_recorded}


class OtherModelError(TableError):
    """Weights or served model are not those that were recorded with the table, so that no scoring helps."""


def read_judged(registry: Registry, version: Version, split: str) -> JudgedTable:
    """Copy the table that a version carries on a split, and check that it is the recorded one.

    Raises:
        PctError: There is no table, it is damaged, or table, weights or served model are not those that were recorded.
    """
    from pct_mlops.registry import find_record, no_predictions, stored_evidence

    record = find_record(registry, version, split)
    known = None if record is None else record.digests
    folder = tempfile.mkdtemp(prefix="pct-mlops-")
    try:
        with _said_of(version, split):
            made = stored_evidence(registry.files(version), split, Path(folder), known)
        if made is None:
            raise no_predictions(version, split)
        if record is not None and (changed := record.digests.changed(made.digests)):
            raise _changed(version, split, changed, record.owner)
        with _said_of(version, split):
            table = _opened(registry, version, made.path, split)
            if known is None and table.info.num_examples * len(table.info.class_names) > MAX_LOGITS:
                table.verify()  # its digest is recorded from now on, so all of it is checked once
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(table, shutil.rmtree, folder, ignore_errors=True)
    is_on_version = record is not None and record.owner == version.uri
    return JudgedTable(version, split, table, made.digests, record is not None, is_on_version)


@contextmanager
def _said_of(version: Version, split: str) -> Iterator[None]:
    """Name the version in what is wrong with its table."""
    try:
        yield
    except TableError as error:
        raise error.reworded(f"The predictions of {version.uri} on {split} cannot be used: {error}") from error


def _opened(registry: Registry, version: Version, path: Path, split: str) -> Predictions:
    """Open the copy under the version's name and number. Errors name the file that was copied."""
    address = registry.files(version).address(f"predictions/{split}.parquet")
    try:
        info = Predictions.load(path).info
    except PctError as error:
        raise error.reworded(str(error).replace(str(path), address)) from error
    info = replace(info, path=address, model_name=version.name, model_version=str(version.version))
    return Predictions(replace(info, model_uri=version.uri), path=path)


def _changed(version: Version, split: str, what: str, owner: str) -> TableError:
    from pct_mlops.registry import other_model, was_changed

    name = f"{version.name}/{version.version}"
    own = "" if split == "test" else f" --split {split}"
    found = f"{was_changed(what, version.uri)} since its evidence on {split} was recorded"
    if what != "table of predictions":
        return OtherModelError(f"{found}: {other_model(split, owner)}")
    return TableError(
        f"{found}: score it again with 'pct score {name}{own}', or attach the right table with 'pct attach {name} FILE"
        f"{own} --replace'"
    )


def digest_notes(judged: Mapping[str, JudgedTable]) -> tuple[str, ...]:
    """Return sentences that name the digests of what was judged, and versions of which none was recorded."""
    if not judged:
        return ()
    shown = ", ".join(f"{role} {item.digests.whole[:SHORT]}" for role, item in judged.items())
    new = [item.version.uri for item in judged.values() if not item.is_recorded]
    if not new:
        return (f"Digests of the evidence: {shown}.",)
    return (
        f"Digests of the evidence: {shown}.",
        f"The evidence of {' and '.join(new)} was not recorded before it was judged. It is judged as it is, and "
        "recorded now where you may write to the version.",
    )
