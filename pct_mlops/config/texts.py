"""Reads small text files from users. It refuses files that are too large, and does not wait to open a named pipe."""

from __future__ import annotations

import os
from pathlib import Path

from pct_mlops.errors import ConfigError


def read_text(path: Path, *, wanted: str, max_bytes: int) -> str:
    """Read a file in UTF-8, without its byte order mark.

    Args:
        path: The file.
        wanted: The kind of file that belongs in its place, for the error: "a policy in YAML".
        max_bytes: The largest size that is accepted.

    Raises:
        ConfigError: The file is missing, unreadable, too large or not in UTF-8.
    """
    try:
        with open(path, "rb", opener=at_once) as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise ConfigError(f"There is no file {path}: give the path of {wanted}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be read ({reason}): give the path of {wanted}.") from error
    if len(content) > max_bytes:
        raise ConfigError(f"{path} has more than {max_bytes // 1024:,} KiB, which is too much: give {wanted}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(
            f"{path} cannot be read, it is not a text file in UTF-8: give the path of {wanted}."
        ) from None


def at_once(path: str, flags: int) -> int:
    """Open a file without waiting, as an `opener` for `open`.

    A named pipe that nobody writes into reads as empty. One that nobody reads raises an error instead of blocking.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor
