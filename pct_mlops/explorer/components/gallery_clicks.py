"""Opens the example of a clicked tile without reloading the page, and tells which tiles are ticked.

Without this script the tile is a plain link.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

# The script only reads the id from the tile and sends it back. It never writes data into the page. All ticks of a round
# are sent each time, because the next tick may come before the page has taken over the last one.
_SCRIPT = """
export default function ({ data, setTriggerValue, parentElement }) {
  if (parentElement.pctRound !== data.round) {
    parentElement.pctRound = data.round;
    parentElement.pctTicks = {};
  }
  const ticked = (event) => {
    const box = event.target.closest && event.target.closest("input[data-pct-tick]");
    if (!box) return;
    parentElement.pctTicks[box.getAttribute("data-pct-tick")] = box.checked;
    setTriggerValue("ticked", { round: parentElement.pctRound, ticks: { ...parentElement.pctTicks } });
  };
  const opened = (event) => {
    const tile = event.target.closest && event.target.closest("a[data-pct-id]");
    if (!tile || event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    setTriggerValue("opened", tile.getAttribute("data-pct-id"));
  };
  if (parentElement.pctOpened) document.removeEventListener("click", parentElement.pctOpened);
  if (parentElement.pctTicked) document.removeEventListener("change", parentElement.pctTicked);
  parentElement.pctOpened = opened;
  parentElement.pctTicked = ticked;
  document.addEventListener("click", opened);
  document.addEventListener("change", ticked);
  return () => {
    document.removeEventListener("click", opened);
    document.removeEventListener("change", ticked);
  };
}
"""


@st.cache_resource
def _component() -> Callable[..., object]:
    return st.components.v2.component("pct_opener", js=_SCRIPT)


def opener(
    key: str, on_opened: Callable[[], None], on_ticked: Callable[[], None] | None = None, *, round_: int = 0
) -> None:
    """Listen for clicks on tiles.

    Args:
        key: Streamlit's key. A callback finds what was clicked in `st.session_state[key]`.
        on_opened: Runs before the page is drawn again. The id is in `opened`.
        on_ticked: The same for the checkboxes of tiles. The ticks of this round are in `ticked`.
        round_: Number of the round, which goes up when the selection was changed otherwise.
    """
    with st.container(key=f"listener_{key}", gap=None):
        _component()(
            key=key,
            data={"round": round_},
            on_opened_change=on_opened,
            on_ticked_change=on_ticked or _ignore,
            height=1,
        )


def _ignore() -> None:
    """Do nothing: this page has no checkboxes."""
