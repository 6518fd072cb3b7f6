"""Holds what is shown, and keeps it in the address: a copy of the address restores the view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from pct_mlops.config.commands import train_command
from pct_mlops.errors import ConfigError, PctError
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.state.options import Options
from pct_mlops.explorer.state.url import (
    NOTICES,
    asked,
    asked_number,
    forget,
    notice,
    open_notices,
    remember,
    remember_switch,
    restore,
    restore_float,
    restore_number,
    restore_range,
    restore_switch,
    restore_text,
)
from pct_mlops.predictions import ReadOptions

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from pct_mlops.registry import Version

__all__ = [
    "asked",
    "asked_number",
    "choose_pair",
    "current",
    "default_versions",
    "forget",
    "is_dark",
    "is_read_only",
    "link_params",
    "open_notices",
    "policy_file",
    "query",
    "remember",
    "remember_switch",
    "restore",
    "restore_float",
    "restore_number",
    "restore_range",
    "restore_switch",
    "restore_text",
]

PAIR = "chosen_pair"
OPTIONS = "started_with"
PAIR_NAMES = ("model", "old", "new", "new_model")
_ALIASES, _GIVEN = "aliases:", "given:"


class NothingToShow(PctError):
    """An error for too few models or versions to compare. It is shown as a hint, and says what to do."""


def current() -> Pair:
    """Return the pair that the page shows."""
    return st.session_state[PAIR]


def policy_file() -> str | None:
    """Return the policy file that the explorer was started with, or None."""
    return st.session_state[OPTIONS].policy


def is_read_only() -> bool:
    """Tell whether the explorer was started with --read-only."""
    return bool(st.session_state[OPTIONS].read_only)


def is_dark() -> bool:
    """Tell whether the page is drawn in a dark theme."""
    return st.context.theme.type == "dark"


def link_params(**extra: str | None) -> dict[str, str]:
    """Return the parameters of a link to a page on the same pair. Values of `extra` that are empty are left out."""
    kept = {name: st.query_params[name] for name in PAIR_NAMES if name in st.query_params}
    return {**kept, **{name: value for name, value in extra.items() if value}}


def query(**extra: str) -> str:
    """Return the part of the present address behind the question mark, with the values of `extra` set."""
    return urlencode({**st.query_params.to_dict(), **extra})


def choose_pair(options: Options) -> Pair:
    """Return the pair of the command line, or draw the menus and return the one that is picked there.

    Raises:
        NothingToShow: There are too few models or versions, or the same version is picked twice.
        PctError: The pair of the command line is one table twice, or cannot be found.
    """
    st.session_state[OPTIONS] = options
    pair = _given(options) if options.old and options.new else _picked(options)
    pair = replace(pair, slices=pairs.policy_slices(options.policy), texts=_texts(options))
    st.session_state[PAIR] = pair
    return pair


def _texts(options: Options) -> pairs.FileTable | None:
    """Return a key for the file of --texts. One that is gone has a key too, and those who read it say so."""
    if not options.texts:
        return None
    reading = ReadOptions.parse(options.columns)
    try:
        return pairs.file_table(options.texts, reading)
    except PctError:
        return pairs.FileTable(options.texts, 0, reading)


def _given(options: Options) -> Pair:
    # What no file has, 'pct explore' has refused.
    reading = replace(ReadOptions.parse(options.columns, options.classes, options.split), are_shared=True)
    old, new = (_fixed(options.tracking_uri, text, reading) for text in (options.old or "", options.new or ""))
    if old == new:
        raise ConfigError("Old and new are the same table: give two different ones to 'pct explore OLD NEW'.")
    return Pair(old, new, *titles_of(old, new), options.images)


def _fixed(tracking_uri: str | None, text: str, reading: ReadOptions) -> pairs.Table:
    """Return the table that `text` meant when the page was opened. A notice says when an alias has moved since."""
    try:
        now = pairs.table_of(tracking_uri, text, reading)
    except PctError as error:
        if _GIVEN + text not in st.session_state:
            raise
        first = st.session_state[_GIVEN + text]
        notice(f"{error} This page stays on version {first.version}, which {text} named when it was opened.")
        return first
    if not isinstance(now, VersionTable):
        return now
    first = st.session_state.setdefault(_GIVEN + text, now)
    if first != now:
        stays = f"this page stays on version {first.version}. Reload it to see the other one."
        notice(f"{text} has moved to version {now.version}: {stays}")
    return first


def titles_of(old: pairs.Table, new: pairs.Table) -> tuple[str, str]:
    """Return a title for each table. Those of two files differ.

    A file is called by its name, two files of one name by folder and name, or else by their whole paths.
    """
    found = [(_title(old, parts), _title(new, parts)) for parts in (1, 2, None)]
    return next((pair for pair in found if pair[0] != pair[1]), found[-1])


def _title(table: pairs.Table, parts: int | None) -> str:
    if isinstance(table, VersionTable):
        return f"{table.name} version {table.version}"
    path = Path(table.path).absolute()
    return str(path) if parts is None else "/".join(path.parts[-parts:])


def _picked(options: Options) -> Pair:
    names = pairs.models(options.tracking_uri)
    if not names:
        raise NothingToShow(
            f"The registry has no models yet: train a first one with {train_command()}, "
            "or open two prediction files with 'pct explore OLD NEW'."
        )
    if options.model and options.model not in names:
        notice(f"The registry has no model '{options.model}': showing another one.")
    first = options.model if options.model in names else names[0]
    left, middle, right = st.columns([2, 1.4, 1.4])
    restore("model", names, first, is_sticky=True)
    name = left.selectbox(
        "Model",
        names,
        key="model",
        on_change=forget,
        args=("old", "new", "new_model"),
        help="A registered model: one classifier with all its versions.",
    )
    restore("new_model", names, None, is_sticky=True)
    other = st.session_state["new_model"]
    pair = _pick_pair(options, name, None if other == name else other, (middle, right))
    if pair.old == pair.new:
        raise NothingToShow("Old and new are the same version: choose two different ones above.")
    return pair


def _pick_pair(options: Options, name: str, other: str | None, places: Sequence[DeltaGenerator]) -> Pair:
    """Draw the menus of both versions and return the pair. New versions are those of `other`, where it is given."""
    uri = options.tracking_uri
    olds = pairs.versions(uri, name)
    news = pairs.versions(uri, other) if other else olds
    if not (olds and news) or (not other and len(olds) < 2):
        remember(model=name, new_model=other)
        raise NothingToShow(
            f"Model {name} has {len(olds)} version{'' if len(olds) == 1 else 's'}: a comparison needs two, so train "
            f"another one with {train_command('cna')}."
        )
    old_default, new_default = default_versions(olds) if not other else (_standing(olds), _newest(news))
    with places[0]:
        old = _pick_version("old", olds, old_default, "The version in production, or an earlier one.")
    with places[1]:
        new = _pick_version("new", news, new_default, "The version that would replace the old one.", other)
    remember(model=name, old=old, new=new, new_model=other)
    _watch(name, olds)
    return Pair(
        VersionTable(uri, name, int(old)),
        VersionTable(uri, other or name, int(new)),
        f"{name} version {old}",
        f"{other} version {new}" if other else f"version {new}",
        options.images,
    )


def _watch(name: str, found: Sequence[Version]) -> None:
    """Say when an alias moved since the page was opened. The page goes on to show the same versions."""
    now = {alias: version.version for version in found for alias in version.aliases}
    before = st.session_state.setdefault(_ALIASES + name, now)
    moved = [
        f"{alias} moved from version {before[alias]} to {now.get(alias, 'none')}"
        for alias in ("production", "candidate")
        if alias in before and before[alias] != now.get(alias)
    ]
    if not moved:
        st.session_state[_ALIASES + name] = now
        return
    notice(f"While this page was open, {' and '.join(moved)}. It still shows the same versions.")
    st.session_state[NOTICES].button(
        "Show the current versions", icon=":material/update:", on_click=forget, args=("old", "new", _ALIASES + name)
    )


def _standing(found: Sequence[Version]) -> int:
    return next((version.version for version in found if "production" in version.aliases), _newest(found))


def _newest(found: Sequence[Version]) -> int:
    return max(version.version for version in found)


def _pick_version(key: str, found: Sequence[Version], default: int, hint: str, other: str | None = None) -> str:
    titles = {str(version.version): " · ".join([str(version.version), *version.aliases]) for version in found}
    before = st.session_state.get(key)
    if before is not None and before not in titles and before == st.query_params.get(key):
        notice(f"Version {before} is not there any more: showing version {default} instead.")
    against = f" against version {st.session_state['old']}" if key == "new" else ""
    restore(key, titles, str(default), is_sticky=True, instead=f"showing version {default}{against}")
    label = f"{key.capitalize()} version" + (f" of {plain(other)}" if other else "")
    return st.selectbox(label, list(titles), format_func=titles.__getitem__, key=key, help=hint)


def default_versions(found: Sequence[Version]) -> tuple[int, int]:
    """Return the version numbers (old, new) that are compared at first: production and candidate.

    Without a candidate, new is the newest version. If new is itself in production, old is the previous production.
    `found` holds at least two versions.
    """
    at = {alias: version.version for version in found for alias in version.aliases}
    numbers = sorted((version.version for version in found), reverse=True)
    new = at.get("candidate", numbers[0])
    for old in (at.get("production"), at.get("previous")):
        if old is not None and old != new:
            return old, new
    return next((n for n in numbers if n < new), None) or next(n for n in numbers if n != new), new
