"""Keeps figures, so that each is drawn once for all readers. Drawing one is the slowest part of a page."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from pct_mlops.explorer.state import selection

if TYPE_CHECKING:
    import plotly.graph_objects as go


def drawn(draw: Callable[..., go.Figure], *shown: Any, **options: Any) -> go.Figure:
    """Return the figure of `draw(*shown, **options)` in the reader's theme, drawn before or now.

    `draw` must be a pure function of the module level, and the caller must not change the figure: all readers share it.
    """
    options["dark"] = selection.is_dark()
    # A digest is faster than Streamlit, which hashes every part of an argument by itself: there may be thousands.
    asked = hashlib.sha256(pickle.dumps((draw.__module__, draw.__qualname__, shown, options))).digest()
    return _figure(asked, lambda: draw(*shown, **options))


# A resource is not pickled. Unpickling a figure would cost as much as drawing it.
@st.cache_resource(max_entries=200, show_spinner=False)
def _figure(asked: bytes, _draw: Callable[[], go.Figure]) -> go.Figure:
    return _draw()
