"""Opens the example of a clicked tile without reloading the page. Without this script the tile is a plain link."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

# The script only reads the id from the tile and sends it back. It never writes data into the page.
_SCRIPT = """
export default function ({ setTriggerValue, parentElement }) {
  const opened = (event) => {
    const tile = event.target.closest && event.target.closest("a[data-pct-id]");
    if (!tile || event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    setTriggerValue("opened", tile.getAttribute("data-pct-id"));
  };
  if (parentElement.pctOpened) document.removeEventListener("click", parentElement.pctOpened);
  parentElement.pctOpened = opened;
  document.addEventListener("click", opened);
  return () => document.removeEventListener("click", opened);
}
"""


@st.cache_resource
def _component() -> Callable[..., object]:
    return st.components.v2.component("pct_opener", js=_SCRIPT)


def opener(key: str, on_opened: Callable[[], None]) -> None:
    """Listen for clicks on tiles.

    `on_opened` runs before the page is drawn again. It finds the id in `st.session_state[key].opened`.
    """
    with st.container(key=f"listener_{key}", gap=None):
        _component()(key=key, on_opened_change=on_opened, height=1)
