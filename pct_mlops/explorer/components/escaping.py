"""Escapes data for HTML, and shortens texts and ids."""

from __future__ import annotations

import html
import re

from pct_mlops.charts import printable

# Control characters, halves of surrogate pairs, and what turns the direction of the text around it. Marks and joiners
# stay, because emoji and Persian need them.
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_JOINS = re.compile("[\u200d\ufe0e\ufe0f\u0300-\u036f\u20e3\U0001f3fb-\U0001f3ff]")
_NEAR = 30  # characters before the end of an excerpt in which a space is looked for


def html_text(value: str) -> str:
    """Return data as HTML text or attribute that is shown literally, on one line."""
    return html.escape(printable(value), quote=True)


def exact(value: str) -> str:
    """Return data as an HTML attribute for a script. Unlike `html_text`, it keeps every character."""
    return "".join(char if char >= " " else f"&#{ord(char)};" for char in html.escape(value, quote=True))


def html_passage(text: str) -> str:
    """Return a text of any length as HTML that is shown literally, with its line breaks."""
    return html.escape(_HIDDEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n")), quote=True)


def excerpt(text: str, most: int = 240) -> str:
    """Return the beginning of a text on one line. It is cut at a space where one is near, and never inside an emoji."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    end = most
    while end > 1 and (_JOINS.match(line[end]) or line[end - 1] == "\u200d"):
        end -= 1
    space = line.rfind(" ", 0, end + 1)
    return line[: space if space > max(end - _NEAR, 0) else end].rstrip() + "…"


def middle(name: str, width: int) -> str:
    """Return a printable name of at most `width` characters. A longer one has an ellipsis in its middle."""
    name = printable(name)
    tail = (width - 1) // 2
    return name if len(name) <= width else f"{name[: width - 1 - tail]}…{name[-tail:]}"
