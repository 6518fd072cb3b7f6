"""Files that a command writes: whole or not at all, and never over what it reads."""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pct_mlops.config.texts import at_once
from pct_mlops.errors import ConfigError, OutputError, PctError


class Staged:
    """Texts that wait beside their places until all of them are put there."""

    def __init__(self) -> None:
        # (where it waits, or the text itself for a pipe or device; its place)
        self._waiting: list[tuple[Path | str, Path]] = []

    def add(self, path: Path, text: str) -> None:
        """Write `text` aside, on the disk of its place; PctError when that cannot be written."""
        if is_special(path):
            self._waiting.append((text, path))
            return
        # A link stays a link.
        target = Path(os.path.realpath(path))
        aside = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
        with _said(path):
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(aside, text)
        self._waiting.append((aside, target))

    def commit(self) -> None:
        """Put each in its place, all that can be; PctError names the first that could not."""
        waiting, self._waiting = self._waiting, []
        problems = []
        for content, path in waiting:
            try:
                with _said(path):
                    _put(content, path)
            except PctError as error:
                problems.append(error)
                if isinstance(content, Path):
                    content.unlink(missing_ok=True)
        if problems:
            raise problems[0]

    def discard(self) -> None:
        """Forget all of them."""
        waiting, self._waiting = self._waiting, []
        for content, _ in waiting:
            if isinstance(content, Path):
                content.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """One file; PctError when its place cannot be written."""
    staged = Staged()
    try:
        staged.add(path, text)
        staged.commit()
    finally:
        staged.discard()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """One report; PctError when its place cannot be written."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def keep_off(outputs: Sequence[Path | None], inputs: Sequence[str | Path | None]) -> None:
    """PctError when two outputs are one file, or one is among `inputs`, which are read; None is no file."""
    if sum(is_stdout(path) for path in outputs if path is not None) > 1:
        raise ConfigError("Two outputs would be mixed on standard output: write one of them to a file.")
    places: set[str] = set()
    for path in (path for path in outputs if path is not None and not is_special(path)):
        place = os.path.realpath(path)
        if place in places:
            raise ConfigError(f"Two outputs are the same file, {path}: give each its own.")
        places.add(place)
        if any(_is_same(path, name) for name in inputs if name):
            raise ConfigError(f"{path} is read and would be written over: choose another place for the output.")


def remove(path: Path) -> None:
    """Remove a file that an earlier run left in the place of an output; PctError when it cannot be."""
    if not is_special(path):
        with _said(path):
            Path(os.path.realpath(path)).unlink(missing_ok=True)


def is_stdout(path: Path) -> bool:
    """Whether the path is this process's standard output, which a program reads."""
    return str(path) in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_special(path: Path) -> bool:
    """Pipes and devices, such as /dev/stdout, are written to and never replaced, whatever they lead to."""
    named = str(path.absolute()).startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/"))
    return named or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path))


def _write(aside: Path, text: str) -> None:
    """To the disk; nothing stays of what could not be written whole."""
    try:
        with aside.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _put(content: Path | str, path: Path) -> None:
    if isinstance(content, Path):
        os.replace(content, path)
    else:
        with open(path, "w", encoding="utf-8", opener=at_once) as file:
            file.write(content)


def _is_same(path: Path, other: str | Path) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        # One of them is not there yet.
        return False


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}): choose another place.") from error
