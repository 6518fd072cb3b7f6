"""Text files that people hand over, read with suspicion: never more than they can need, and no waiting for a pipe."""

from __future__ import annotations

import os
from pathlib import Path

from pct_mlops.errors import ConfigError


def read_text(path: Path, *, wanted: str, max_bytes: int) -> str:
    """A file in UTF-8, without a byte order mark; PctError says what is `wanted` in its place."""
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
    """An opener that does not wait: a named pipe is empty that nobody writes into, and an error that nobody reads."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor
