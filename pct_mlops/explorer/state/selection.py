"""Holds what is shown, and keeps it in the address: a copy of the address restores the view."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from pct_mlops.errors import ConfigError, PctError
from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.state.options import Options
from pct_mlops.explorer.state.pair_picker import NothingToShow, UnknownInLink, default_versions, pick_pair
from pct_mlops.explorer.state.url import (
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

__all__ = [
    "NothingToShow",
    "UnknownInLink",
    "address",
    "asked",
    "asked_number",
    "choose_pair",
    "current",
    "default_versions",
    "forget",
    "is_dark",
    "is_read_only",
    "link_params",
    "open_example",
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
_GIVEN = "given:"


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


def address(view: str, **extra: str | None) -> str:
    """Return the address of a view of the same pair, "" for the Overview, as a link on a page of the explorer needs it.

    It is relative, so that it is right behind a proxy too.
    """
    found = urlencode(link_params(**extra))
    return f"{view or './'}?{found}" if found else view or "./"


def query(**extra: str) -> str:
    """Return the part of the present address behind the question mark, with the values of `extra` set."""
    return urlencode({**st.query_params.to_dict(), **extra})


def open_example(sample_id: str | None, page: int) -> None:
    """Open an example, or the gallery if None, at a page of the gallery. Streamlit calls this before it draws again."""
    st.session_state["example"] = sample_id or ""
    remember("1", page=str(page))


def choose_pair(options: Options) -> Pair:
    """Return the pair of the command line, or draw the menus and return the one that is picked there.

    Raises:
        NothingToShow: There are too few models or versions, or the same version is picked twice.
        UnknownInLink: The link names a model or a version that the registry does not have.
        PctError: The pair of the command line is one table twice, or cannot be found.
    """
    st.session_state[OPTIONS] = options
    pair = _given(options) if options.old and options.new else pick_pair(options)
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
