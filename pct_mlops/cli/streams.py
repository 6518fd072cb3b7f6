"""Standard output of a process whose exit code is its answer: what becomes of the printed lines does not change it."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from pct_mlops.errors import OutputError


class _Output(io.FileIO):
    """Drops what nobody reads any more (`pct gate ... | head -1`); PctError for what cannot be written."""

    def write(self, data: Any) -> int:
        """As many bytes as there were."""
        try:
            return super().write(data)
        except OSError as error:
            # Or what is left in buffers would be met again, at the latest when the process ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if isinstance(error, BrokenPipeError):
                return len(data)
            raise OutputError(f"The answer cannot be printed ({error.strerror}): send it to another place.") from error


def output(descriptor: int, encoding: str, *, lines: bool) -> io.TextIOWrapper:
    """A text stream; `lines`: written at each line's end. What its encoding does not know is shown as '?'."""
    buffer = io.BufferedWriter(_Output(descriptor, "w", closefd=False))
    return io.TextIOWrapper(buffer, encoding=encoding, errors="replace", line_buffering=lines)


def open_streams() -> None:
    """Make standard output such a stream; call it once, first of all."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Closed by the caller (`>&-`): the next file that is opened would be taken for it.
            os.open(os.devnull, os.O_RDWR)
    known = sys.__stdout__
    if sys.stdout is known:
        encoding, lines = (known.encoding, known.line_buffering) if known else ("utf-8", False)
        sys.stdout = output(1, encoding, lines=lines)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives


class _Lines(logging.Handler):
    """Prints what the library logs as plain lines: on standard output, and warnings on standard error."""

    err = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line; what a bar shows is not printed as well. A full disk is an error here, as anywhere."""
        if not getattr(record, "is_beside_bar", False):
            click.echo(record.getMessage(), err=self.err or record.levelno >= logging.WARNING)


_lines = _Lines(logging.INFO)


@contextmanager
def library_lines() -> Iterator[None]:
    """Within, what the library logs from INFO on is printed; call it on the main process only."""
    logger = logging.getLogger("pct_mlops")
    level, propagate, _lines.err = logger.level, logger.propagate, False
    logger.addHandler(_lines)
    logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
    # Another library may have set up the root logger: each line would come twice.
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(_lines)
        logger.setLevel(level)
        logger.propagate = propagate


def keep_stdout_free() -> None:
    """Print the library's lines on standard error: a program reads what is on standard output."""
    _lines.err = True


def show(renderable: object, *, err: bool = False) -> None:
    """Print text or something of rich's, as wide as the terminal; `err`: to standard error."""
    from rich.console import Console

    Console(stderr=err).print(renderable)
