"""Shows the progress of many trainings: one log line for each, and on a terminal a bar with the time that remains."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from pct_mlops.workflows.runtime.distributed import main_process_logger

logger = main_process_logger(__name__)
# Logger of the single trainings. Their lines are many, so they are shown beside the bar.
OF_TRAININGS = "pct_mlops.workflows.training"


def duration(seconds: float) -> str:
    """Format seconds as people say them: 45 s, 12 min, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


class TimeLimit:
    """Time that a piece of a study may take. Without `minutes` it is never up."""

    def __init__(self, minutes: float | None = None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes
        self._longest = 0.0
        self._trained = False

    def is_up(self) -> bool:
        """Tell whether another training, as long as the longest so far, would end too late. The first one may begin."""
        return self._end is not None and self._trained and time.monotonic() + self._longest > self._end

    @contextmanager
    def training(self) -> Iterator[None]:
        """Measure a training."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._trained = True
            self._longest = max(self._longest, time.monotonic() - start)


class Pace:
    """Progress of a series of `total` trainings."""

    def __init__(self, total: int, bar: Progress | None = None) -> None:
        self._total, self._bar = total, bar
        self._task = bar.add_task("", total=total, left="") if bar else None
        self._done = self._trained = 0
        self._seconds = 0.0
        self._title, self._start = "", time.monotonic()

    def begin(self, title: str) -> None:
        """Start the next training."""
        self._title, self._start = title, time.monotonic()
        self._show(description=title)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Show beside the bar what the training logs within, and mark it so that no handler prints it as well."""
        beside = _Beside(self)
        log = logging.getLogger(OF_TRAININGS)
        log.addHandler(beside)
        try:
            yield
        finally:
            log.removeHandler(beside)

    def note(self, text: str) -> None:
        """Show a line of the training beside the bar."""
        self._show(description=f"{self._title}: {text}")

    def end(self, result: str, *, trained: bool, goes_on: bool = True) -> None:
        """Finish the training and log its result.

        One that was complete before (not `trained`) does not count in the estimate of the time that remains. Without
        `goes_on` there is no estimate.
        """
        took = time.monotonic() - self._start
        self._done += 1
        if trained:
            self._trained, self._seconds = self._trained + 1, self._seconds + took
        left = self._left() if goes_on else ""
        took_text = f", {duration(took)}" if trained else ""
        logger.info(f"{self._done}/{self._total} {self._title}: {result}{took_text}{left and f' ({left})'}")
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


class _Beside(logging.Handler):
    """Handler that gets a record before those of the loggers above, and marks it for them."""

    def __init__(self, steps: Pace) -> None:
        super().__init__()
        self._steps = steps

    def emit(self, record: logging.LogRecord) -> None:
        """Mark the record, and show its line where there is a bar."""
        record.is_beside_bar = True
        self._steps.note(record.getMessage())


@contextmanager
def pace(total: int, *, visible: bool) -> Iterator[Pace]:
    """Open a Pace, with a bar where `visible` and stderr is a terminal."""
    if not (visible and Console(stderr=True).is_terminal):
        yield Pace(total)
        return
    # The training's own text is cut at the end of the line. The progress of the whole never is.
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
        yield Pace(total, bar)


@contextmanager
def _one_bar() -> Iterator[None]:
    """Keep the bars of the epochs away, because two bars would overwrite each other.

    They are told that there is no terminal.
    """
    before = os.environ.get("TTY_COMPATIBLE")
    os.environ["TTY_COMPATIBLE"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TTY_COMPATIBLE"]
        else:
            os.environ["TTY_COMPATIBLE"] = before
