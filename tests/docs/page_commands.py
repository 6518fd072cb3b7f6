"""Runs a page of the documentation from its first block to its last, as a reader does who types all of it.

`python` blocks are executed. Of `bash` and `sh` blocks each command is run by the command line's own main, in this
process. A command must end with exit code 0, or with the one that its comment states: `# exit code 2`. A `text` block
shows what the commands of the block before it printed: all of it, except where the block has `...`.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from doc_pages import blocks, written

from pct_mlops.cli import main

PAGES = ("tutorials/predictions.md", "how-to/own-models.md", "how-to/registry-problems.md", "how-to/ci.md")
FRAGMENT = "fragment"  # title of a Python block that is not whole
CODE = re.compile(r"\s#.*\bexit code (\d)\b")
INLINE = re.compile(r"`(pct (?:[a-z-]+) [^`]*)`")


@dataclass
class Reader:
    """Somebody who follows a page in the current folder.

    Attributes:
        before: command -> what happens before it that is not on the page, for example another person's work.
        stands_for: text of the page -> what takes its place here, for example the address of a server.
        instead: command -> what is done in its place, for commands that do not end or need what a test cannot have.
    """

    page: str
    setenv: Callable[[str, str], None]
    read_output: Callable[[], str]
    before: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    stands_for: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, Callable[[list[str]], None]] = field(default_factory=dict)

    def follow(self) -> None:
        """Run every block of the page in order."""
        module = types.ModuleType("page")
        sys.modules["page"] = module  # dataclasses look for the module that they are of
        printed = ""
        try:
            for block in blocks(self.page, written()[self.page], "python", "bash", "sh", "text"):
                if block.kind == "text":
                    assert is_shown(block.text, printed), f"{block.place} shows something else than\n{printed}"
                elif block.title == FRAGMENT:
                    ast.parse(block.text)
                elif block.kind == "python":
                    text = "\n" * block.line + self._here(block.text)
                    exec(compile(text, self.page, "exec", dont_inherit=True), vars(module))
                else:
                    printed = "".join(self._run(block.place, line) for line in lines(block.text))
        finally:
            del sys.modules["page"]

    def _here(self, text: str) -> str:
        for shown, used in self.stands_for.items():
            text = text.replace(shown, used)
        return text

    def _as_shown(self, text: str) -> str:
        for shown, used in self.stands_for.items():
            text = text.replace(used, shown)
        return text

    def _run(self, place: str, line: str) -> str:
        """Run one line of a shell block, and return what it printed."""
        words = shlex.split(line, comments=True)
        if not words:
            return ""
        command = shlex.join(words)
        self.before.get(command, lambda: None)()
        words = [self._here(word) for word in words]
        if words[0] == "export":
            self.setenv(*words[1].split("=", 1))
            return ""
        if command in self.instead:
            self.instead[command](words)
            return ""
        assert words[0] == "pct", f"{place}: only pct and export run here, not {command}"
        self.read_output()
        stated = CODE.search(line)
        code = main(words[1:])
        printed = self._as_shown(self.read_output())
        assert code == int(stated[1] if stated else 0), f"{place}: {command} ended with exit code {code}\n{printed}"
        return printed


def lines(text: str) -> list[str]:
    """Return the lines of a shell block, with continued ones as one."""
    return text.replace("\\\n", " ").splitlines()


def is_shown(shown: str, printed: str) -> bool:
    """Tell whether a text is what was printed, apart from spaces and ends of lines. `...` stands for anything."""
    pattern = ".*".join(re.escape(_one_space(part)) for part in shown.split("..."))
    return re.fullmatch(pattern, _one_space(printed), re.DOTALL) is not None


def _one_space(text: str) -> str:
    return " ".join(text.split())


def inline_commands(page: str) -> list[str]:
    """Whole commands in a page's prose: they name a verb and something beyond it."""
    return INLINE.findall(written()[page])
