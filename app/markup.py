"""Data as text in Streamlit's Markdown: shown literally, so that a class name cannot become a link or an image."""

from __future__ import annotations

import re

from pct_mlops.charts import printable

_ACTIVE = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$:~^&@/])")


def plain(text: str) -> str:
    """`text` with every character that Markdown could act on escaped."""
    return _ACTIVE.sub(r"\\\1", printable(text))
