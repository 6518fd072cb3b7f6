"""Escapes data for Streamlit's Markdown, so that a class name cannot become a link or an image."""

from __future__ import annotations

import re

from pct_mlops.charts import printable

# Markdown makes these a link although their characters are escaped: it searches the finished text for addresses.
_ADDRESS = re.compile(r"https?(?=://)|www(?=\.)|@(?=[-\w]+\.)", re.IGNORECASE)
_JOINER = "\u2060"  # a character without width
_ACTIVE = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$:~^&@/])")


def plain(text: str) -> str:
    """Escape every character of `text` that Markdown could act on, and break up addresses invisibly."""
    broken = _ADDRESS.sub(lambda found: found[0] + _JOINER, printable(text))
    return _ACTIVE.sub(r"\\\1", broken)
