from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from pct_mlops.config import DataConfig, PctError
from pct_mlops.data import Split
from pct_mlops.data.pixels import ArrayPixels
from pct_mlops.data.split import carve, check_labels, make_splits, stratified

LABELS = np.repeat([0, 1, 2], [100, 45, 1])


def test_each_class_gives_its_rounded_share_and_at_least_one() -> None:
    rows = stratified(LABELS, 0.1, 0, 1)
    assert Counter(LABELS[rows].tolist()) == {0: 10, 1: 5, 2: 1}  # 4.5 rounds up
    assert np.array_equal(rows, np.unique(rows))


def test_the_seed_decides_and_streams_differ() -> None:
    rows = stratified(LABELS, 0.3, 7, 1)
    assert np.array_equal(rows, stratified(LABELS, 0.3, 7, 1))
    assert not np.array_equal(rows, stratified(LABELS, 0.3, 8, 1))
    assert not np.array_equal(rows, stratified(LABELS, 0.3, 7, 2))
    assert not np.array_equal(rows, stratified(LABELS, 0.3, 7 + 2**32, 1))


def test_a_smaller_share_lies_within_a_larger_one() -> None:
    assert set(stratified(LABELS, 0.1, 3, 2)) < set(stratified(LABELS, 0.5, 3, 2))


def test_a_known_draw_never_changes() -> None:
    # Ids in val must not wander between versions of this package or of NumPy.
    assert stratified(np.repeat([0, 1], 8), 0.25, 5, 1).tolist() == [2, 6, 13, 15]


def test_carving_parts_train_without_overlap_and_keeps_ids(make_split) -> None:
    whole = make_split(50)
    train, val = carve(whole, 0.2, 1)
    assert (train.name, val.name) == ("train", "val")
    assert sorted(train.sample_ids + val.sample_ids) == whole.sample_ids
    assert torch.bincount(val.labels).tolist() == [2] * 5
    for part in (train, val):
        rows = [int(sample_id.split("/")[1]) for sample_id in part.sample_ids]
        assert torch.equal(part.labels, whole.labels[rows])
        assert torch.equal(part.images(range(len(part))), whole.images(rows))


def test_a_class_with_one_example_keeps_it_in_train(make_split) -> None:
    images = torch.zeros((4, 1, 2, 2), dtype=torch.uint8)
    split = Split("train", list("abcd"), torch.tensor([0, 0, 0, 1]), ArrayPixels(images))
    train, val = carve(split, 0.9, 0)
    assert set(train.labels.tolist()) == {0, 1}
    assert val.labels.tolist() == [0, 0]
    with pytest.raises(PctError, match="single training example"):
        carve(make_split(5), 0.1, 0)


def test_train_fraction_leaves_val_and_test_as_they_are(make_split) -> None:
    whole, test = make_split(100), make_split(20, name="test")
    full = make_splits(whole, None, test, DataConfig(), 4)
    half = make_splits(whole, None, test, DataConfig(train_fraction=0.5), 4)
    assert [len(split) for split in full] == [90, 10, 20]
    assert [len(split) for split in half] == [45, 10, 20]
    assert half[1].sample_ids == full[1].sample_ids
    assert set(half[0].sample_ids) < set(full[0].sample_ids)
    assert torch.bincount(half[0].labels).tolist() == [9] * 5


def test_ids_are_unique_within_and_across_splits(make_split) -> None:
    train = make_split(20)
    twice = Split("test", ["a", "a"], torch.zeros(2, dtype=torch.int64), make_split(2).pixels)
    with pytest.raises(PctError, match="example a is listed twice in test"):
        make_splits(train, None, twice, DataConfig(), 0)
    with pytest.raises(PctError, match=r"train/000000 is listed in (train|val) and test"):
        make_splits(train, None, make_split(20).select(np.arange(1), "test"), DataConfig(), 0)


def test_a_split_without_examples_is_refused(make_split) -> None:
    with pytest.raises(PctError, match="test split has no examples"):
        make_splits(make_split(20), None, make_split(0, name="test"), DataConfig(), 0)


@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_out_of_range_is_named(make_split, label: int) -> None:
    split = make_split(10)
    check_labels(split, 5)
    split.labels[7] = label
    with pytest.raises(PctError, match=f"train/000007 has the label {label}, outside 0 to 4"):
        check_labels(split, 5)


def test_a_split_counts_and_gives_its_images(make_split) -> None:
    split = make_split(10, shape=(3, 4, 6))
    assert len(split) == 10
    assert split.num_bytes == 10 * 3 * 4 * 6
    some = split.images([3, 3, 9])
    assert some.dtype == torch.uint8
    assert torch.equal(some, split.all_images()[[3, 3, 9]])
    assert torch.equal(some, split.images(torch.tensor([3, 3, 9])))
    with pytest.raises(ValueError, match="1 ids, 2 labels, 2 images"):
        Split("train", ["a"], torch.zeros(2), make_split(2).pixels)


def test_resizing_an_array_reads_alike_by_row_and_at_once() -> None:
    data = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    pixels = ArrayPixels(data, 12)
    assert pixels.shape == (1, 12, 12)
    assert torch.equal(pixels.read_all(), torch.cat([pixels.read(torch.tensor([row])) for row in range(5)]))
    flat = ArrayPixels(torch.full((1, 1, 8, 8), 200, dtype=torch.uint8), 5)
    assert (flat.read_all() == 200).all()
    assert torch.equal(ArrayPixels(data, 8).read_all(), data)
    for height, width in ((4, 8), (8, 4)):
        wide = ArrayPixels(data[:, :, :height, :width], 8)
        assert wide.shape[1:] == wide.read_all().shape[2:] == (8, 8), "one side of the right size is not enough"
