"""mixup and cutmix against their definitions, and the same on any number of processes."""

from __future__ import annotations

import pytest
import torch

from pct_mlops.config import AugmentConfig, DataConfig
from pct_mlops.data import Batch, TrainLoader, train_loader

NOTHING = AugmentConfig(crop="none", flip=False)


def config(**augment: float) -> DataConfig:
    return DataConfig(num_workers=0, augment=NOTHING.model_copy(update=augment))


def make_loader(split, data: DataConfig, batch: int = 8, **options: int) -> TrainLoader:
    options = {"seed_sampler": 1, "seed_data": 2, "num_classes": 5, **options}
    return train_loader(split, data, global_batch_size=batch, **options)


def pairs(split, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The images and one-hot labels that a batch was mixed from: each example, and the one before it."""
    images, labels = split.images(batch.index) / 255, torch.eye(5)[split.labels[batch.index]]
    return images, images.roll(1, 0), labels, labels.roll(1, 0)


def test_mixup_is_the_same_mixture_of_images_and_labels(make_split) -> None:
    split, shares = make_split(400), []
    for batch in make_loader(split, config(mixup=0.8)).epoch(0):
        images, before, labels, labels_before = pairs(split, batch)
        share = float(((batch.images - before) * (images - before)).sum() / ((images - before) ** 2).sum())
        torch.testing.assert_close(batch.images, share * images + (1 - share) * before, rtol=0, atol=1e-5)
        torch.testing.assert_close(batch.soft, share * labels + (1 - share) * labels_before, rtol=0, atol=1e-5)
        assert batch.soft.dtype == torch.float32
        assert torch.equal(batch.labels, split.labels[batch.index if share > 0.5 else batch.index.roll(1)])
        shares.append(share)
    assert len(set(shares)) == 50
    assert 0 <= min(shares) < 0.3
    assert 0.7 < max(shares) <= 1


def test_cutmix_swaps_a_box_and_weighs_labels_by_its_area(make_split) -> None:
    split = make_split(400, shape=(3, 12, 9))
    areas = []
    for batch in make_loader(split, config(cutmix=1.0)).epoch(0):
        images, before, labels, labels_before = pairs(split, batch)
        foreign = (batch.images != images).any(dim=1).any(dim=0)
        rows, columns = foreign.any(dim=1), foreign.any(dim=0)
        assert torch.equal(foreign, rows[:, None] & columns[None, :])  # a box
        assert torch.equal(batch.images, torch.where(foreign, before, images))
        area = float(foreign.float().mean())
        torch.testing.assert_close(batch.soft, (1 - area) * labels + area * labels_before, rtol=0, atol=1e-5)
        areas.append(area)
    assert max(areas) > 0.5
    assert len(set(areas)) > 20


def test_with_both_each_batch_gets_one_of_them(make_split) -> None:
    split, swapped = make_split(400), 0
    for batch in make_loader(split, config(mixup=1.0, cutmix=1.0)).epoch(0):
        images, before, _, _ = pairs(split, batch)
        swapped += bool(((batch.images == images) | (batch.images == before)).all())
    assert 10 < swapped < 40  # of 50


@pytest.mark.parametrize("augment", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1.0}])
@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("cap", [0.0, 2.0])
def test_more_processes_train_on_the_same_mixtures(make_split, augment: dict, world_size: int, cap: float) -> None:
    split = make_split(50)
    data = DataConfig(num_workers=0, views=2, memory_cap_gb=cap, augment=AugmentConfig(padding=2, **augment))
    alone = list(make_loader(split, data).epoch(1))
    parts = [list(make_loader(split, data, rank=rank, world_size=world_size).epoch(1)) for rank in range(world_size)]
    for step, whole in enumerate(alone):
        for field, expected in zip(Batch._fields, whole, strict=True):
            assert torch.equal(torch.cat([getattr(part[step], field) for part in parts]), expected), field


def test_mixing_follows_from_seed_epoch_and_step(make_split) -> None:
    split, data = make_split(50), config(mixup=1.0, cutmix=1.0)
    whole = list(make_loader(split, data).epoch(3))
    torch.rand(9)
    rest = list(make_loader(split, data).epoch(3, start_step=4))
    assert torch.equal(rest[0].images, whole[4].images)
    assert torch.equal(rest[1].soft, whole[5].soft)
    assert not torch.equal(next(make_loader(split, data, seed_data=3).epoch(3)).soft, whole[0].soft)
    assert not torch.equal(next(make_loader(split, data).epoch(4)).soft, whole[0].soft)


def test_the_global_generator_is_left_alone(make_split) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    list(make_loader(make_split(50), config(mixup=1.0, cutmix=1.0)).epoch(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_what_it_needs(make_split) -> None:
    with pytest.raises(ValueError, match="num_classes"):
        train_loader(make_split(50), config(mixup=1.0), global_batch_size=8, seed_sampler=0, seed_data=0)
    assert (
        next(train_loader(make_split(50), config(), global_batch_size=8, seed_sampler=0, seed_data=0).epoch(0)).soft
        is None
    )
