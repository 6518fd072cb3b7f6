"""Numbers and names as people read them: one precision everywhere, and names that cannot act as markup."""

from __future__ import annotations

import html
import re

UNDEFINED = "undefined"
_NUMBERED = re.compile(r" #\d{1,6}$")
_NBSP = "\u00a0"


def percent(rate: float | None) -> str:
    """A fraction as percent with two decimals; None is 'undefined', never 0."""
    return UNDEFINED if rate is None else f"{100 * rate:.2f}{_NBSP}%"


def points(change: float | None) -> str:
    """A signed difference of two fractions in percentage points, two decimals."""
    return UNDEFINED if change is None else f"{100 * change:+.2f}{_NBSP}points".replace("-", "\u2212")


def number(value: float | None) -> str:
    """A number that is no share, with four significant digits."""
    return UNDEFINED if value is None else f"{value:.4g}".replace("-", "\u2212")


def interval(lower: float | None, upper: float | None) -> str:
    """Two fractions as 'a to b' in percent; an unknown end is 'undefined'."""
    if lower is None and upper is None:
        return UNDEFINED
    return f"{percent(lower)} to {percent(upper)}".replace("-", "\u2212")


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


def escaped(name: str) -> str:
    """A name for Plotly labels, which read a small dialect of HTML: shown literally, never interpreted."""
    return html.escape(printable(name), quote=True)
