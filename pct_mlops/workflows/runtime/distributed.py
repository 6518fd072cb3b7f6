"""Starts several processes that work as one, and tells all of them what the main one knows."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pct_mlops.config.cpus import threads_for
from pct_mlops.errors import PctError, error_of

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch.distributed import Store

T = TypeVar("T")
SPINS = "10000"  # some 30 microseconds; libgomp's own default is 300,000
# How long a process waits for the others to meet the error that it met, and for the main one to close its runs.
AGREEMENT, GOODBYE = timedelta(seconds=60), timedelta(seconds=10)


def inside_launcher() -> bool:
    """Tell whether torchrun or accelerate launch started this process."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def is_main_process() -> bool:
    """Tell whether this is the main process, which alone prints. It works before any accelerator exists."""
    return os.environ.get("RANK", "0") == "0"


def main_process_logger(name: str) -> logging.Logger:
    """Get the logger of this name, silent on all processes but the main one, so that no line is repeated."""
    logger = logging.getLogger(name)
    logger.addFilter(_is_of_main_process)
    return logger


def _is_of_main_process(record: logging.LogRecord) -> bool:
    return is_main_process()


def wait_briefly() -> None:
    """Let torch's threads wait for each other without keeping their processors busy for long.

    Call it before torch is imported, because libgomp reads the setting then. Child processes inherit it. A setting of
    the user's own is kept.

    Two trainings on the same processors otherwise take them from each other: each runs at a thirteenth of the speed of
    one alone. With the setting each runs at a quarter, and one alone loses about a tenth of its speed. The numbers are
    from bench/train_together.py, with a very small network.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def relaunch(arguments: Sequence[str], num_processes: int) -> int:
    """Run `pct ARGUMENTS` as `num_processes` processes of this machine under torchrun, and return the exit code.

    To use several machines, start torchrun on each of them (docs/how-to/many-gpus.md).
    """
    command = [
        sys.executable,
        str(Path(__file__).with_name("torchrun.py")),
        "--standalone",
        "--nproc_per_node",
        str(num_processes),
        str(Path(__file__).resolve().parents[2] / "__main__.py"),
        *arguments,
    ]
    # torchrun would otherwise set it to 1, which leaves most cores of a CPU machine idle.
    threads = str(threads_for(num_processes))
    environment = {"OMP_NUM_THREADS": threads, **os.environ, "PCT_NUM_PROCESSES": str(num_processes)}
    return subprocess.run(command, env=environment, check=False).returncode


def on_main(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do `work` on the main process and return its result on all. Its PctError is raised on all of them alike."""
    from accelerate.utils import broadcast_object_list

    outcome: list[T | None] = [None]
    problem: list[tuple[str, str] | None] = [None]
    cause = None
    if accelerator.is_main_process:
        try:
            outcome = [work()]
        except PctError as error:
            problem, cause = [(error.code, str(error))], error
    if accelerator.num_processes > 1:
        outcome, problem = broadcast_object_list([outcome, problem])
    if problem[0] is not None:
        raise error_of(*problem[0]) from cause
    return outcome[0]  # type: ignore[return-value]


def on_all(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do `work` on each process and return its own result. A PctError of any is raised on all of them alike.

    `work` must not communicate with other processes.
    """
    from accelerate.utils import gather_object

    if accelerator.num_processes == 1:
        return work()
    outcome: list[T] = []
    problem = None
    try:
        outcome.append(work())
    except PctError as error:
        problem = error.code, str(error)
    first = next((found for found in gather_object([problem]) if found is not None), None)
    if first is not None:
        raise error_of(*first)
    return outcome[0]


def met_by_all(error: PctError, accelerator: Accelerator, where: str) -> bool:
    """Tell whether all processes met this error at the same place, so that all can go on together.

    A process that did not meet it may wait for this one for ever. Therefore they are asked through the launcher's
    store, which needs no process to join in. The result is False where there is no such store, or when not all have
    reported the error within a minute.
    """
    if accelerator.num_processes == 1:
        return True
    store = _launcher_store()
    if store is None:
        return False
    key = _key(f"{where}: {error}")
    with suppress(RuntimeError):
        if store.add(key, 1) == accelerator.num_processes:
            store.set(f"{key}/all", "")
        return _heard(store, f"{key}/all", AGREEMENT)
    return False


def say_once(text: str, say: Callable[[str], None], *, expected: bool = True) -> None:
    """Say why this process ends, once for all that end for the same reason. Return when it may end.

    The launcher ends all processes as soon as one is gone. So every process waits until the reason is said, and until
    the main process had some time to close its runs.

    An error that was not expected is said only where nothing was said before: it may only be the broken connection to a
    process that ended. Without the launcher's store every process says its own reason, because a repeated sentence is
    better than a lost one.
    """
    store, said = _launcher_store(), False
    if store is None:
        say(text)
        return
    key, end, any_key = _key(text), _key("the main process ends"), _key("something was said")
    try:
        first = store.add(key, 1) == 1 and (store.add(any_key, 1) == 1 or expected)
        if first:
            say(text)
            store.set(f"{key}/said", "")
        said = first or not expected or _heard(store, f"{key}/said", GOODBYE)
        if is_main_process():
            store.set(end, "")
        _heard(store, end, GOODBYE)
    except RuntimeError:
        pass  # the store is gone, with the machine that held it
    if not said:
        say(text)


def leave_group() -> None:
    """Leave torch's process group when all is done."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _heard(store: Store, key: str, limit: timedelta) -> bool:
    """Tell whether somebody sets this key within `limit`.

    The store is polled, because a wait that times out is logged on stderr.
    """
    end = time.monotonic() + limit.total_seconds()
    while not store.check([key]):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _key(text: str) -> str:
    """Return the key of a text in the launcher's store. Processes that the launcher restarts get keys of their own."""
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return f"pct/{again}/{hashlib.sha256(text.encode()).hexdigest()}"


def _launcher_store() -> Store | None:
    """Connect to the store that torchrun keeps while one of its processes lives. Return None elsewhere."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from torch.distributed import TCPStore

    with suppress(RuntimeError, KeyError, ValueError):
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=GOODBYE)
    return None
