"""One line for each of many trainings, and on a terminal a bar with the time that remains. Main process only."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text


def duration(seconds: float) -> str:
    """As people say it: 45 s, 12 min, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


class Pace:
    """How far a series of `total` trainings is. `say` prints a line."""

    def __init__(self, total: int, say: Callable[[str], None], bar: Progress | None = None) -> None:
        self._total, self._say, self._bar = total, say, bar
        self._task = bar.add_task("", total=total, left="") if bar else None
        self._done = self._trained = 0
        self._seconds = 0.0
        self._title, self._start = "", time.monotonic()

    def begin(self, title: str) -> None:
        """The next training starts."""
        self._title, self._start = title, time.monotonic()
        self._show(description=title)

    def note(self, text: str) -> None:
        """What the training itself says, shown beside the bar."""
        self._show(description=f"{self._title}: {text}")

    def end(self, result: str, *, trained: bool) -> None:
        """The training is over; one that was complete before says nothing about the time that others take."""
        took = time.monotonic() - self._start
        self._done += 1
        if trained:
            self._trained, self._seconds = self._trained + 1, self._seconds + took
        left = self._left()
        took_text = f", {duration(took)}" if trained else ""
        self._say(f"{self._done}/{self._total} {self._title}: {result}{took_text}{left and f' ({left})'}")
        self._show(completed=self._done, left=left)

    def _left(self) -> str:
        remaining = self._total - self._done
        if not self._trained or not remaining:
            return ""
        return f"about {duration(remaining * self._seconds / self._trained)} left"

    def _show(self, **fields: Any) -> None:
        if self._bar is not None and self._task is not None:
            if "description" in fields:
                # Titles are text, not markup.
                fields["description"] = Text(str(fields["description"])).markup
            self._bar.update(self._task, **fields)


@contextmanager
def pace(total: int, say: Callable[[str], None], *, visible: bool) -> Iterator[Pace]:
    """A Pace, with a bar where stderr is a terminal and `visible`."""
    if not (visible and Console(stderr=True).is_terminal):
        yield Pace(total, say)
        return
    # What a training says is cut where the line ends; how far the whole is, never.
    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    columns = (
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}", table_column=rest),
    )
    console = Console(stderr=True, force_terminal=True)
    bar = Progress(*columns, console=console, transient=True, expand=True, redirect_stdout=sys.stdout.isatty())
    with bar, _one_bar():
        yield Pace(total, say, bar)


@contextmanager
def _one_bar() -> Iterator[None]:
    """Two bars would overwrite each other: those of the epochs are told that there is no terminal."""
    before = os.environ.get("TTY_COMPATIBLE")
    os.environ["TTY_COMPATIBLE"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TTY_COMPATIBLE"]
        else:
            os.environ["TTY_COMPATIBLE"] = before
