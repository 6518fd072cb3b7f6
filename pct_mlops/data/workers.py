"""Checks the shared memory that worker processes need for their batches, and says what stopped one of them.

A worker hands its batches over in files of /dev/shm. Python drops a batch for which there is no room there, and torch
waits for it for ever.
"""

from __future__ import annotations

import copy
import math
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.queues import Queue
from typing import Any, NamedTuple

from pct_mlops.errors import ConfigError, DataError, PctError, reason_of

SHARED_MEMORY = "/dev/shm"
PREFETCH = 2  # batches that each worker prepares ahead: torch's own default
PATIENCE = 2.0  # seconds
MB = 1_000_000
_TOO_MANY_FILES = re.compile("Too many open files|items of ancdata")
_READING = "A worker process that reads examples"


class Load(NamedTuple):
    """Batches that wait in shared memory: how many examples each has, of which (C, H, W), and how many there are."""

    batch_size: int
    shape: tuple[int, int, int]
    num_batches: int

    def num_bytes(self, num_workers: int) -> int:
        """Return the bytes of all batches that are ahead, and of the one in use. Images are uint8."""
        return self.batch_size * math.prod(self.shape) * min(self.num_batches, PREFETCH * num_workers + 1)


def check_shared_memory(load: Load, num_workers: int, processes: int = 1) -> None:
    """Raise ConfigError unless /dev/shm has room for what `processes` loaders of `num_workers` workers hold in it.

    Systems without /dev/shm pass.
    """
    free = _free_bytes()
    needed = load.num_bytes(num_workers) * processes
    if free is None or needed <= free or not num_workers:
        return
    fitting = next((n for n in range(num_workers - 1, 0, -1) if load.num_bytes(n) * processes <= free), 0)
    each = f" in each of {processes} processes" if processes > 1 else ""
    ahead = min(load.num_batches, PREFETCH * num_workers + 1)
    raise ConfigError(
        f"Batches of {load.batch_size} images ({_mb(load.batch_size * math.prod(load.shape))}) need {_mb(needed)} of "
        f"shared memory, because {num_workers} worker processes keep {ahead} of them there{each}, and {SHARED_MEMORY} "
        f"has {_mb(free)} free: start the container with --shm-size={math.ceil(1.25 * needed / MB)}m, or set "
        f"data.num_workers={fitting}."
    )


def _free_bytes() -> int | None:
    """Return the free bytes of /dev/shm, None where workers do not use it."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / MB:,.0f} MB" if num_bytes >= 10 * MB else f"{num_bytes / MB:.1f} MB"


class _TellingQueue(Queue):
    """Queue between this process and its workers that sends an error in the place of an item that it cannot send."""

    def _on_queue_feeder_error(self, error: Exception, item: Any) -> None:
        # Otherwise the error is printed, the item is dropped, and its reader waits for it for ever.
        if isinstance(item, tuple) and not isinstance(item[1], PctError):
            self.put((item[0], unsent(error)))


def worker_context(num_workers: int) -> BaseContext | None:
    """Return what a DataLoader starts its workers with, None where it has none."""
    if not num_workers:
        return None
    base = multiprocessing.get_context(multiprocessing.get_start_method())
    context = copy.copy(base)
    context.Queue = partial(_TellingQueue, ctx=base)  # type: ignore[method-assign]
    return context


def unsent(error: Exception) -> DataError:
    """Return the error for a batch that could not be handed over."""
    if "shared memory" in str(error):
        return DataError(_no_room())
    if _TOO_MANY_FILES.search(str(error)):
        return DataError(_too_many_files())
    return failed_in_worker(error)


def failed_in_worker(error: Exception) -> DataError:
    """Return the error for an exception that nobody expected in a worker. Its traceback stays there."""
    return DataError(
        f"{_READING} failed ({type(error).__name__}: {reason_of(error)}): run again with data.num_workers=0 and "
        "--debug to see where."
    )


@contextmanager
def workers_started() -> Iterator[None]:
    """Let torch start its workers, and undo its handler of SIGCHLD. Raise DataError where they cannot be started.

    torch's handler of SIGCHLD raises in the middle of anything: a checkpoint, a request, the handling of the first
    death. Without it, torch finds a dead worker within 5 seconds, when it waits for a batch.
    """
    before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    try:
        yield
    except OSError as error:
        raise DataError(
            f"Worker processes cannot be started ({reason_of(error)}): free some memory, or lower data.num_workers."
        ) from error
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)


@contextmanager
def plain_worker_errors(batches: Any) -> Iterator[None]:
    """Turn what torch raises about the workers of `batches`, an iterator of a DataLoader, into a DataError."""
    try:
        yield
    except Exception as error:
        workers = getattr(batches, "_workers", ())
        if not workers or isinstance(error, PctError):
            raise
        if _TOO_MANY_FILES.search(str(error)):
            raise DataError(_too_many_files()) from error
        # A broken connection comes before the news of the death.
        wait([worker.sentinel for worker in workers], timeout=PATIENCE)
        code = next((worker.exitcode for worker in workers if worker.exitcode), None)
        if code is None:
            raise
        raise DataError(_ended(code)) from error


def _ended(code: int) -> str:
    """Return the sentence for a worker that ended by itself with this exit code, or by the signal -code."""
    if code == -getattr(signal, "SIGBUS", 7):
        return _no_room()
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"{_READING} was ended by {name}: check that there is enough memory, or lower data.num_workers."
    return f"{_READING} ended with exit code {code}: run again with data.num_workers=0 to see why."


def _no_room() -> str:
    free = _free_bytes()
    figure = "" if free is None else f", {_mb(free)} free"
    return (
        f"Shared memory ({SHARED_MEMORY}{figure}) has no room for the images of a worker process: start the container "
        "with a larger --shm-size, or lower data.num_workers."
    )


def _too_many_files() -> str:
    return (
        "Too many files are open, so worker processes cannot hand over their images: raise the limit with "
        "'ulimit -n 65536', or lower data.num_workers."
    )
