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
NOTICES = "place_of_notices"
OPTIONS = "started_with"
_SEEN = "address:"


class NothingToShow(PctError):
    """No failure: there is only too little to compare yet, and the message says what to do."""


def open_notices() -> None:
    """Everything that a wrong address calls for stands here, at the top, and not between the widgets."""
    st.session_state[NOTICES] = st.container()


def _notice(sentence: str) -> None:
    st.session_state[NOTICES].warning(plain(sentence), icon=":material/link_off:")


def _address_changed(name: str) -> bool:
    """Whether the address says something else than this page last wrote: a link, or the browser's back button."""
    return name not in st.session_state or st.query_params.get(name) != st.session_state.get(_SEEN + name)


def restore(name: str, options: Collection[str], default: str | None, *, is_sticky: bool = False) -> None:
    """Before the widget with key `name` is drawn: take over the address, or say that it names what is not there.

    A value missing from the address means the default; if `is_sticky`, it means what was chosen before: the menu
    of views leads to addresses without any selection.
    """
    asked = st.query_params.get(name)
    if asked is None and is_sticky:
        if st.session_state.get(name) not in options:
            st.session_state[name] = default
    elif _address_changed(name):
        known = asked is None or asked in options
        if not known:
            _notice(f"The link asks for {name} '{str(asked)[:80]}', which is not here: showing the default.")
        st.session_state[name] = asked if asked in options else default
    elif st.session_state[name] not in options:
        st.session_state[name] = default


def remember(default: str | None = None, **shown: str | None) -> None:
    """After the widgets: let the address say what they show; nothing and `default` are left out.

    Several at once are one step of the browser's history, which "back" should undo as one.
    """
    kept = {name: value for name, value in shown.items() if value and value != default}
    for name in shown:
        st.session_state[_SEEN + name] = kept.get(name)
        if name not in kept:
            st.query_params.pop(name, None)
    if any(st.query_params.get(name) != value for name, value in kept.items()):
        st.query_params.update(kept)


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
        raise NothingToShow(
            "The registry has no models yet: train a first one with 'mlflow run . -P loss=none', "
            "or open two prediction files with 'pct explore OLD NEW'."
        )
    if options.model and options.model not in names:
        _notice(f"The registry has no model '{options.model}': showing another one.")
    first = options.model if options.model in names else names[0]
    left, middle, right = st.columns([2, 1.4, 1.4])
    restore("model", names, first, is_sticky=True)
    name = left.selectbox(
        "Model",
        names,
        key="model",
        on_change=forget,
        args=("old", "new"),
        help="A registered model: one classifier with all its versions.",
    )
    found = store.versions(options.tracking_uri, name)
    if len(found) < 2:
        remember(model=name)
        raise NothingToShow(
            f"Model {name} has {len(found)} version: a comparison needs two, so train another one "
            "with 'mlflow run . -P loss=cna'."
        )
    old_default, new_default = default_versions(found)
    titles = {str(version.version): " · ".join([str(version.version), *version.aliases]) for version in found}
    with middle:
        old = _pick_version("old", titles, old_default, "What runs now, or ran before.")
    with right:
        new = _pick_version("new", titles, new_default, "What would replace the old version.")
    remember(model=name, old=old, new=new)
    if old == new:
        raise NothingToShow("Old and new are the same version: choose two different ones above.")
    uri = options.tracking_uri
    return Pair(
        VersionTable(uri, name, int(old)),
        VersionTable(uri, name, int(new)),
        f"{name} version {old}",
        f"version {new}",
        options.images,
    )


def _pick_version(key: str, titles: Mapping[str, str], default: int, hint: str) -> str:
    restore(key, titles, str(default), is_sticky=True)
    return st.selectbox(f"{key.capitalize()} version", list(titles), format_func=titles.__getitem__, key=key, help=hint)


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
    asked = st.query_params.get(name, "1")
    if _address_changed(name):
        if asked not in options:
            _notice(f"The link asks for {name} '{asked[:80]}', which is not here: showing the first.")
        st.session_state[name] = options.get(asked, 1)
    elif st.session_state[name] not in options.values():
        st.session_state[name] = 1


def restore_text(name: str) -> None:
    """`restore` for a text that may be anything."""
    if _address_changed(name):
        st.session_state[name] = st.query_params.get(name, "")[:200]
