"""Data as text in Streamlit's Markdown: shown literally, so that a class name cannot become a link or an image."""

from __future__ import annotations

import re

from pct_mlops.charts import printable

# What Markdown makes a link of although its characters are escaped: it looks for addresses in the finished text.
_ADDRESS = re.compile(r"https?(?=://)|www(?=\.)|@(?=[-\w]+\.)", re.IGNORECASE)
_JOINER = "\u2060"  # of no width
_ACTIVE = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$:~^&@/])")


def plain(text: str) -> str:
    """`text` with every character that Markdown could act on escaped, and addresses broken up, invisibly."""
    broken = _ADDRESS.sub(lambda found: found[0] + _JOINER, printable(text))
    return _ACTIVE.sub(r"\\\1", broken)
