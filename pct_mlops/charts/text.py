"""Numbers and names as people read them: one precision everywhere, and names that cannot act as markup."""

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
    """A number that is no share, with four significant digits."""
    return UNDEFINED if value is None else f"{value:.4g}"


def interval(lower: float | None, upper: float | None) -> str:
    """Two fractions as 'a to b' in percent; an unknown end is 'undefined'."""
    if lower is None and upper is None:
        return UNDEFINED
    return f"{percent(lower)} to {percent(upper)}"


def count(value: int) -> str:
    """A whole number with thousands separators."""
    return f"{value:,}"


def printable(name: str) -> str:
    """A name on one line without control or direction-changing characters, which could disguise what it says."""
    return "".join(char if char.isprintable() else "\ufffd" for char in name)


def short(name: str, width: int = 22) -> str:
    """A printable name of at most `width` characters, the rest as an ellipsis; a closing '#3' is kept."""
    name = printable(name)
    if len(name) <= width:
        return name
    found = _NUMBERED.search(name)
    tail = found[0] if found else ""
    return name[: width - 1 - len(tail)].rstrip() + "…" + tail


def distinct(names: Sequence[str], width: int = 22) -> list[str]:
    """Names of at most `width` characters; where two would look alike, the middle is cut out and not the end."""
    cut = [short(name, width) for name in names]
    times = Counter(cut)
    half = (width - 1) // 2
    return [
        name if times[name] == 1 or len(whole) <= width else f"{whole[:half].rstrip()}…{whole[-half:].lstrip()}"
        for name, whole in zip(cut, map(printable, names), strict=True)
    ]


def wrapped(name: str, width: int = 60) -> str:
    """A name of up to four lines for Plotly's hover texts, shown literally."""
    return "<br>".join(escaped(line) for line in textwrap.wrap(short(name, 4 * width), width) or [""])


def escaped(name: str) -> str:
    """A name for Plotly labels, which read a small dialect of HTML: shown literally, never interpreted."""
    return html.escape(printable(name), quote=True)
