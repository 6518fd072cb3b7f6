"""A fixed number of views per example: the same wherever they are asked for, and distributed like fresh ones."""

from __future__ import annotations

import pytest
import torch
from scipy.special import chdtrc
from scipy.stats import ks_2samp

from pct_mlops.config import AugmentConfig, DataConfig, PctError
from pct_mlops.data import Batch, TrainLoader, train_loader, view_loader
from pct_mlops.data.fixed_views import fixed_views, view_numbers
from pct_mlops.data.views import apply_one, draw_views, generator

PAD = AugmentConfig(padding=2)
RESIZED = AugmentConfig(crop="random_resized")
MEMORY = DataConfig(num_workers=0, views=3, augment=PAD)
STREAM = MEMORY.model_copy(update={"memory_cap_gb": 0.0})
KINDS = [MEMORY, STREAM, MEMORY.model_copy(update={"augment": RESIZED})]


def make_loader(split, config: DataConfig, **options: int) -> TrainLoader:
    return train_loader(split, config, **{"global_batch_size": 8, "seed_sampler": 1, "seed_data": 2, **options})


def by_example(batches: list[Batch]) -> dict[tuple[int, int], torch.Tensor]:
    """Images by (index, view); whatever comes twice must be equal."""
    found: dict[tuple[int, int], torch.Tensor] = {}
    for batch in batches:
        for image, index, view in zip(batch.images, batch.index.tolist(), batch.view.tolist(), strict=True):
            assert torch.equal(found.setdefault((index, view), image), image)
    return found


@pytest.mark.parametrize("config", KINDS)
def test_a_view_is_the_same_in_every_epoch_order_and_number_of_processes(make_split, config: DataConfig) -> None:
    split = make_split(26, shape=(3, 8, 8))
    alone = by_example([batch for epoch in range(4) for batch in make_loader(split, config).epoch(epoch)])
    other_order = by_example(
        [batch for epoch in range(4) for batch in make_loader(split, config, seed_sampler=9).epoch(epoch)]
    )
    parts = [make_loader(split, config, rank=rank, world_size=2) for rank in range(2)]
    together = by_example([batch for epoch in range(4) for part in parts for batch in part.epoch(epoch)])
    assert alone.keys() == together.keys()
    assert all(torch.equal(together[key], image) for key, image in alone.items())
    shared = alone.keys() & other_order.keys()
    assert len(shared) > 60
    assert all(torch.equal(other_order[key], alone[key]) for key in shared)
    other_seed = by_example(
        [batch for epoch in range(4) for batch in make_loader(split, config, seed_data=9).epoch(epoch)]
    )
    assert sum(torch.equal(other_seed[key], alone[key]) for key in alone.keys() & other_seed.keys()) < 10


@pytest.mark.parametrize("augment", [PAD, AugmentConfig(crop="none"), AugmentConfig(crop="none", flip=False)])
def test_memory_equals_streaming(make_split, augment: AugmentConfig) -> None:
    split = make_split(26, shape=(3, 7, 5))
    memory, stream = (make_loader(split, config.model_copy(update={"augment": augment})) for config in (MEMORY, STREAM))
    assert (memory.path, stream.path) == ("memory", "streaming")
    for epoch in range(3):
        for one, other in zip(memory.epoch(epoch), stream.epoch(epoch), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))


@pytest.mark.parametrize("config", KINDS)
@pytest.mark.parametrize("world_size", [1, 3])
def test_view_loader_gives_what_training_sees(make_split, config: DataConfig, world_size: int) -> None:
    split = make_split(26, shape=(3, 8, 8))
    seen = by_example([batch for epoch in range(3) for batch in make_loader(split, config).epoch(epoch)])
    given: dict[tuple[int, int], torch.Tensor] = {}
    for view in range(3):
        places = [{"rank": rank, "world_size": world_size} for rank in range(world_size)]
        loaders = [view_loader(split, config, view, batch_size=4, seed_data=2, **place) for place in places]
        batches = [batch for loader in loaders for batch in loader]
        assert torch.cat([batch.index for batch in batches]).tolist() == list(range(26))
        assert [len(loader) for loader in loaders] == [len(list(loader)) for loader in loaders]
        given |= by_example(batches)
    assert len(given) == 26 * 3
    assert len(seen) > 60
    assert all(torch.equal(given[key], image) for key, image in seen.items())


def test_an_epoch_late_in_training_and_a_resume(make_split) -> None:
    split = make_split(26)
    whole = list(make_loader(split, MEMORY).epoch(7))
    rest = list(make_loader(split, MEMORY).epoch(7, start_step=2))
    assert torch.equal(rest[0].images, whole[2].images)
    assert torch.equal(rest[0].view, whole[2].view)


def test_every_example_goes_through_all_its_views() -> None:
    index = torch.arange(3000)
    numbers = torch.stack([view_numbers(5, epoch, index, 4) for epoch in range(4)])
    assert torch.equal(numbers.sort(dim=0).values, torch.arange(4)[:, None].expand(4, 3000))
    counts = torch.bincount(numbers[0], minlength=4).double()
    assert float(chdtrc(3, float(((counts - 750) ** 2 / 750).sum()))) > 1e-3
    assert torch.equal(view_numbers(5, 2, index[100:105], 4), numbers[2, 100:105])
    assert view_numbers(5, 9, index, 1).unique().tolist() == [0]


def test_a_view_depends_on_seed_example_and_number_alone() -> None:
    index, numbers = torch.tensor([7, 0, 7, 123_456_789]), torch.tensor([0, 5, 1, 999])
    whole = fixed_views(PAD, 3, index, numbers, (28, 28))
    for row in range(4):
        one = fixed_views(PAD, 3, index[row : row + 1], numbers[row : row + 1], (28, 28))
        assert one.row(0) == whole.row(row)
    grid = torch.cartesian_prod(torch.arange(50), torch.arange(50))
    views = fixed_views(RESIZED, 3, grid[:, 0], grid[:, 1], (224, 224))
    assert len(views.box.unique(dim=0)) > 2490  # (i, v) and (v, i) are different views


def test_pad_views_are_uniform_and_independent_of_each_other() -> None:
    grid = torch.cartesian_prod(torch.arange(4000), torch.arange(10))
    views = fixed_views(AugmentConfig(padding=4), 11, grid[:, 0], grid[:, 1], (28, 28))
    kinds = views.top * 18 + views.left * 2 + views.flip
    for chosen in (kinds, kinds[grid[:, 1] == 3], kinds.view(4000, 10)[:, 1:].flatten()):
        expected = len(chosen) / 162
        observed = torch.bincount(chosen, minlength=162).double()
        assert float(chdtrc(161, float(((observed - expected) ** 2 / expected).sum()))) > 1e-3
    neighbours = views.top.view(4000, 10)[:, 0] * 9 + views.top.view(4000, 10)[:, 1]
    observed = torch.bincount(neighbours, minlength=81).double()
    assert float(chdtrc(80, float(((observed - 4000 / 81) ** 2 / (4000 / 81)).sum()))) > 1e-3


def test_resized_views_have_the_law_of_fresh_ones() -> None:
    grid = torch.cartesian_prod(torch.arange(1000), torch.arange(20))
    fixed = fixed_views(RESIZED, 11, grid[:, 0], grid[:, 1], (224, 160))
    fresh = draw_views(RESIZED, 20_000, generator(4), 224, 160)
    for column in range(4):
        assert ks_2samp(fixed.box[:, column], fresh.box[:, column]).pvalue > 1e-3
    assert abs(float(fixed.flip.float().mean()) - 0.5) < 0.02


def test_a_fixed_view_by_hand(make_split) -> None:
    split = make_split(26)
    batch = next(iter(view_loader(split, MEMORY, 2, batch_size=5, seed_data=2)))
    views = fixed_views(PAD, 2, torch.arange(5), torch.full((5,), 2), (8, 8))
    expected = [apply_one(split.images([row])[0], views.row(row), 2) for row in range(5)]
    assert torch.equal(batch.images, torch.stack(expected) / 255)
    assert batch.view.tolist() == [2] * 5


def test_a_view_loader_checks_its_place(make_split) -> None:
    with pytest.raises(ValueError, match="rank 2"):
        view_loader(make_split(5), MEMORY, 0, batch_size=4, seed_data=0, rank=2, world_size=2)
    with pytest.raises(PctError, match="eval_batch_size"):
        view_loader(make_split(5), MEMORY, 0, batch_size=0, seed_data=0)
