"""Keeps what a view has imported out of Python's garbage collection, which Streamlit runs after every page.

A collection looks at every object of the process. With mlflow loaded these are so many that it takes longer than the
page itself.
"""

from __future__ import annotations

import atexit
import gc

import streamlit as st


@st.cache_resource(show_spinner=False)
def keep_modules(view: str) -> None:
    """Keep everything that is in memory after a view was first drawn out of later collections.

    It runs once for each view, because each may import something. Objects that are in use no more are freed as ever,
    unless they refer to each other in a circle.
    """
    gc.collect()
    gc.freeze()
    # Python collects once more when it ends, and libraries complain of what is left.
    atexit.unregister(gc.unfreeze)
    atexit.register(gc.unfreeze)
