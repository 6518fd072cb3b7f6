"""Reads the values of widgets from the address of the page, and writes them back.

Streamlit's `bind="query-params"` is not used, because it drops a value that equals its default. The default version
follows an alias, and a link must keep pointing at the versions that its author saw.
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
    """Reserve a place at the top of the page for notices, so that they do not stand between the widgets."""
    st.session_state[NOTICES] = st.container()


def notice(sentence: str) -> None:
    """Draw a warning at the top of the page."""
    st.session_state[NOTICES].warning(plain(sentence), icon=":material/link_off:")


def _address_changed(name: str) -> bool:
    """Tell whether a link or the browser's back button changed the address since this page last wrote it."""
    return name not in st.session_state or st.query_params.get(name) != st.session_state.get(_SEEN + name)


def restore(name: str, options: Collection[str], default: str | None) -> None:
    """Set the widget with key `name` to the value of the address before it is drawn.

    A notice says when the address names a value that is not among `options`. A value that is missing from the address
    means the default.
    """
    if _address_changed(name):
        wanted = st.query_params.get(name)
        if wanted is not None and wanted not in options:
            notice(f"The link asks for {name} '{wanted[:80]}', which is not here: showing the default.")
        st.session_state[name] = wanted if wanted in options else default
    elif st.session_state[name] not in options:
        st.session_state[name] = default


def restore_choice(name: str, default: str) -> str:
    """Set the widget with key `name` to what the address asks for, whether that exists or not, and return it.

    Where the address does not name it, it stays what was chosen before, as on a page opened without parameters.
    """
    wanted = st.query_params.get(name)
    before = st.session_state.get(name)
    value = wanted if wanted is not None and _address_changed(name) else before or default
    st.session_state[name] = value
    st.session_state[_SEEN + name] = wanted
    return value


def remember(default: str | None = None, **shown: str | None) -> None:
    """Write the values of widgets to the address after they are drawn, without empty values and `default`.

    Values that are written in one call are one step of the browser's history, which its back button undoes at once.
    """
    kept = {name: value for name, value in shown.items() if value and value != default}
    for name in shown:
        st.session_state[_SEEN + name] = kept.get(name)
        if name not in kept:
            st.query_params.pop(name, None)
    if any(st.query_params.get(name) != value for name, value in kept.items()):
        st.query_params.update(kept)


def forget(*names: str) -> None:
    """Reset these widgets to their defaults, for example the versions when another model is chosen."""
    for name in names:
        st.session_state.pop(name, None)
        st.query_params.pop(name, None)


def restore_number(name: str, most: int) -> None:
    """Restore a widget whose value is a whole number from 1, the default, to `most`."""
    if _address_changed(name):
        text = st.query_params.get(name, "1")
        found = _number(text, most)
        if found is None:
            notice(f"The link asks for {name} '{text[:80]}', which is not here: showing the first.")
        st.session_state[name] = found or 1
    elif not 1 <= st.session_state[name] <= most:
        st.session_state[name] = 1


def restore_switch(name: str) -> None:
    """Restore a switch that is off by default."""
    if _address_changed(name):
        text = st.query_params.get(name)
        if text not in (None, ON):
            notice(f"The link asks for {name} '{str(text)[:80]}', which is not here: showing the default.")
        st.session_state[name] = text == ON


def remember_switch(name: str) -> None:
    """Write the value of a switch to the address."""
    remember(**{name: ON if st.session_state[name] else None})


def restore_text(name: str, longest: int = 200) -> None:
    """Restore a text that may be anything, cut to `longest` characters."""
    if _address_changed(name):
        st.session_state[name] = st.query_params.get(name, "")[:longest]


def restore_float(name: str, low: float, high: float, default: float) -> None:
    """Restore a number from `low` to `high`."""
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
    """Restore a range of whole numbers inside `whole`, which is the default. The address says it as "20-90"."""
    if not _address_changed(name):
        return
    asked = st.query_params.get(name)
    found = percent_range(asked, whole) if asked is not None else whole
    if found is None:
        notice(f"The link asks for {name} '{str(asked)[:80]}', which is not here: showing the default.")
    st.session_state[name] = found or whole


def asked(name: str, options: Collection[str], default: str | None) -> str | None:
    """Return the value of the address, or `default` where it is not among `options`.

    This is for pages that do not draw the widget. A value in the session would get in the way of the widget later.
    """
    value = st.query_params.get(name)
    return value if value in options else default


def asked_number(name: str, most: int) -> int:
    """Return the whole number of the address, or 1 where it is not between 1 and `most`."""
    return _number(st.query_params.get(name, "1"), most) or 1


def _number(text: str, most: int) -> int | None:
    known = text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most
    return int(text) if known else None
