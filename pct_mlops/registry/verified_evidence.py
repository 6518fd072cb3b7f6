"""Compares the evidence of versions with what was recorded and with what past moves of production were decided on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pct_mlops.errors import PctError
from pct_mlops.predictions.content_digest import content_digest
from pct_mlops.registry.evidence_record import (
    TABLE,
    EvidenceDigests,
    find_record,
    model_tags,
    other_model,
    recorded_evidence,
    recorded_splits,
    stored_evidence,
    was_changed,
)
from pct_mlops.registry.moves import Move, State, shown
from pct_mlops.registry.registry import CANDIDATE, PREVIOUS, PRODUCTION, Registry, Version


class EvidenceCheck(NamedTuple):
    """The result of a check of evidence.

    Attributes:
        faults: Sentences on evidence that was changed past `pct`.
        notes: Sentences on evidence that does not exist any more.
        compared: The number of tables that were compared and are what they were.
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...]
    compared: int


def verify_evidence(registry: Registry, name: str) -> EvidenceCheck:
    """Read the evidence of a model's versions again, and compare it with what was recorded and judged.

    These are the versions in production, before it and the candidate, and those of all recorded moves. A version or a
    table that was deleted is a note, except for what is in production.

    Raises:
        PctError: There is no such model, or a record was changed by hand.
    """
    model = registry.registered(name)
    state = State.of(model)
    versions = {version.version: version for version in registry.versions(name)}
    aliases = {alias: int(number) for alias, number in model.aliases.items()}
    wanted = {aliases[alias] for alias in (PRODUCTION, PREVIOUS, CANDIDATE) if alias in aliases}
    for move in state.moves:
        wanted |= {number for number in (move.from_version, move.to_version) if number is not None}
    checked = _Checked(registry, state.production)
    for number in sorted(wanted):
        if number in versions:
            checked.version(versions[number])
        else:
            checked.notes.append(f"Version {number} of {name} was deleted, so its evidence cannot be compared.")
    for move in state.moves:
        checked.move(move, versions)
    return EvidenceCheck(tuple(checked.faults), tuple(checked.notes), checked.compared)


class _Checked:
    """The evidence that was read of each version and split, and the faults that were found."""

    def __init__(self, registry: Registry, production: int | None) -> None:
        self.registry, self.production = registry, production
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.compared = 0
        self._now: dict[tuple[int, str], EvidenceDigests | None] = {}

    def version(self, version: Version) -> None:
        """Compare what a version carries now with what is recorded on it."""
        _, of_model = model_tags(self.registry, version)
        for split in sorted(recorded_splits(version.tags) | recorded_splits(of_model)):
            known, now = find_record(self.registry, version, split), self._read(version, split)
            if known is None:
                continue
            if now is None:
                self._absent(version, split)
            elif changed := known.digests.changed(now):
                again = "score the version again" if changed == TABLE else other_model(split, known.owner)
                self.faults.append(
                    f"{was_changed(changed, version.uri)} since its evidence on {split} was recorded: put back what "
                    f"was judged, or {again}."
                )
            else:
                self.compared += 1

    def move(self, move: Move, versions: dict[int, Version]) -> None:
        """Look for the evidence that a move was decided on: the table of now, or one that it replaced."""
        for number, judged in ((move.to_version, move.candidate_evidence), (move.from_version, move.baseline_evidence)):
            version = versions.get(number) if number is not None else None
            if not judged or version is None:
                continue
            now = self._read(version, move.split)
            if now is None:
                self._absent(version, move.split)
            elif judged not in self._wholes(version, move.split, now):
                known = recorded_evidence(self.registry, version, move.split)
                changed = (known.changed(now) if known is not None else "") or TABLE
                self.faults.append(
                    f"{was_changed(changed, version.uri)} since the move from {shown(move.from_version)} to "
                    f"{shown(move.to_version)} ({move.when}, {move.verdict}) was decided on it."
                )

    def _read(self, version: Version, split: str) -> EvidenceDigests | None:
        """Return the digests of what a version carries now, None where there is no table that can be read."""
        key = (version.version, split)
        if key not in self._now:
            known = recorded_evidence(self.registry, version, split)
            with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
                try:
                    made = stored_evidence(self.registry.files(version), split, Path(folder), known)
                except PctError as error:
                    self.faults.append(f"The evidence of {version.uri} on {split} cannot be read: {error}")
                    made = None
            self._now[key] = None if made is None else made.digests
        return self._now[key]

    def _absent(self, version: Version, split: str) -> None:
        text = f"{version.uri} carries no table on {split} that can be read any more."
        found = self.faults if version.version == self.production else self.notes
        if text not in found:
            found.append(text)

    def _wholes(self, version: Version, split: str, now: EvidenceDigests) -> Iterator[str]:
        """Yield the digest of the evidence as it is, then as it was with each table that was replaced by `pct`."""
        yield now.whole
        files = self.registry.files(version)
        for path in files.paths():
            folder, _, name = path.rpartition("/")
            if folder != "predictions" or not name.startswith(f"{split}-"):
                continue
            with tempfile.TemporaryDirectory(prefix="pct-mlops-") as aside:
                try:
                    table = content_digest(files.copy(path, Path(aside) / name))
                except PctError:
                    continue
            yield replace(now, table=table).whole
