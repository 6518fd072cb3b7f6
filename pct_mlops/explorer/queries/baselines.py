"""Finds out whether the old version on screen is still the one that the gate would compare with."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pct_mlops.errors import PctError
from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.queries.pairs import Pair, VersionTable

REFRESH = 5  # seconds until an alias that moved shows
USUAL = "production"


@dataclass(frozen=True)
class Standing:
    """Place of the old version on screen among the versions: the gate's baseline now, or another one.

    Attributes:
        sentence: Says it to the reader.
        is_stale: Whether the gate would compare with another version.
        baseline: Version that the gate would compare with, None where there is none.
    """

    sentence: str
    is_stale: bool
    baseline: int | None


def alias_of(path: str | None) -> str:
    """Return the alias that the policy compares with. It is production without a policy that can be read."""
    try:
        return pairs.read_policy(pairs.file_table(path)).baseline if path else USUAL
    except PctError:
        return USUAL


def standing(pair: Pair, alias: str) -> Standing | None:
    """Tell whether the old version of the pair is still behind `alias`, or return None for files."""
    old, new = pair.old, pair.new
    if not (isinstance(old, VersionTable) and isinstance(new, VersionTable)):
        return None
    now = _version_at(old.tracking_uri, old.name, alias)
    if now is None:
        said = f"No version of {old.name} is {alias}: the gate has no baseline yet. This page compares with version "
        return Standing(f"{said}{old.version}.", False, None)
    if now == old.version:
        return Standing(f"Version {now} of {old.name} is {alias} now, so the gate compares with it too.", False, now)
    compared = f"this page compares with version {old.version}, not with the baseline of the gate"
    if (old.name, now) == (new.name, new.version):
        return Standing(f"The new version, {now}, is {alias} of {old.name} already: {compared}.", True, now)
    return Standing(f"Version {now} of {old.name} is {alias} now: {compared}.", True, now)


def fresh_standing(pair: Pair, alias: str) -> Standing | None:
    """Return the standing as the registry has it at this moment."""
    forget_baselines()
    return standing(pair, alias)


def forget_baselines() -> None:
    """Clear what is known of the aliases, so that the registry is asked again."""
    _version_at.clear()


@st.cache_data(ttl=REFRESH, max_entries=50, show_spinner=False)
def _version_at(tracking_uri: str | None, name: str, alias: str) -> int | None:
    found = pairs.registry(tracking_uri).find(name, alias)
    return found.version if found else None
