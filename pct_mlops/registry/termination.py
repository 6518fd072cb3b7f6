"""Closes open runs when SIGTERM ends the process, as launchers and schedulers do.

A thread does it. The main thread may wait inside a library for a process that is gone, where Python calls no handler of
a signal. But the interpreter writes each signal's number to a descriptor as soon as it arrives.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pct_mlops.registry.connection import bounded_requests

if TYPE_CHECKING:
    from pct_mlops.registry.connection import MlflowClient

LIMIT = 8.0  # seconds for each run; torchrun kills after 30
_open: dict[str, MlflowClient] = {}  # by run id
_writers: list[int] = []  # the descriptor, while there is one


def opened(run_id: str, client: MlflowClient) -> None:
    """Note that this run is open, so that it is closed when the process is ended."""
    _open[run_id] = client


def closed(run_id: str) -> None:
    """Note that this run is closed."""
    _open.pop(run_id, None)


@contextmanager
def runs_closed_on_sigterm() -> Iterator[None]:
    """Make SIGTERM mark the open runs KILLED before it ends the process with code 143, for the time of a `with` block.

    Nothing changes in a program that has a handler of its own, or that calls this outside its main thread.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _writers.append(writer)
    threading.Thread(target=_watch, args=(reader,), name="pct-sigterm", daemon=True).start()
    # The interpreter hears of a signal only where Python has a handler for it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(before)
        _writers.remove(writer)
        os.close(writer)


def _watch(reader: int) -> None:
    with open(reader, "rb", buffering=0) as pipe:
        while number := pipe.read(1):
            if number[0] == signal.SIGTERM:
                _close_all()
                os._exit(128 + signal.SIGTERM)


def _close_all() -> None:
    with bounded_requests(LIMIT):
        for run_id, client in list(_open.items()):
            # A registry that is gone too must not keep the process alive.
            with suppress(Exception):
                # A run that has just ended keeps its status.
                if client.get_run(run_id).info.status == "RUNNING":
                    client.set_terminated(run_id, "KILLED")


def _in_child() -> None:
    """Forget the descriptor in a forked process, whose own SIGTERM would otherwise be seen by its parent."""
    for writer in _writers:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.close(writer)
    _writers.clear()
    _open.clear()


os.register_at_fork(after_in_child=_in_child)
