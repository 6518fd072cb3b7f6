"""Sets up devices, processes and seeds."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import DistributedType, broadcast, set_seed
from torch import nn

from pct_mlops.config import EngineConfig
from pct_mlops.config.cpus import threads_for
from pct_mlops.engine.layout import to_channels_last
from pct_mlops.errors import ConfigError

NUM_PROCESSES = "PCT_NUM_PROCESSES"  # environment variable: the number of processes that the launcher asked for


def make_accelerator(config: EngineConfig) -> Accelerator:
    """Build the accelerator of this process.

    Raises:
        PctError: fp16 is asked for without a GPU, or another number of processes runs than was asked for.
    """
    if config.mixed_precision == "fp16" and (config.cpu or not torch.cuda.is_available()):
        raise ConfigError("engine.mixed_precision=fp16 needs a GPU: use bf16 or no.")
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        # Without it, the processes of torchrun on a machine without GPU would each train and register on their own.
        # None lets accelerate read its own settings, while False would switch the CPU setting off.
        cpu=config.cpu or not torch.accelerator.is_available() or None,
        # The main process exports and uploads models while the others wait.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=2))],
    )
    wanted = int(os.environ.get(NUM_PROCESSES) or os.environ.get("WORLD_SIZE") or 0)
    # On a CPU, accelerate launch has silently started one process where several were wanted.
    if wanted and wanted != accelerator.num_processes:
        raise ConfigError(
            f"{wanted} processes were asked for and {accelerator.num_processes} run: "
            f"start with torchrun --nproc_per_node {wanted} -m pct_mlops train."
        )
    limit_threads()
    return accelerator


def limit_threads() -> None:
    """Let torch use no more threads than this process has processors, unless OMP_NUM_THREADS is set.

    By itself, torch counts the processors of the machine. In a container with a quota, or beside other processes of the
    same training, its threads would wait for each other most of the time.
    """
    if not os.environ.get("OMP_NUM_THREADS"):
        num_processes = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
        torch.set_num_threads(min(torch.get_num_threads(), threads_for(num_processes)))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, from which initial weights and dropout follow. Loaders have their own seeds."""
    set_seed(seed)


def sync_batchnorm(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Return the model with BatchNorm over all processes. torch has that for GPUs only: elsewhere nothing changes."""
    if accelerator.distributed_type != DistributedType.MULTI_GPU:
        return model
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def share_buffers(model: nn.Module, accelerator: Accelerator) -> None:
    """Give every process the main one's BatchNorm statistics. Those are saved, so those must be evaluated."""
    if accelerator.num_processes > 1:
        for buffer in model.buffers():
            broadcast(buffer)


def to_device(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Move the model to this process's device, in the layout in which it runs, and return it."""
    return to_channels_last(model.to(accelerator.device))
