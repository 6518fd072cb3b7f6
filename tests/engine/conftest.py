"""Lets the tests of this folder import its helpers under every import mode of pytest, and start each one afresh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import torch
    from accelerate.state import AcceleratorState

    monkeypatch.delenv("PCT_NUM_PROCESSES", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small models do not gain from threads, and others run at the same time
    torch.manual_seed(0)
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_num_threads(threads)
