"""What is shown, kept in the address: copying it restores the view.

Values are written by hand instead of with `bind="query-params"`, which drops a value that equals its default: the
default version follows an alias, and a link must keep pointing at the versions that its author saw.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from app import store
from app.markup import plain
from app.options import Options
from app.store import Pair, VersionTable
from pct_mlops.config import PctError

if TYPE_CHECKING:
    from pct_mlops.registry import Version

PAIR = "chosen_pair"
OPTIONS = "started_with"
_SEEN = "address:"


def restore(name: str, options: Collection[str], default: str | None) -> None:
    """Before the widget with key `name` is drawn: take over the address, or say that it names what is not there."""
    asked = st.query_params.get(name)
    is_news = name not in st.session_state or asked != st.session_state.get(_SEEN + name)
    if asked is not None and is_news:
        known = asked in options
        if not known:
            st.warning(plain(f"The link asks for {name} '{asked[:80]}', which is not here: showing the default."))
        st.session_state[name] = asked if known else default
    elif name not in st.session_state or (st.session_state[name] not in options and default != st.session_state[name]):
        st.session_state[name] = default


def remember(name: str, value: str | None) -> None:
    """After the widget: let the address say what it shows; None or empty leaves it out."""
    if not value:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != value:
        st.query_params[name] = value
    st.session_state[_SEEN + name] = value or None


def forget(*names: str) -> None:
    """Back to the defaults, for example of the versions when another model is chosen."""
    for name in names:
        st.session_state.pop(name, None)
        st.query_params.pop(name, None)


def current() -> Pair:
    """The pair that the page was opened on."""
    return st.session_state[PAIR]


def policy() -> str | None:
    """The policy file that the explorer was started with."""
    return st.session_state[OPTIONS].policy


def is_dark() -> bool:
    """Whether the page is drawn in a dark theme."""
    return st.context.theme.type == "dark"


def link_params(**extra: str | None) -> dict[str, str]:
    """The address of another page on the same pair."""
    kept = {name: st.query_params[name] for name in ("model", "old", "new") if name in st.query_params}
    return {**kept, **{name: value for name, value in extra.items() if value}}


def choose_pair(options: Options) -> Pair:
    """The pair given on the command line, or the one picked on the page; PctError when there is nothing to pick."""
    st.session_state[OPTIONS] = options
    pair = _given(options) if options.old and options.new else _picked(options)
    st.session_state[PAIR] = pair
    return pair


def _given(options: Options) -> Pair:
    old, new = (store.table(options.tracking_uri, text) for text in (options.old or "", options.new or ""))
    if old == new:
        raise PctError("Old and new are the same table: give two different ones to 'pct explore OLD NEW'.")
    return Pair(old, new, _title(old), _title(new), options.images)


def _title(table: store.Table) -> str:
    if isinstance(table, VersionTable):
        return f"{table.name} version {table.version}"
    return Path(table.path).name


def _picked(options: Options) -> Pair:
    names = store.models(options.tracking_uri)
    if not names:
        raise PctError(
            "The registry has no models yet: train a first one with 'mlflow run . -P loss=none', "
            "or open two prediction files with 'pct explore OLD NEW'."
        )
    if options.model and options.model not in names:
        st.warning(plain(f"The registry has no model '{options.model}': showing another one."))
    first = options.model if options.model in names else names[0]
    left, middle, right = st.columns([2, 1.4, 1.4])
    restore("model", names, first)
    name = left.selectbox(
        "Model",
        names,
        key="model",
        on_change=forget,
        args=("old", "new"),
        help="A registered model: one classifier with all its versions.",
    )
    remember("model", name)
    found = store.versions(options.tracking_uri, name)
    if len(found) < 2:
        raise PctError(
            f"Model {name} has {len(found)} version: a comparison needs two, so train another one "
            "with 'mlflow run . -P loss=cna'."
        )
    old_default, new_default = default_versions(found)
    titles = {str(version.version): " · ".join([str(version.version), *version.aliases]) for version in found}
    with middle:
        old = _pick_version("old", titles, old_default, "What runs now, or ran before.")
    with right:
        new = _pick_version("new", titles, new_default, "What would replace the old version.")
    if old == new:
        raise PctError("Old and new are the same version: choose two different ones above.")
    uri = options.tracking_uri
    return Pair(
        VersionTable(uri, name, int(old)),
        VersionTable(uri, name, int(new)),
        f"{name} version {old}",
        f"{name} version {new}",
        options.images,
    )


def _pick_version(key: str, titles: Mapping[str, str], default: int, hint: str) -> str:
    restore(key, titles, str(default))
    value = st.selectbox(
        f"{key.capitalize()} version", list(titles), format_func=titles.__getitem__, key=key, help=hint
    )
    remember(key, value)
    return value


def default_versions(found: Sequence[Version]) -> tuple[int, int]:
    """(old, new) of at least two versions: production against candidate.

    Without a candidate the newest is new; when new is itself in production, old is what production was before.
    """
    at = {alias: version.version for version in found for alias in version.aliases}
    numbers = sorted((version.version for version in found), reverse=True)
    new = at.get("candidate", numbers[0])
    for old in (at.get("production"), at.get("previous")):
        if old is not None and old != new:
            return old, new
    return next((n for n in numbers if n < new), None) or next(n for n in numbers if n != new), new


def restore_number(name: str, options: Mapping[str, int]) -> None:
    """`restore` for a widget whose value is a number, 1 by default."""
    asked = st.query_params.get(name)
    if asked is not None and (name not in st.session_state or asked != st.session_state.get(_SEEN + name)):
        if asked not in options:
            st.warning(plain(f"The link asks for {name} '{asked[:80]}', which is not here: showing the first."))
        st.session_state[name] = options.get(asked, 1)
    elif st.session_state.get(name, 1) not in options.values():
        st.session_state[name] = 1


def restore_text(name: str) -> None:
    """`restore` for a text that may be anything."""
    asked = st.query_params.get(name)
    if asked is not None and (name not in st.session_state or asked != st.session_state.get(_SEEN + name)):
        st.session_state[name] = asked[:200]
