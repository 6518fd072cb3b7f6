"""Writes docstrings, values and tables as Markdown. No character of a formula becomes emphasis."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence

SECTIONS = ("Args", "Returns", "Raises", "Yields", "Attributes", "Example", "Examples", "Shapes", "Source", "Note")
_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):$")
_ENTRY = re.compile(r"^(\*{0,2}[\w.,` *]{1,60}?):\s+(.*)$", re.DOTALL)
_SPECIAL = re.compile(r"([\\*_{}\[\]<>#|~^])")
_MATHS = re.compile(r"[_^=|(/]")


def escaped(text: str) -> str:
    """Escape a text, so that each character stands for itself. Text between backticks stays code."""
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(part if part.startswith("`") else _SPECIAL.sub(r"\\\1", part) for part in parts)


def code(value: object) -> str:
    """Return a value in code font."""
    text = str(value)
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |" for line in lines)


def fenced(text: str, kind: str = "") -> str:
    """Return a block of code."""
    return f"```{kind}\n{textwrap.dedent(text).strip()}\n```"


def prose(doc: str | None) -> str:
    """Turn a docstring into paragraphs, lists and blocks of code. A formula before a colon is set in code font."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(doc or "").strip())
    found: list[str] = []
    for block in _with_sections_apart(blocks):
        head, _, rest = block.partition("\n")
        if section := _SECTION.match(head):
            found.append(f"**{section[1]}**")
            if rest:
                found.append(_entries(textwrap.dedent(rest)))
        elif head.startswith(("    ", ">>>")):
            found.append(fenced(block, "python" if ">>>" in block or "(" in block else ""))
        else:
            found.append(_paragraph(block))
    return "\n\n".join(found)


def first_line(doc: str | None) -> str:
    """Return the first line of a docstring, escaped."""
    return escaped(inspect.cleandoc(doc or "").split("\n", 1)[0])


def _with_sections_apart(blocks: Iterable[str]) -> list[str]:
    """Return the blocks, with a section that follows another without an empty line as a block of its own."""
    found: list[list[str]] = []
    for block in blocks:
        found.append([])
        for line in block.split("\n"):
            if _SECTION.match(line) and found[-1]:
                found.append([])
            found[-1].append(line)
    return ["\n".join(lines) for lines in found if lines]


def _entries(text: str) -> str:
    if ">>>" in text:
        return fenced(text, "python")
    items: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and items:
            items[-1] += f" {line.strip()}"
        else:
            items.append(line.strip())
    lines = []
    for item in items:
        entry = _ENTRY.match(item)
        lines.append(f"- {code(entry[1])}: {escaped(entry[2])}" if entry else f"- {escaped(item)}")
    return "\n".join(lines)


def _paragraph(block: str) -> str:
    """Return the lines as paragraphs. A line that opens with `name:` starts a new one."""
    parts: list[str] = []
    for line in block.split("\n"):
        if parts and not _opens(line):
            parts[-1] += f" {line.strip()}"
        else:
            parts.append(line.strip())
    return "\n\n".join(_formula_first(part) for part in parts)


def _opens(line: str) -> bool:
    return bool(re.match(r"^[a-z][a-z_]*(, [a-z_]+)*: ", line))


def _formula_first(text: str) -> str:
    head, colon, rest = text.partition(": ")
    if colon and "`" not in head and ". " not in head and len(head) < 120 and (_MATHS.search(head) or _opens(text)):
        return f"{code(head)}: {escaped(rest)}"
    return escaped(text)
