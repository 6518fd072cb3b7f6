"""The documentation as the tests read it: pages of docs/, README, and those that the build generates from the code."""

from __future__ import annotations

import functools
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<kind>\w*)(?P<rest>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A fenced block of code: its page, line, language, title and text."""

    page: str
    line: int
    kind: str
    title: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@functools.cache
def generated() -> dict[str, str]:
    """Path below docs/ -> text of the pages that the build makes."""
    import _generate

    return _generate.pages()


@functools.cache
def written() -> dict[str, str]:
    """Path below docs/ -> text of the pages that people write; README is ../README.md."""
    pages = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")}
    return {**pages, "../README.md": (ROOT / "README.md").read_text(encoding="utf-8")}


def every_page() -> dict[str, str]:
    return {**written(), **generated()}


def blocks(page: str, text: str, *kinds: str) -> list[Block]:
    """The fenced blocks of these languages (none: all), in order."""
    found = []
    for match in _BLOCK.finditer(text):
        if not kinds or match["kind"] in kinds:
            title = re.search(r'title="([^"]*)"', match["rest"])
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match["kind"], title[1] if title else "", match["text"]))
    return found


def without_blocks(text: str) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", text)


def without_code(text: str) -> str:
    """A page's prose: no blocks, nothing between backticks, no addresses of links, no escapes."""
    text = re.sub(r"`+[^`]*`+", "", without_blocks(text))
    return re.sub(r"\]\([^)]*\)", "]", text).replace("\\", "")
