"""Ten crops, one by one through PIL-style slicing."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate

from pct_mlops.config import DataConfig
from pct_mlops.data import eval_loader
from pct_mlops.data.ten_crop import ten_crops


def by_hand(image: torch.Tensor, height: int, width: int) -> list[torch.Tensor]:
    """Top left, top right, bottom left, bottom right, centre."""
    whole_height, whole_width = image.shape[1:]
    down, right = whole_height - height, whole_width - width
    places = [(0, 0), (0, right), (down, 0), (down, right), (round(down / 2), round(right / 2))]
    return [image[:, top : top + height, left : left + width] for top, left in places]


@pytest.mark.parametrize(("size", "crop"), [((28, 28), (24, 24)), ((32, 16), (28, 14)), ((224, 224), (196, 196))])
def test_four_corners_the_centre_and_their_mirror_images(size: tuple[int, int], crop: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    found = ten_crops(images)
    assert found.shape == (2, 10, 3, *size)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    for image, crops in zip(images, found, strict=True):
        parts = torch.stack([*by_hand(image, *crop), *by_hand(image.flip(-1), *crop)])
        torch.testing.assert_close(crops, interpolate(parts, size, mode="bilinear"))


def test_a_plain_image_stays_plain() -> None:
    torch.testing.assert_close(ten_crops(torch.full((1, 1, 8, 8), 0.25)), torch.full((1, 10, 1, 8, 8), 0.25))
    assert ten_crops(torch.rand(3, 1, 1, 1)).shape == (3, 10, 1, 1, 1)


@pytest.mark.parametrize("cap", [0.0, 2.0])
def test_the_evaluation_loader_gives_ten_images_an_example(make_split, cap: float) -> None:
    split = make_split(26)
    config = DataConfig(num_workers=0, ten_crop=True, memory_cap_gb=cap)
    loaders = [eval_loader(split, config, batch_size=45, rank=rank, world_size=3) for rank in range(3)]
    batches = [batch for loader in loaders for batch in loader]
    assert [len(loader) for loader in loaders] == [3, 3, 2]
    assert max(len(batch.index) for batch in batches) == 4  # at most 45 images
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(26))
    assert torch.equal(torch.cat([batch.images for batch in batches]), ten_crops(split.all_images() / 255))
    assert len(next(iter(eval_loader(split, config, batch_size=3))).index) == 1
