"""No process computes with more threads than it has processors."""

from __future__ import annotations

import pytest
import torch
from accelerate.state import AcceleratorState

from pct_mlops.config import EngineConfig
from pct_mlops.engine import make_accelerator


def num_threads(**settings: str) -> int:
    with pytest.MonkeyPatch.context() as environment:
        for key in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE", "LOKY_MAX_CPU_COUNT"):
            environment.delenv(key, raising=False)
        for key, value in settings.items():
            environment.setenv(key, value)
        AcceleratorState._reset_state(reset_partial_state=True)
        torch.set_num_threads(2)  # as where the machine has two
        make_accelerator(EngineConfig(cpu=True))
        return torch.get_num_threads()


def test_a_quota_limits_the_threads_and_a_wish_of_ones_own_does_not():
    assert num_threads(LOKY_MAX_CPU_COUNT="1") == 1
    assert num_threads(LOCAL_WORLD_SIZE="2", LOKY_MAX_CPU_COUNT="2") == 1
    assert num_threads(LOKY_MAX_CPU_COUNT="1", OMP_NUM_THREADS="2") == 2
