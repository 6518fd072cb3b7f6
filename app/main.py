"""Draws the frame of every page: what is compared, the menu of views, and errors as one sentence."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if importlib.util.find_spec("pct_mlops") is None:
    # `streamlit run app/main.py` in a checkout that is not installed.
    sys.path.append(str(Path(__file__).resolve().parents[1]))
# The error about a server that is down must come soon: the reader is waiting for the page.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import streamlit as st

from pct_mlops.errors import ConfigError, PctError
from pct_mlops.explorer.components import link_script, missing_page
from pct_mlops.explorer.garbage import keep_modules
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.state import selection, url
from pct_mlops.explorer.state.options import Options, read_options

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

# Less space above the title, links that look like buttons, and hints in a grey that is dark enough to read (5:1).
# On a phone the menu takes two lines.
STYLE = """<style>
[data-testid="stCaptionContainer"]{color:color-mix(in srgb,currentColor 75%,transparent);opacity:1}
.stMainBlockContainer{padding-top:4.5rem}
.st-key-link_script{position:absolute}
[class*="st-key-onward"] a{border:1px solid rgba(128,128,128,.45);border-radius:8px;
padding:.4rem .9rem}
.st-key-menu{position:fixed;top:0;left:1rem;right:4rem;height:3.75rem;z-index:999991;width:auto;
flex-wrap:nowrap;align-items:center;overflow-x:auto}
@media(max-width:900px){.st-key-menu{left:.25rem}.st-key-menu :has(>[data-testid="stIconMaterial"]){display:none}}
@media(max-width:640px){.st-key-menu{flex-wrap:wrap;align-content:center;overflow:visible;right:3.25rem}
.st-key-menu a{padding:.2rem .5rem;min-height:0}.st-key-menu p{font-size:.85rem;line-height:1.3}}
</style>"""
# Streamlit treats a folder "pages" differently: the first visitor who opens the address of a view would see that file
# without this frame.
VIEWS = Path(__file__).with_name("views")
# A file, because Streamlit would load an icon of its own from the internet.
ICON = Path(__file__).with_name("icon.png")


def main() -> None:
    """Draw the frame, then the view that the address names."""
    st.set_page_config(page_title="Flip explorer", page_icon=str(ICON), layout="wide")
    st.html(STYLE)
    pages = [
        st.Page(VIEWS / "overview.py", title="Overview", icon=":material/dashboard:", default=True),
        st.Page(VIEWS / "classes.py", title="Classes", icon=":material/category:"),
        st.Page(VIEWS / "examples.py", title="Examples", icon=":material/photo_library:"),
        st.Page(VIEWS / "slices.py", title="Slices", icon=":material/pie_chart:"),
        st.Page(VIEWS / "tradeoff.py", title="Trade-off", icon=":material/timeline:"),
        st.Page(VIEWS / "gate.py", title="Gate", icon=":material/tune:"),
        st.Page(VIEWS / "review.py", title="Review", icon=":material/rate_review:"),
    ]
    unknown = missing_page.unknown_page([page.url_path for page in pages])
    page = st.navigation([*pages, *([unknown] if unknown else [])], position="hidden")
    menu = st.container(horizontal=True, key="menu", gap=None)
    with st.container(key="link_script"):
        link_script.follow_links()
    url.open_notices()
    try:
        try:
            if page is not unknown:
                selection.choose_pair(_options())
        finally:
            # Also where there is nothing to compare: the reader must get to the other pages.
            _draw_menu(menu, pages)
        page.run()
        if page is not unknown:
            keep_modules(page.url_path)
    except PctError as error:
        _problem(error)


def _draw_menu(place: DeltaGenerator, pages: Sequence[st.Page]) -> None:
    """Draw links to the views on the same pair.

    The links of Streamlit's own menu do not name the pair. The page would then write it to the address, which adds a
    step to the browser's history that the reader did not make.
    """
    for page in pages:
        place.page_link(page, query_params=selection.link_params())


def _options() -> Options:
    try:
        return read_options(sys.argv[1:])
    except SystemExit:
        raise ConfigError("The explorer was started with wrong arguments: 'pct explore --help' lists them.") from None


def _problem(error: PctError) -> None:
    if isinstance(error, selection.NothingToShow):
        st.info(plain(str(error)), icon=":material/info:")
    else:
        st.error(plain(str(error)), icon=":material/error:")
    if st.button("Try again", icon=":material/refresh:"):
        pairs.forget_tables()
        st.rerun()


main()
