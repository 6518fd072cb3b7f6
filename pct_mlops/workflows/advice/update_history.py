"""Lists the updates of a model: each version that replaced production or was meant to, with what it flipped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pct_mlops.comparison import compare
from pct_mlops.config.numbers import percent
from pct_mlops.errors import PctError
from pct_mlops.registry import PRODUCTION, Move, Registry, Version, history
from pct_mlops.workflows.advice.change_facts import Change, changes_between
from pct_mlops.workflows.advice.model_facts import FactsReader

NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class PastUpdate:
    """One version that replaced production or was meant to.

    Attributes:
        version: Its number.
        aliases: Its aliases.
        against: Version that was in production then, or that the gate compared it with.
        changes: What changed, the change that matters most first.
        loss: The loss, "" where it is not recorded.
        start: The weights that it started from, "" where they are not recorded.
        accuracy: On test. None where it is not known, as for all numbers.
        accuracy_change: Against the version that was in production.
        nfr: Against the same.
        verdict: Verdict of the gate, or "not judged".
        note: Why numbers are missing, "" where none is.
    """

    version: int
    aliases: tuple[str, ...]
    against: int
    changes: tuple[Change, ...]
    loss: str
    start: str
    accuracy: float | None
    accuracy_change: float | None
    nfr: float | None
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class PastUpdates:
    """Updates of a model, the newest first, and sentences on what could not be read.

    `total` counts all of them, of which `rows` may hold the newest alone.
    """

    rows: tuple[PastUpdate, ...]
    total: int
    notes: tuple[str, ...] = ()


def past_updates(registry: Registry, name: str, reader: FactsReader, *, limit: int | None = None) -> PastUpdates:
    """Read the updates of a model.

    Args:
        registry: The registry.
        name: The model.
        reader: Reads facts of its versions.
        limit: How many of the newest are read. None reads all.

    Raises:
        PctError: There is no such model.
    """
    versions = registry.versions(name)
    moves, notes = _moves(registry, name)
    known = {version.version: version for version in versions}
    baselines = [(version, _baseline(version, moves, known)) for version in versions]
    pairs = [(version, known.get(number), number) for version, number in baselines if number is not None]
    shown = pairs if limit is None else pairs[:limit]
    rows = [_row(registry, reader, version, old, number) for version, old, number in shown]
    return PastUpdates(tuple(rows), len(pairs), notes)


def _moves(registry: Registry, name: str) -> tuple[list[Move], tuple[str, ...]]:
    try:
        return history(registry, name), ()
    except PctError as error:
        return [], (f"The moves of production cannot be read: {error}",)


def _baseline(version: Version, moves: Sequence[Move], known: Mapping[int, Version]) -> int | None:
    """Return the version that this one replaced or was meant to replace, None where there was none.

    That is the one that the gate compared it with. Where no gate did, it is production when it was registered.
    """
    judged = version.tags.get("gate.baseline_version", "")
    # A candidate for another model was judged against a version of that one, whose number may be none of this one.
    in_production = {move.to_version for move in moves} | {n for n, one in known.items() if PRODUCTION in one.aliases}
    if judged.isdigit() and int(judged) != version.version and int(judged) in in_production:
        return int(judged)
    before = [move for move in moves if _milliseconds(move.when) <= version.created]
    at = before[-1].to_version if before else None
    if not moves:
        at = next((number for number, one in known.items() if PRODUCTION in one.aliases), None)
    # Numbers only grow. A move within the second of the registration may have been to this very version.
    return at if at is not None and at < version.version else None


def _milliseconds(when: str) -> float:
    try:
        return datetime.fromisoformat(when).timestamp() * 1000
    except ValueError:
        return float("inf")


def _row(registry: Registry, reader: FactsReader, version: Version, old: Version | None, number: int) -> PastUpdate:
    verdict = _verdict(version, number)
    if old is None:
        changes = [Change("not recorded", f"version {number} was deleted")]
    else:
        relabelled = reader.relabelled(old, version)
        changes = changes_between(reader.facts(old), reader.facts(version), relabelled=relabelled)
    measured = _rates(reader, version, old, judged=verdict != NOT_JUDGED)
    recipe = reader.recipe(version)
    return PastUpdate(
        version=version.version,
        aliases=version.aliases,
        against=number,
        changes=tuple(changes),
        loss=version.tags.get("pct.loss", "") or _text(recipe, "objective", "loss"),
        start=_start(version, recipe),
        verdict=verdict,
        **measured,
    )


def _verdict(version: Version, number: int) -> str:
    if version.tags.get("gate.baseline_version") != str(number) or not version.tags.get("gate.verdict"):
        return NOT_JUDGED
    override = " (override)" if version.tags.get("gate.override") else ""
    return f"{version.tags['gate.verdict']}{override}"


def _rates(reader: FactsReader, version: Version, old: Version | None, *, judged: bool) -> dict[str, Any]:
    """Return accuracy, its change and NFR: those that were recorded, else those of the stored tables."""
    accuracy, before = (_tag(one, "pct.test/accuracy") for one in (version, old))
    nfr = _tag(version, "gate.nfr") if judged else None
    if accuracy is not None and before is not None and nfr is not None:
        return {"accuracy": accuracy, "accuracy_change": accuracy - before, "nfr": nfr}
    try:
        return _compared(reader, version, old)
    except PctError as error:
        return {"accuracy": accuracy, "accuracy_change": None, "nfr": nfr, "note": str(error)}


def _compared(reader: FactsReader, version: Version, old: Version | None) -> dict[str, Any]:
    """Return what the stored tables of both versions say. Raise PctError where they cannot be compared."""
    mine, other = reader.table(version, "test"), None if old is None else reader.table(old, "test")
    if mine is None or other is None:
        whose = version if mine is None else old
        why = "the version before it was deleted" if whose is None else f"{whose.uri} has no predictions on test"
        accuracy = _tag(version, "pct.test/accuracy") if mine is None else mine.accuracy()
        return {"accuracy": accuracy, "accuracy_change": None, "nfr": None, "note": f"{why}."}
    comparison = compare(other, mine)
    keys = {"accuracy": "accuracy_new", "accuracy_change": "accuracy_change", "nfr": "nfr"}
    return {key: comparison.estimate(metric).value for key, metric in keys.items()}


def _tag(version: Version | None, key: str) -> float | None:
    try:
        value = float(version.tags[key]) if version is not None else None
    except (KeyError, ValueError):
        return None
    return value if value is not None and math.isfinite(value) else None


def _start(version: Version, recipe: Mapping[str, Any]) -> str:
    """Say where the weights came from that a training began with."""
    source, mode = version.tags.get("pct.init", ""), version.tags.get("pct.init_mode", "")
    if version.tags.get("pct.update"):
        return version.tags["pct.update"]
    if mode == "fresh":
        return "fresh"
    if not source and recipe:
        source = _text(recipe, "model", "init") or _text(recipe, "model", "weights")
    if not source:
        return "fresh" if recipe else ""
    title = source.removeprefix(f"models:/{version.name}/")
    title = f"from {title}"
    return title if mode in ("", "same") else f"{title}, {mode}"


def _text(recipe: Mapping[str, Any], section: str, key: str) -> str:
    part = recipe.get(section)
    return str(part.get(key) or "") if isinstance(part, dict) else ""


def history_sentence(updates: PastUpdates, kind: str, *, without: int | None = None) -> str:
    """Say how the updates of one kind of change went that this model had before, the newest three of them.

    `without` is the number of a version that the advice is about.
    """
    rows = [row for row in updates.rows if row.nfr is not None and row.version != without]
    rows = [row for row in rows if any(change.kind == kind for change in row.changes)]
    if not rows:
        return f"This model has no measured update of this kind ({kind}) yet."
    told = [
        f"version {row.version} ({row.loss or 'no loss recorded'}) {percent(row.nfr)} {row.verdict}" for row in rows
    ]
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    count = "One update" if len(rows) == 1 else f"{len(rows)} updates"
    return f"{count} of this kind, with NFR: {'; '.join(told[:3])}{more}."
