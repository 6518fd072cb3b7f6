"""Figures, drawn once for all readers: putting one together costs more than all else that a page does."""

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
    """`draw(*shown, **options)` in the reader's theme. `draw` is a pure function; its figure is not to be changed."""
    options["dark"] = selection.is_dark()
    # Streamlit looks at every part of an argument by itself: slow where there are thousands of cells.
    asked = hashlib.sha256(pickle.dumps((draw.__module__, draw.__qualname__, shown, options))).digest()
    return _figure(asked, lambda: draw(*shown, **options))


# Held as it is and not pickled: reading a figure back would cost as much as drawing it.
@st.cache_resource(max_entries=200, show_spinner=False)
def _figure(asked: bytes, _draw: Callable[[], go.Figure]) -> go.Figure:
    return _draw()
