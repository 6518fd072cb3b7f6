"""No process computes with more threads than it has processors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHILD = """
import torch
from pct_mlops.config import EngineConfig
from pct_mlops.engine import make_accelerator

torch.set_num_threads(2)  # as where the machine has two
make_accelerator(EngineConfig(cpu=True))
print(torch.get_num_threads())
"""


def num_threads(**settings: str) -> int:
    keep = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE")}
    environment = {**keep, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **settings}
    command = [sys.executable, "-c", CHILD]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=240)
    return int(done.stdout.splitlines()[-1])


def test_a_quota_limits_the_threads_and_a_wish_of_ones_own_does_not():
    assert num_threads(LOKY_MAX_CPU_COUNT="1") == 1
    assert num_threads(LOCAL_WORLD_SIZE="2", LOKY_MAX_CPU_COUNT="2") == 1
    assert num_threads(LOKY_MAX_CPU_COUNT="1", OMP_NUM_THREADS="2") == 2
