from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from pct_mlops.models import Architecture

CLASSES = tuple("abcdefghij")


@pytest.fixture(autouse=True)
def _one_seeded_thread() -> Iterator[None]:
    # Small models do not gain from threads, and others run at the same time.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def architecture() -> Callable[..., Architecture]:
    """An architecture of ten classes for square images."""

    def make(name: str, size: int, channels: int = 3, **kwargs: Any) -> Architecture:
        return Architecture(
            name=name,
            kwargs=kwargs,
            class_names=CLASSES,
            image_shape=(channels, size, size),
            mean=(0.4, 0.5, 0.6)[:channels],
            std=(0.2, 0.3, 0.4)[:channels],
        )

    return make
