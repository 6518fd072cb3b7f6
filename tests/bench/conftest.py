"""Lets the tests of this folder import the programs of bench/, and start each one afresh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))


@pytest.fixture
def afresh() -> Iterator[None]:
    """For tests that train: one thread, and an accelerator of their own."""
    import torch
    from accelerate.state import AcceleratorState
    from gpu_training import accelerator_of

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator_of.cache_clear()
    yield
    accelerator_of.cache_clear()
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_num_threads(threads)
