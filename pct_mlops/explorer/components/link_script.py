"""Follows links of charts without reloading the page. Without this script they are plain links."""

from __future__ import annotations

import streamlit as st

# The script reads only the address of the link. Streamlit draws an address that the browser's history brings, so the
# page is told of one. Ctrl, Shift and the middle button open a new tab as ever.
SCRIPT = """<script>
if (!window.pctFollows) {
  window.pctFollows = true;
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a[data-pct-go]");
    if (!link || event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    if (new URL(link.href).origin !== location.origin) return;
    event.preventDefault();
    history.pushState({}, "", link.href);
    window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
    const page = document.querySelector('[data-testid="stMain"]');
    if (page) page.scrollTo(0, 0);
  });
}
</script>"""


def follow_links() -> None:
    """Let the page follow the links of its charts."""
    st.html(SCRIPT, unsafe_allow_javascript=True)
