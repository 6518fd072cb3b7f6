"""Several processes as one: start them, and let all of them know what the main one knows."""

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
# How long a process waits for the others to meet the error that it met, and for the main one to close its runs.
SPINS = "10000"  # some 30 microseconds; libgomp's own are 300,000
AGREEMENT, GOODBYE = timedelta(seconds=60), timedelta(seconds=10)


def inside_launcher() -> bool:
    """Whether torchrun or accelerate launch started this process."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def is_main_process() -> bool:
    """Whether this is the process that speaks, before any accelerator exists."""
    return os.environ.get("RANK", "0") == "0"


def main_process_logger(name: str) -> logging.Logger:
    """Get the logger of this name, through which the main process alone speaks: all of them would say the same."""
    logger = logging.getLogger(name)
    logger.addFilter(_is_of_main_process)
    return logger


def _is_of_main_process(record: logging.LogRecord) -> bool:
    return is_main_process()


def wait_briefly() -> None:
    """Let torch's threads wait for each other without keeping their processors busy for long; call it before torch.

    Two trainings on the same processors otherwise take them from each other: each had a thirteenth of the speed that
    one has alone, and has a quarter now, for about a tenth of the speed of one alone (bench/train_together.py, a very
    small network). libgomp reads it when torch is imported, and child processes inherit it; a wish of one's own stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def relaunch(arguments: Sequence[str], num_processes: int) -> int:
    """Run `pct ARGUMENTS` as `num_processes` processes of this machine under torchrun; returns the exit code.

    Several machines: start torchrun on each of them (docs/how-to/many-gpus.md).
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
    """Do `work` on the main process and give its result to all; its PctError is raised on all of them alike."""
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
    """Do `work`, which joins no other process, on each of them; a PctError of any is raised on all of them alike."""
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
    """Whether all processes met this error at the same place, so that all can go on together.

    One that did not meet it may wait for this one for ever. It is asked by way of the launcher's store, which it need
    not join: who hears nothing for a minute, or has no such store, takes it that it is alone.
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
    """Say why this process ends, once for all that end for the same reason; returns when it may end.

    The launcher ends all processes as soon as one is gone. So nobody goes before what there is to say is said, and the
    main process gets some time to close its runs. What was not expected is said only where nothing was said before:
    the connection to a process that ended breaks. Without the launcher's store everyone says its own: a sentence that
    comes twice is better than one that is lost.
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
        pass  # the store went with another machine
    if not said:
        say(text)


def leave_group() -> None:
    """Part from the other processes when all is done."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _heard(store: Store, key: str, limit: timedelta) -> bool:
    """Whether somebody set this key, within so long. Asked again and again: a wait that fails is logged on stderr."""
    end = time.monotonic() + limit.total_seconds()
    while not store.check([key]):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _key(text: str) -> str:
    """A name in the launcher's store; processes that it starts again have names of their own."""
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return f"pct/{again}/{hashlib.sha256(text.encode()).hexdigest()}"


def _launcher_store() -> Store | None:
    """The store that torchrun keeps for its processes as long as one of them lives; None elsewhere."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from torch.distributed import TCPStore

    with suppress(RuntimeError, KeyError, ValueError):
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=GOODBYE)
    return None
