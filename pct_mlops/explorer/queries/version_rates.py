"""Reads what the trade-off view shows, cached: rates of all versions, moves of production, and stored sweeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.charts import MethodPoint, MovePoint
from pct_mlops.comparison import Estimate, compare
from pct_mlops.errors import PctError, RegistryNotFoundError
from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.queries.pairs import REFRESH, VersionTable

if TYPE_CHECKING:
    from pct_mlops.registry import Move, Version
    from pct_mlops.registry.sweeps import StoredSweep

Progress = Callable[[float, str], object]
BATCH = 50  # versions or moves that are compared at first, and with each further request
PATIENCE = 0.5  # seconds until progress is shown
RECIPE_TAGS = {"pct.loss": "loss", "pct.arch": "architecture", "pct.teacher": "teacher", "pct.dataset": "data"}


@dataclass(frozen=True)
class Rates:
    """Rates of a version against another one on the same examples."""

    accuracy_old: Estimate
    accuracy_new: Estimate
    nfr: Estimate
    num_flips: int


@dataclass(frozen=True)
class LeftOut:
    """A version or move that cannot be drawn, and why."""

    title: str
    reason: str


@dataclass(frozen=True)
class Versions:
    """Versions of a model with their rates.

    Attributes:
        points: Versions that can be drawn.
        reference: Version that NFR is measured against, None where each is measured against the one before it.
        left_out: Versions that cannot be drawn.
    """

    points: list[MethodPoint]
    reference: MethodPoint | None
    left_out: list[LeftOut]


@st.cache_data(max_entries=5000, show_spinner=False)
def pair_rates(old: VersionTable, new: VersionTable) -> Rates:
    """Return accuracies, NFR and flips of a pair of versions. They never change, and only they are cached."""
    comparison = compare(pairs.predictions(old), pairs.predictions(new))
    return Rates(
        comparison.estimate("accuracy_old"),
        comparison.estimate("accuracy_new"),
        comparison.estimate("nfr"),
        comparison.counts.negative_flips,
    )


@st.cache_data(ttl=REFRESH, max_entries=5000, show_spinner=False)
def _rates_or_reason(old: VersionTable, new: VersionTable) -> Rates | str:
    # A failure is cached for a while too: a page must not ask a server for the same missing file at every click.
    try:
        return pair_rates(old, new)
    except PctError as error:
        return str(error)


def batches(total: int, size: int) -> int:
    """Return how many batches of `size` hold `total` things, at least one."""
    return max(-(-total // size), 1)


def version_title(version: Version) -> str:
    """Return the number of a version and its aliases as one title."""
    return " · ".join([str(version.version), *version.aliases])


def recipe_lines(version: Version) -> tuple[str, ...]:
    """Return lines that say how a version was made, as far as its tags say, and on which day it was registered."""
    lines = [f"{label}: {version.tags[tag]}" for tag, label in RECIPE_TAGS.items() if version.tags.get(tag)]
    if version.created:
        lines.append(f"registered {_day(version.created)}")
    return tuple(lines)


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%d")


def with_baselines(found: Sequence[Version], reference: Version | None) -> list[tuple[Version, Version | None]]:
    """Return each version with the one that it is measured against.

    That is the reference, which is itself left out. Without a reference it is the version before, None for the first
    version. `found` holds all versions, the newest first.
    """
    if reference is not None:
        return [(version, reference) for version in found if version.uri != reference.uri]
    return list(zip(found, [*found[1:], None], strict=True))


def versions_against(
    tracking_uri: str | None,
    compared: Sequence[tuple[Version, Version | None]],
    reference: Version | None,
    say: Progress,
) -> Versions:
    """Return the rates of these pairs in their order, and report progress to `say` where that takes a while."""
    points, left_out = [], []
    level = None
    began = time.monotonic()
    for done, (version, old) in enumerate(compared):
        if time.monotonic() - began > PATIENCE:
            say(done / len(compared), f"Comparing version {version.version}, {done} of {len(compared)} done…")
        found = _measured(tracking_uri, version, old)
        if old is None or isinstance(found, str):
            left_out.append(LeftOut(version_title(version), str(found)))
            continue
        points.append(_point(version, old, found))
        if reference is not None:
            level = MethodPoint(version_title(reference), found.accuracy_old.value or 0.0, 0.0)
    return Versions(points, level, left_out)


def _measured(tracking_uri: str | None, version: Version, old: Version | None) -> Rates | str:
    if old is None:
        return "It is the first version: there is none before it."
    found = _rates_or_reason(_table(tracking_uri, old), _table(tracking_uri, version))
    if isinstance(found, Rates) and (found.accuracy_new.value is None or found.nfr.value is None):
        return "Its table holds no examples."
    return found


def _point(version: Version, old: Version, found: Rates) -> MethodPoint:
    lines = (f"against version {old.version}", *recipe_lines(version))
    key = f"{old.version}-{version.version}"
    return MethodPoint(
        version_title(version), found.accuracy_new.value or 0.0, found.nfr.value or 0.0, details=lines, key=key
    )


def _table(tracking_uri: str | None, version: Version) -> VersionTable:
    return VersionTable(tracking_uri, version.name, version.version)


@st.cache_resource(ttl=REFRESH, show_spinner="Reading the history of production…")
def moves(tracking_uri: str | None, name: str) -> list[Move]:
    """Return every move of production, the oldest first."""
    from pct_mlops.registry import history

    return history(pairs.registry(tracking_uri), name)


def kind(move: Move) -> str:
    """Return the kind of a move, as the chart names it: promotion, override, rollback or adopted."""
    by_verdict = {"ROLLBACK": "rollback", "ADOPTED": "adopted"}
    return by_verdict.get(move.verdict, "override" if move.override else "promotion")


def move_points(tracking_uri: str | None, name: str, found: Sequence[Move], say: Progress) -> list[MovePoint]:
    """Return moves with the flips of each, in the given order, and report progress to `say` where that takes a while.

    NFR and flips are None where a move replaced no version, or where the two versions cannot be compared.
    """
    points = []
    began = time.monotonic()
    for done, move in enumerate(found):
        if time.monotonic() - began > PATIENCE:
            say(done / len(found), f"Comparing what each move replaced, {done} of {len(found)} done…")
        known = None
        if move.from_version is not None and move.to_version is not None:
            old, new = (VersionTable(tracking_uri, name, number) for number in (move.from_version, move.to_version))
            measured = _rates_or_reason(old, new)
            known = measured if isinstance(measured, Rates) else None
        points.append(
            MovePoint(
                when=move.when,
                title=f"{_number(move.from_version)} → {_number(move.to_version)}",
                kind=kind(move),
                nfr=known.nfr if known else None,
                num_flips=known.num_flips if known else None,
                details=(f"by {move.who}, {move.when[:10]}", *([move.reason] if move.reason else [])),
            )
        )
    return points


def _number(version: int | None) -> str:
    return "–" if version is None else str(version)


@st.cache_resource(ttl=60, show_spinner="Looking for sweeps…")
def stored_sweeps(tracking_uri: str | None, name: str) -> list[StoredSweep]:
    """Return the sweeps whose baseline is a version of the model, the newest first."""
    from pct_mlops.registry import sweeps

    return sweeps.find_sweeps(pairs.registry(tracking_uri), name)


def sweep_title(sweep: StoredSweep) -> str:
    """Return a title that says when a sweep began and what it was measured against."""
    began = datetime.fromtimestamp(sweep.started / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"{began}, against version {sweep.baseline.rsplit('/', 1)[-1]}"


@st.cache_data(ttl=REFRESH, show_spinner="Reading the sweep…")
def sweep_points(tracking_uri: str | None, run_id: str) -> list[MethodPoint]:
    """Return each method of a sweep with mean and standard deviation of its rates over seeds."""
    from pct_mlops.registry.sweeps import sweep_methods
    from pct_mlops.reports import read_methods_csv

    path = sweep_methods(pairs.registry(tracking_uri), run_id)
    if path is None:
        raise RegistryNotFoundError(
            "The sweep's table of methods is gone: run the sweep again, which reuses its trainings."
        )
    points = []
    for row in read_methods_csv(path.read_text(encoding="utf-8")):
        accuracy, nfr = row.spreads["accuracy"], row.spreads["nfr"]
        if accuracy.mean is not None and nfr.mean is not None:
            seeds = (f"{row.num_seeds} seeds",)
            points.append(MethodPoint(row.method, accuracy.mean, nfr.mean, accuracy.std, nfr.std, seeds))
    return points
