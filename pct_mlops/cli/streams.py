"""Prints to standard output in a way that never changes the exit code of a process.

It also prints what the library logs.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from pct_mlops.errors import OutputError


class _Diagnostics(io.FileIO):
    """A standard error that drops what it cannot write, for example because the disk of a log is full.

    Nobody could be told. But the exit code is the result, and Python's own 1 would say that the gate refused.
    """

    def write(self, data: Any) -> int:
        """Write the data and return the number of bytes. Count them as written if that fails."""
        with suppress(OSError):
            return super().write(data)
        return len(data)


class _Output(io.FileIO):
    """A standard output that ignores a reader that has gone away, as in `pct gate ... | head -1`.

    It raises OutputError for any other failure to write.
    """

    def write(self, data: Any) -> int:
        """Write the data and return the number of bytes. Count them as written if the reader has gone away."""
        try:
            return super().write(data)
        except OSError as error:
            # Send what the buffers still hold nowhere, or it would fail again when the process ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if isinstance(error, BrokenPipeError):
                return len(data)
            raise OutputError(f"The output cannot be printed ({error.strerror}): redirect it elsewhere.") from error


def output(descriptor: int, encoding: str, *, lines: bool) -> io.TextIOWrapper:
    """Open a text stream on a file descriptor.

    Args:
        descriptor: The file descriptor, which stays open.
        encoding: The encoding. A character that it lacks is shown as '?'.
        lines: True to write at the end of each line.
    """
    buffer = io.BufferedWriter(_Output(descriptor, "w", closefd=False))
    return io.TextIOWrapper(buffer, encoding=encoding, errors="replace", line_buffering=lines)


def open_streams() -> None:
    """Replace standard output and standard error by such streams. Call it once, before anything else."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The caller closed it (`>&-`). The next file to be opened would take its number.
            os.open(os.devnull, os.O_RDWR)
    known = sys.__stdout__
    if sys.stdout is known:
        encoding, lines = (known.encoding, known.line_buffering) if known else ("utf-8", False)
        sys.stdout = output(1, encoding, lines=lines)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - stays open until the process ends
    elif sys.stderr is sys.__stderr__:
        raw = io.BufferedWriter(_Diagnostics(2, "w", closefd=False))
        encoding = sys.__stderr__.encoding if sys.__stderr__ else "utf-8"
        sys.stderr = io.TextIOWrapper(raw, encoding, errors="backslashreplace", line_buffering=True)


class _Lines(logging.Handler):
    """A handler that prints what the library logs: on standard output, or on standard error for warnings."""

    err = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, unless a progress bar shows it.

        A full disk is an error here, as anywhere else.
        """
        if not getattr(record, "is_beside_bar", False):
            click.echo(record.getMessage(), err=self.err or record.levelno >= logging.WARNING)


_lines = _Lines(logging.INFO)


@contextmanager
def library_lines() -> Iterator[None]:
    """Print what the library logs from INFO on, for as long as the block runs. Call it only on the main process."""
    logger = logging.getLogger("pct_mlops")
    level, propagate, _lines.err = logger.level, logger.propagate, False
    logger.addHandler(_lines)
    logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
    # If another library has set up the root logger, each line would be printed twice.
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(_lines)
        logger.setLevel(level)
        logger.propagate = propagate


def keep_stdout_free() -> None:
    """Print the library's lines on standard error, because a program reads standard output."""
    _lines.err = True


def show(renderable: object, *, err: bool = False) -> None:
    """Print text or one of rich's objects as wide as the terminal. With `err`, print it on standard error."""
    from rich.console import Console

    Console(stderr=err).print(renderable)
