"""Writes output files whole or not at all, and never over a file that the command reads."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pct_mlops.config.texts import at_once
from pct_mlops.errors import ConfigError, OutputError, PctError


class Staged:
    """Texts that wait in temporary files until all of them are moved into place."""

    def __init__(self) -> None:
        # Pairs: the temporary file (for a pipe or device, the text itself) and the path that it is meant for.
        self._waiting: list[tuple[Path | str, Path]] = []

    def add(self, path: Path, text: str) -> None:
        """Write `text` to a temporary file beside `path`. Raise OutputError when that fails.

        A text for a pipe or device is kept in memory instead.
        """
        if is_special(path):
            self._waiting.append((text, path))
            return
        # Replace the file behind a link, so that the link stays.
        target = Path(os.path.realpath(path))
        aside = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
        with _said(path):
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(aside, text)
        self._waiting.append((aside, target))

    def commit(self) -> None:
        """Move every text into its place. Go on after a failure, then raise the first OutputError."""
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
        """Drop all waiting texts and delete their temporary files."""
        waiting, self._waiting = self._waiting, []
        for content, _ in waiting:
            if isinstance(content, Path):
                content.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write one file, whole or not at all. Raise OutputError when its place cannot be written."""
    staged = Staged()
    try:
        staged.add(path, text)
        staged.commit()
    finally:
        staged.discard()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write one report as JSON. Raise OutputError when its place cannot be written."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def keep_off(outputs: Sequence[Path | None], inputs: Sequence[str | Path | None]) -> None:
    """Raise ConfigError when outputs collide with each other or with files that are read.

    Args:
        outputs: Paths to be written. None stands for no file. No two may be the same file, or both standard output.
        inputs: Files that the command reads. None of them may be an output.
    """
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
    """Remove the file that an earlier run left in the place of an output. Raise OutputError when that fails."""
    if not is_special(path):
        with _said(path):
            Path(os.path.realpath(path)).unlink(missing_ok=True)


def is_stdout(path: Path) -> bool:
    """Tell whether the path is this process's standard output, which another program may read."""
    return str(path) in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_special(path: Path) -> bool:
    """Tell whether the path is a pipe or device, such as /dev/stdout.

    These are written to and never replaced, whatever they lead to.
    """
    named = str(path.absolute()).startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/"))
    return named or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path))


def _write(aside: Path, text: str) -> None:
    """Write the text and sync it to the disk. Delete the file when it could not be written whole."""
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
        # One of them does not exist yet.
        return False


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}): choose another place.") from error


@contextmanager
def writing_into(folder: Path, otherwise: str) -> Iterator[None]:
    """Raise OutputError where the block cannot write, for example because the disk is full.

    `otherwise` says what to do instead of making room.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror or error}): make room there, or {otherwise}."
        ) from error


def replace_folder(aside: Path, place: Path) -> None:
    """Put the folder `aside` into `place`.

    No system renames a folder onto another one, so a kill may come when there is none. `recover_folder` brings the old
    one back then.
    """
    former = _former(place)
    if place.exists():
        shutil.rmtree(former, ignore_errors=True)
        place.rename(former)
    aside.rename(place)
    shutil.rmtree(former, ignore_errors=True)


def recover_folder(place: Path) -> None:
    """Bring back the folder that a kill in `replace_folder` left beside `place`, and remove one that is not needed."""
    former = _former(place)
    if former.is_dir() and not place.exists():
        former.rename(place)
    shutil.rmtree(former, ignore_errors=True)


def _former(place: Path) -> Path:
    return place.with_name(f".{place.name}.former")
