"""The page frame: what is compared, which view, and failures as one sentence."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Streamlit puts this folder on the path, not the one above it that holds the packages.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# A server that is down should be said at once: a reader waits in front of the page.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import streamlit as st

from app import selection, store
from app.markup import plain
from app.options import Options, read_options
from pct_mlops.config import PctError

# Less empty space above the title, and links to the next view that look like something to click.
STYLE = """<style>
.stMainBlockContainer{padding-top:4.5rem}
[class*="st-key-onward"] a{border:1px solid rgba(128,128,128,.45);border-radius:8px;
padding:.4rem .9rem}
</style>"""
VIEWS = Path(__file__).with_name("views")


def main() -> None:
    """Draw the frame, then the view that the address names."""
    st.set_page_config(page_title="Flip explorer", page_icon=":material/compare_arrows:", layout="wide")
    st.html(STYLE)
    page = st.navigation(
        [
            st.Page(VIEWS / "overview.py", title="Overview", icon=":material/dashboard:", default=True),
            st.Page(VIEWS / "classes.py", title="Classes", icon=":material/category:"),
            st.Page(VIEWS / "examples.py", title="Examples", icon=":material/photo_library:"),
        ],
        position="top",
    )
    selection.open_notices()
    try:
        options = _options()
        selection.choose_pair(options)
        page.run()
    except PctError as error:
        _problem(error)


def _options() -> Options:
    try:
        return read_options(sys.argv[1:])
    except SystemExit:
        raise PctError("The explorer was started with wrong arguments: 'pct explore --help' lists them.") from None


def _problem(error: PctError) -> None:
    if isinstance(error, selection.NothingToShow):
        st.info(plain(str(error)), icon=":material/info:")
    else:
        st.error(plain(str(error)), icon=":material/error:")
    if st.button("Try again", icon=":material/refresh:"):
        store.forget()
        st.rerun()


main()
