from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pct_mlops.config import AugmentConfig, DataConfig, PctError
from pct_mlops.data import Batch, TrainLoader, eval_loader, load_data, train_loader
from pct_mlops.data.views import apply_batch, draw_views, generator

MEMORY = DataConfig(num_workers=0)
STREAM = DataConfig(num_workers=0, memory_cap_gb=0)


def make_loader(split, config: DataConfig = MEMORY, *, batch: int = 8, **options: int) -> TrainLoader:
    return train_loader(split, config, **{"global_batch_size": batch, "seed_sampler": 1, "seed_data": 2, **options})


def equal(one: list[Batch], other: list[Batch]) -> bool:
    assert one
    return len(one) == len(other) and all(
        (a is b is None) or torch.equal(a, b)
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def joined(parts: list[list[Batch]]) -> list[Batch]:
    """The global batches of several processes."""

    def cat(tensors: tuple) -> torch.Tensor | None:
        return None if all(tensor is None for tensor in tensors) else torch.cat(tensors)

    return [Batch(*map(cat, zip(*step, strict=True))) for step in zip(*parts, strict=True)]


def test_a_batch_has_the_promised_types(make_split) -> None:
    split = make_split(50, shape=(3, 8, 8))
    for config in (MEMORY, STREAM):
        batch = next(make_loader(split, config).epoch(0))
        assert batch.images.shape == (8, 3, 8, 8)
        assert batch.images.dtype == torch.float32
        assert float(batch.images.max()) <= 1.0
        assert batch.labels.dtype == batch.index.dtype == torch.int64
        assert torch.equal(batch.labels, split.labels[batch.index])
        assert batch.view.tolist() == [-1] * 8
        assert batch.view.dtype == torch.int64
        assert batch.soft is None


def test_a_batch_of_three_tensors_is_cut_into_parts() -> None:
    batch = Batch(torch.arange(6.0).view(6, 1, 1, 1), torch.arange(6), torch.arange(6) + 10)
    first, second = batch.chunk(2)
    assert (first.labels.tolist(), second.index.tolist()) == ([0, 1, 2], [13, 14, 15])
    assert first.view is first.soft is second.view is second.soft is None
    soft = batch._replace(soft=torch.eye(6), view=torch.arange(6)).chunk(3)[1]
    assert torch.equal(soft.soft, torch.eye(6)[2:4])
    assert soft.view.tolist() == [2, 3]
    assert batch.chunk(1)[0] is batch


def test_an_epoch_shows_each_example_at_most_once_and_drops_the_ragged_rest(make_split) -> None:
    loader = make_loader(make_split(50))
    first, second = ([batch.index for batch in loader.epoch(epoch)] for epoch in (0, 1))
    assert len(first) == len(loader) == 6
    assert len(torch.cat(first).unique()) == 48
    assert not torch.equal(torch.cat(first), torch.cat(second))


@pytest.mark.parametrize("config", [MEMORY, STREAM])
@pytest.mark.parametrize("world_size", [2, 4])
def test_more_processes_see_the_same_global_batches(make_split, config: DataConfig, world_size: int) -> None:
    split = make_split(50)
    alone = list(make_loader(split, config).epoch(3))
    parts = [list(make_loader(split, config, rank=rank, world_size=world_size).epoch(3)) for rank in range(world_size)]
    assert parts[0][0].index.shape == (8 // world_size,)
    assert equal(joined(parts), alone)


@pytest.mark.parametrize("config", [MEMORY, STREAM])
def test_a_resume_continues_the_interrupted_sequence(make_split, config: DataConfig) -> None:
    split = make_split(50)
    whole = [batch for epoch in range(3) for batch in make_loader(split, config).epoch(epoch)]
    resumed = make_loader(split, config)
    torch.rand(17)  # whatever else drew random numbers meanwhile
    rest = [*resumed.epoch(1, start_step=4), *resumed.epoch(2)]
    assert equal(rest, whole[6 + 4 :])
    assert list(resumed.epoch(1, start_step=6)) == []
    with pytest.raises(ValueError, match="start_step 7"):
        resumed.epoch(1, start_step=7)


def test_the_seeds_are_independent(make_split) -> None:
    split = make_split(50)
    base = list(make_loader(split).epoch(0))
    other_views = list(make_loader(split, seed_data=9).epoch(0))
    other_order = list(make_loader(split, seed_sampler=9).epoch(0))
    assert all(torch.equal(a.index, b.index) for a, b in zip(base, other_views, strict=True))
    assert not equal(base, other_views)
    assert not torch.equal(base[0].index, other_order[0].index)
    assert equal(base, list(make_loader(split).epoch(0)))


def test_nothing_here_draws_from_the_global_generator(make_split) -> None:
    split = make_split(50)
    state = torch.get_rng_state()
    for config in (MEMORY, STREAM):
        list(make_loader(split, config).epoch(0))
        list(eval_loader(split, config, batch_size=20))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "augment", [AugmentConfig(padding=2), AugmentConfig(crop="none"), AugmentConfig(crop="none", flip=False)]
)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5)])
def test_both_paths_give_equal_batches(make_split, augment: AugmentConfig, shape: tuple[int, int, int]) -> None:
    split = make_split(50, shape=shape)
    memory, stream = (make_loader(split, config.model_copy(update={"augment": augment})) for config in (MEMORY, STREAM))
    assert (memory.path, stream.path) == ("memory", "streaming")
    assert equal(list(memory.epoch(1)), list(stream.epoch(1)))


def test_both_paths_give_the_same_distribution_of_views(make_split) -> None:
    # Where a single bright pixel lands tells the view: each of 5 x 5 offsets, mirrored or not, equally often.
    split = make_split(64, shape=(1, 8, 8))
    split.all_images().zero_()[:, 0, 4, 2] = 255
    counts = []
    for config in (MEMORY, STREAM):
        loader = make_loader(split, config.model_copy(update={"augment": AugmentConfig(padding=2)}), batch=64)
        batches = [batch.images for epoch in range(60) for batch in loader.epoch(epoch)]
        counts.append(torch.cat(batches).sum(dim=(0, 1)))
    expected = torch.zeros(8, 8)
    for column in range(5):
        expected[2:7, column] += 64 * 60 / 50
        expected[2:7, 7 - column] += 64 * 60 / 50
    for count in counts:
        assert float(count.sum()) == 64 * 60
        assert not count[expected == 0].any()
        inside = expected > 0
        assert float(((count - expected)[inside] ** 2 / expected[inside]).sum()) < 75  # 40 places: p about 1e-3
    assert torch.equal(*counts)


@pytest.mark.slow
def test_worker_processes_change_nothing(image_root: Path) -> None:
    plain = DataConfig(name="image_folder", root=image_root, num_workers=0, image_size=12)
    workers = plain.model_copy(update={"num_workers": 2, "memory_cap_gb": 0.0})
    splits = load_data(plain, 0)
    streamed = make_loader(splits.train, workers, batch=4)
    next(streamed.epoch(0))  # an epoch that is left early must not leak into the next
    memory = make_loader(splits.train, plain, batch=4)
    for epoch in (0, 1):
        assert equal(list(streamed.epoch(epoch)), list(memory.epoch(epoch)))
    one, other = (list(eval_loader(splits.test, config, batch_size=4)) for config in (plain, workers))
    assert equal(one, other)


def test_random_resized_is_always_streamed(make_split) -> None:
    split = make_split(16, shape=(3, 12, 12))
    config = MEMORY.model_copy(update={"augment": AugmentConfig(crop="random_resized")})
    loader = make_loader(split, config)
    assert loader.path == "streaming"
    batches = list(loader.epoch(0))
    assert batches[0].images.shape == (8, 3, 12, 12)
    parts = [list(make_loader(split, config, rank=rank, world_size=2).epoch(0)) for rank in range(2)]
    assert equal(joined(parts), batches)


def test_views_are_those_of_the_whole_global_batch(make_split) -> None:
    split = make_split(50)
    batch = list(make_loader(split).epoch(3))[2]
    params = draw_views(MEMORY.augment, 8, generator("views", 2, 3, 2), 8, 8)
    assert torch.equal(batch.images, apply_batch(split.images(batch.index), params) / 255)


def test_the_memory_cap_chooses_the_path(make_split) -> None:
    split = make_split(50, shape=(1, 10, 10))  # 5,000 bytes
    for cap, path in ((2.0, "memory"), (5000e-9, "memory"), (4999e-9, "streaming"), (0.0, "streaming")):
        config = DataConfig(memory_cap_gb=cap, num_workers=0)
        assert make_loader(split, config).path == path
        assert eval_loader(split, config, batch_size=5).path == path


@pytest.mark.parametrize("config", [MEMORY, STREAM])
@pytest.mark.parametrize(("n", "world_size"), [(50, 1), (50, 4), (7, 4), (5, 4), (2, 4)])
def test_evaluation_shows_each_example_once_in_order(make_split, config: DataConfig, n: int, world_size: int) -> None:
    split = make_split(n, classes=2)
    loaders = [eval_loader(split, config, batch_size=3, rank=rank, world_size=world_size) for rank in range(world_size)]
    batches = [list(loader) for loader in loaders]
    assert [len(loader) for loader in loaders] == [len(part) for part in batches]
    every = [batch for part in batches for batch in part]
    assert torch.cat([batch.index for batch in every]).tolist() == list(range(n))
    assert torch.equal(torch.cat([batch.images for batch in every]), split.all_images() / 255)
    assert torch.equal(torch.cat([batch.labels for batch in every]), split.labels)
    assert max(len(batch.labels) for batch in every) <= 3
    assert equal(batches[0], list(loaders[0]))  # may be iterated again


@pytest.mark.parametrize(
    ("batch", "world_size", "near"), [(10, 4, "8 or 12"), (3, 4, "4"), (127, 2, "126 or 128"), (9, 8, "8 or 16")]
)
def test_a_batch_that_does_not_divide_names_the_nearest(make_split, batch: int, world_size: int, near: str) -> None:
    says = rf"global batch of {batch} does not divide by {world_size} processes: .*global_batch_size to {near}\.$"
    with pytest.raises(PctError, match=says):
        make_loader(make_split(200), batch=batch, world_size=world_size)


def test_a_split_smaller_than_a_batch_says_what_to_lower(make_split) -> None:
    with pytest.raises(PctError, match=r"train split has 50 examples.*lower optim\.global_batch_size to at most 50"):
        make_loader(make_split(50), batch=64)
    assert len(make_loader(make_split(50), batch=50)) == 1


def test_places_and_sizes_that_make_no_sense(make_split) -> None:
    with pytest.raises(ValueError, match="rank 2"):
        make_loader(make_split(50), rank=2, world_size=2)
    with pytest.raises(PctError, match="eval_batch_size"):
        eval_loader(make_split(5), MEMORY, batch_size=0)
