"""Draws the page for an address that names no view, in place of Streamlit's words and its first page."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pct_mlops.explorer.markup import plain

_ASKED = "page_that_is_not_there"


def unknown_page(known: Collection[str]) -> StreamlitPage | None:
    """Return a page that says what is wrong with the address, or None where every address so far named a view.

    Streamlit would show the first view, with its verdict, below a dialog about files. The page is kept for the whole
    session, so that the browser's back button finds it too.

    Args:
        known: The addresses of the views.
    """
    context = get_script_run_ctx()
    asked = (context.pages_manager.intended_page_name or "") if context is not None else ""
    if asked and asked not in known:
        st.session_state[_ASKED] = asked
    name = str(st.session_state.get(_ASKED, ""))
    # An address may have several parts, a page of Streamlit's only one.
    return st.Page(lambda: _draw(name), title="No such page", url_path=name) if name and "/" not in name else None


def _draw(name: str) -> None:
    st.title("There is no such page", anchor=False)
    st.error(
        plain(f"The explorer has no page '{name[:80]}', so nothing is shown and nothing is judged here.")
        + " Choose one of the pages in the menu above.",
        icon=":material/wrong_location:",
    )
