"""Runs that SIGTERM finds open are closed before the process ends: so launchers and schedulers end a process.

A thread does it. The main one may wait inside a library for a process that is gone, and Python calls no handler of a
signal there; but the interpreter writes each signal's number to a descriptor as soon as it arrives.
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
    """This run is to be closed if the process is ended."""
    _open[run_id] = client


def closed(run_id: str) -> None:
    """This run is closed."""
    _open.pop(run_id, None)


@contextmanager
def runs_closed_on_sigterm() -> Iterator[None]:
    """Within, SIGTERM first marks the open runs KILLED, then ends the process with code 143.

    A program that has handlers of its own, or calls this from another thread than its main one, keeps what it has.
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
    # Without a handler of Python's the interpreter would not hear of it.
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
            # A registry that is gone as well keeps nobody alive.
            with suppress(Exception):
                # One that has just ended, as it went, stays so.
                if client.get_run(run_id).info.status == "RUNNING":
                    client.set_terminated(run_id, "KILLED")


def _in_child() -> None:
    """A process that is forked within would answer its own SIGTERM by ending its parent."""
    for writer in _writers:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.close(writer)
    _writers.clear()
    _open.clear()


os.register_at_fork(after_in_child=_in_child)
