"""Several processes as one: start them, and let all of them know what the main one knows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from pct_mlops.config import PctError

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


def inside_launcher() -> bool:
    """Whether torchrun or accelerate launch started this process."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def is_main_process() -> bool:
    """Whether this is the process that speaks, before any accelerator exists."""
    return os.environ.get("RANK", "0") == "0"


def relaunch(arguments: Sequence[str], num_processes: int) -> int:
    """Run `pct ARGUMENTS` as `num_processes` processes of this machine under torchrun; returns the exit code.

    Several machines: start torchrun on each of them (see README).
    """
    command = [
        sys.executable,
        "-m",
        "pct_mlops.pipeline.torchrun",
        "--standalone",
        "--nproc_per_node",
        str(num_processes),
        "-m",
        "pct_mlops",
        *arguments,
    ]
    # torchrun would otherwise set it to 1, which leaves most cores of a CPU machine idle.
    threads = max(1, (os.cpu_count() or 1) // num_processes)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ, "PCT_NUM_PROCESSES": str(num_processes)}
    return subprocess.run(command, env=environment, check=False).returncode


def on_main(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do `work` on the main process and give its result to all; its PctError is raised on all of them alike."""
    from accelerate.utils import broadcast_object_list

    outcome: list[object] = [None, None]
    if accelerator.is_main_process:
        try:
            outcome = [work(), None]
        except PctError as error:
            outcome = [None, str(error)]
    if accelerator.num_processes > 1:
        broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise PctError(str(outcome[1]))
    return outcome[0]  # type: ignore[return-value]
