"""The address of the page: what widgets take over from it, and what they write back.

Values are written by hand instead of with `bind="query-params"`, which drops a value that equals its default: the
default version follows an alias, and a link must keep pointing at the versions that its author saw.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import streamlit as st

from pct_mlops.comparison.flips import percent_range
from pct_mlops.explorer.markup import plain

NOTICES = "place_of_notices"
ON = "yes"
_SEEN = "address:"


def open_notices() -> None:
    """Everything that a wrong address calls for stands here, at the top, and not between the widgets."""
    st.session_state[NOTICES] = st.container()


def notice(sentence: str) -> None:
    """Say at the top of the page what is not as the reader expects."""
    st.session_state[NOTICES].warning(plain(sentence), icon=":material/link_off:")


def _address_changed(name: str) -> bool:
    """Whether the address says something else than this page last wrote: a link, or the browser's back button."""
    return name not in st.session_state or st.query_params.get(name) != st.session_state.get(_SEEN + name)


def restore(name: str, options: Collection[str], default: str | None, *, is_sticky: bool = False) -> None:
    """Before the widget with key `name` is drawn: take over the address, or say that it names what is not there.

    A value missing from the address means the default; if `is_sticky`, it means what was chosen before: the menu
    of views leads to addresses without any selection.
    """
    wanted = st.query_params.get(name)
    if wanted is None and is_sticky:
        if st.session_state.get(name) not in options:
            st.session_state[name] = default
    elif _address_changed(name):
        known = wanted is None or wanted in options
        if not known:
            notice(f"The link asks for {name} '{str(wanted)[:80]}', which is not here: showing the default.")
        st.session_state[name] = wanted if wanted in options else default
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


def restore_number(name: str, most: int) -> None:
    """`restore` for a widget whose value is a whole number from 1, the default, to `most`."""
    if _address_changed(name):
        text = st.query_params.get(name, "1")
        found = _number(text, most)
        if found is None:
            notice(f"The link asks for {name} '{text[:80]}', which is not here: showing the first.")
        st.session_state[name] = found or 1
    elif not 1 <= st.session_state[name] <= most:
        st.session_state[name] = 1


def restore_switch(name: str) -> None:
    """`restore` for a switch that is off by default."""
    if _address_changed(name):
        text = st.query_params.get(name)
        if text not in (None, ON):
            notice(f"The link asks for {name} '{str(text)[:80]}', which is not here: showing the default.")
        st.session_state[name] = text == ON


def remember_switch(name: str) -> None:
    """`remember` for a switch."""
    remember(**{name: ON if st.session_state[name] else None})


def restore_text(name: str, longest: int = 200) -> None:
    """`restore` for a text that may be anything."""
    if _address_changed(name):
        st.session_state[name] = st.query_params.get(name, "")[:longest]


def restore_float(name: str, low: float, high: float, default: float) -> None:
    """`restore` for a number between two others."""
    if not _address_changed(name):
        st.session_state[name] = min(max(st.session_state[name], low), high)
        return
    asked = st.query_params.get(name)
    try:
        value = default if asked is None else float(asked)
    except ValueError:
        value = math.nan
    is_known = low <= value <= high
    if not is_known:
        notice(f"The link asks for {name} '{str(asked)[:80]}', which is not here: showing the default.")
    st.session_state[name] = value if is_known else default


def restore_range(name: str, whole: tuple[int, int]) -> None:
    """`restore` for two whole numbers inside `whole`, written "20-90"; all of it by default."""
    if not _address_changed(name):
        return
    asked = st.query_params.get(name)
    found = percent_range(asked, whole) if asked is not None else whole
    if found is None:
        notice(f"The link asks for {name} '{str(asked)[:80]}', which is not here: showing the default.")
    st.session_state[name] = found or whole


def asked(name: str, options: Collection[str], default: str | None) -> str | None:
    """What the address says, where no widget is drawn for it: its state would be in the way of the widget later."""
    value = st.query_params.get(name)
    return value if value in options else default


def asked_number(name: str, most: int) -> int:
    """`asked` for a whole number from 1 to `most`."""
    return _number(st.query_params.get(name, "1"), most) or 1


def _number(text: str, most: int) -> int | None:
    known = text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most
    return int(text) if known else None
