"""Formats numbers and names for figures.

Numbers have the same precision everywhere. Names cannot act as markup.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections import Counter
from collections.abc import Sequence

from pct_mlops.config.numbers import UNDEFINED, percent, points, probability

__all__ = [
    "UNDEFINED",
    "count",
    "distinct",
    "escaped",
    "interval",
    "number",
    "percent",
    "points",
    "printable",
    "probability",
    "short",
    "wrapped",
]

_NUMBERED = re.compile(r" #\d{1,6}$")


def number(value: float | None) -> str:
    """Format a number that is not a share, with four significant digits. None becomes 'undefined'."""
    return UNDEFINED if value is None else f"{value:.4g}"


def interval(lower: float | None, upper: float | None) -> str:
    """Format two fractions as 'a to b' in percent. An unknown end is 'undefined'."""
    if lower is None and upper is None:
        return UNDEFINED
    return f"{percent(lower)} to {percent(upper)}"


def count(value: int) -> str:
    """Format a whole number with thousands separators."""
    return f"{value:,}"


def printable(name: str) -> str:
    """Return a name on one line. Replace control and direction-changing characters, which could disguise it."""
    return "".join(char if char.isprintable() else "\ufffd" for char in name)


def short(name: str, width: int = 22) -> str:
    """Return a printable name of at most `width` characters. Cut the rest off with an ellipsis, but keep a closing
    '#3'.
    """
    name = printable(name)
    if len(name) <= width:
        return name
    found = _NUMBERED.search(name)
    tail = found[0] if found else ""
    return name[: width - 1 - len(tail)].rstrip() + "…" + tail


def distinct(names: Sequence[str], width: int = 22) -> list[str]:
    """Return names of at most `width` characters.

    If two of them would look alike, their middle is cut out instead of their end.
    """
    cut = [short(name, width) for name in names]
    times = Counter(cut)
    half = (width - 1) // 2
    return [
        name if times[name] == 1 or len(whole) <= width else f"{whole[:half].rstrip()}…{whole[-half:].lstrip()}"
        for name, whole in zip(cut, map(printable, names), strict=True)
    ]


def wrapped(name: str, width: int = 60) -> str:
    """Return a name on up to four lines, to be shown literally in Plotly's hover texts."""
    return "<br>".join(escaped(line) for line in textwrap.wrap(short(name, 4 * width), width) or [""])


def escaped(name: str) -> str:
    """Escape a name for Plotly labels, which read a small dialect of HTML, so that it is shown literally."""
    return html.escape(printable(name), quote=True)
