from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pct_mlops.data import Split
from pct_mlops.data.pixels import ArrayPixels

MakeSplit = Callable[..., Split]
MakeImages = Callable[..., list[Path]]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def make_split() -> MakeSplit:
    """A split of random pixels: n examples, labels in turn."""

    def make(n: int = 50, *, classes: int = 5, shape: tuple[int, int, int] = (1, 8, 8), name: str = "train") -> Split:
        random = torch.Generator().manual_seed(n)
        images = torch.randint(0, 256, (n, *shape), generator=random, dtype=torch.uint8)
        return Split(name, [f"{name}/{row:06d}" for row in range(n)], torch.arange(n) % classes, ArrayPixels(images))

    return make


@pytest.fixture
def make_images() -> MakeImages:
    """Writes `count` PNG files of random pixels into a folder."""

    def make(folder: Path, count: int, size: tuple[int, int] = (10, 10)) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.RandomState(count)
        paths = [folder / f"{number}.png" for number in range(count)]
        for path in paths:
            Image.fromarray(random.randint(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        return paths

    return make


@pytest.fixture
def image_root(tmp_path: Path, make_images: MakeImages) -> Path:
    """An image folder with train, val and test of the classes cat and dog."""
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        for name in ("cat", "dog"):
            make_images(tmp_path / "images" / split / name, count)
    return tmp_path / "images"
