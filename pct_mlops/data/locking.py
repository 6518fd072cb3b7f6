"""One process at a time, among all programs of a machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def one_process_at_a_time(folder: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """The processes of one machine that work on `folder` do it one after the other; the later ones find the files.

    `on_wait` is called when another one is there first. A process that ends, however it ends, lets the next one in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # a system without file locks
        yield
        return
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
