"""The checks of data sets and architectures find what they are about."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from pct_mlops.config import DataConfig
from pct_mlops.data import ArrayData
from pct_mlops.models import Body, without_head
from pct_mlops.testing import ARCHITECTURE_CHECKS, DATASET_CHECKS, check_architecture, check_dataset
from pct_mlops.testing.architectures import as_build
from pct_mlops.testing.datasets import as_loader


def arrays(num=60, seed=0):
    random = np.random.RandomState(seed)
    return random.randint(0, 256, (num, 6, 6), dtype=np.uint8), np.arange(num) % 3


def load(config, seed):
    return ArrayData(arrays(60), arrays(30, 1), ["a", "b", "c"])


def broken(**changes):
    """A loader whose splits have something changed."""

    def read(config, seed):
        splits = load(config, seed).splits(config, seed)
        return dataclasses.replace(splits, **{key: make(splits, seed) for key, make in changes.items()})

    return read


def test_arrays_become_splits():
    check_dataset(load)
    splits = load(None, 0).splits(DataConfig(name="mine", val_fraction=0.2, image_size=12), 0)
    assert splits.image_shape == (1, 12, 12)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [48, 12, 30]
    assert splits.preprocessing_id == "mine/12x12/uint8/bilinear"
    pixels = arrays(60)[0] / 255
    assert splits.mean[0] == pytest.approx(pixels.mean(), abs=1e-4)
    assert splits.std[0] == pytest.approx(pixels.std(), abs=1e-4)
    given = ArrayData(arrays(60), arrays(30, 1), ["a", "b", "c"], val=arrays(9, 2), mean=[0.5], std=[0.2])
    splits = given.splits(DataConfig(name="mine"), 0)
    assert (len(splits.train), len(splits.val), splits.mean, splits.std) == (60, 9, (0.5,), (0.2,))


counter = itertools.count()
WRONG_DATA = {
    "labels": lambda config, seed: ArrayData(arrays(60), arrays(30, 1), ["a", "b", "c", "d"]),
    "names": broken(test=lambda splits, seed: dataclasses.replace(splits.test, name="other")),
    "statistics": broken(std=lambda splits, seed: (0.0,)),
    "overlap": broken(val=lambda splits, seed: splits.train.select(np.arange(5), "val")),
    "twice": broken(train=lambda splits, seed: splits.train.select(np.arange(20).repeat(2))),
    "unrepeatable": lambda config, seed: ArrayData(arrays(60, next(counter)), arrays(30, 1), ["a", "b", "c"]),
    "moving test": broken(test=lambda splits, seed: splits.test.select(np.arange(seed, 20))),
    "moving images": lambda config, seed: ArrayData(arrays(60, seed), arrays(30, 1), ["a", "b", "c"]),
}
SAID = {
    "labels": "Every class must have training examples",
    "names": "must be called test, not other",
    "statistics": "std above 0",
    "overlap": "in train and val",
    "twice": "must be unique",
    "unrepeatable": "same seed must give the same train images",
    "moving test": "Test must hold the same examples for every seed",
    "moving images": "must keep its image for every seed",
}


@pytest.mark.parametrize("what", WRONG_DATA)
def test_each_mistake_in_a_data_set_is_said(what):
    with pytest.raises(AssertionError, match=SAID[what]):
        check_dataset(WRONG_DATA[what])


def test_every_check_of_data_sets_fails_for_some_mistake():
    found = set()
    for check, wrong in itertools.product(DATASET_CHECKS, WRONG_DATA.values()):
        try:
            check(as_loader(wrong, DataConfig()))
        except AssertionError:
            found.add(check)
    assert found == set(DATASET_CHECKS)


class Pooled(nn.Module):
    """A backbone as it should be."""

    def __init__(self, channels=1, num_features=6):
        super().__init__()
        self.num_features = num_features
        self.conv = nn.Conv2d(channels, num_features, 3, padding=1)

    def forward(self, images):
        return self.conv(images).relu().mean(dim=(2, 3))


class Unused(Pooled):
    def __init__(self):
        super().__init__()
        self.idle = nn.Linear(3, 3)


class FromNumpy(Pooled):
    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.conv.weight.copy_(torch.from_numpy(np.random.rand(*self.conv.weight.shape)))


class LooksAround(Pooled):
    def forward(self, images):
        features = super().forward(images)
        return features - features.mean(dim=0)


class Counts(Pooled):
    """Keeps state where no file finds it."""

    def __init__(self):
        super().__init__()
        self.seen = 0.0

    def forward(self, images):
        if self.training:
            self.seen += 0.5
        return super().forward(images) + self.seen


class Infinite(Pooled):
    def forward(self, images):
        return super().forward(images) / 0.0


class FixedBatch(Pooled):
    def forward(self, images):
        features = super().forward(images)
        return torch.stack([features[row] for row in range(int(images.shape[0]))])


WRONG_MODELS = {
    Infinite: "must be finite",
    Unused: "Every parameter must take part, and backbone.idle",
    FromNumpy: "draw with torch alone",
    LooksAround: "alone and in a batch",
    Counts: "keep all state in parameters and buffers",
    FixedBatch: "torch.export must be able",
}


def checked(network, **options):
    check_architecture(lambda record: network(), image_shape=(1, 6, 6), **options)


def test_an_architecture_as_it_should_be_passes():
    checked(Pooled)
    checked(lambda: Body(Pooled(), 6, dropout=0.2))
    whole = lambda: nn.Sequential(Pooled(), nn.Linear(6, 10), nn.ReLU(), nn.Dropout(0.1), nn.Linear(10, 99))  # noqa: E731
    body = without_head(whole())
    assert (body.num_features, body.dropout) == (10, 0.1)
    checked(lambda: without_head(whole()))


@pytest.mark.parametrize("wrong", WRONG_MODELS, ids=lambda wrong: wrong.__name__)
def test_each_mistake_in_an_architecture_is_said(wrong):
    with pytest.raises(AssertionError, match=WRONG_MODELS[wrong]):
        checked(wrong)


def test_every_check_of_architectures_fails_for_some_mistake():
    found = set()
    for check, wrong in itertools.product(ARCHITECTURE_CHECKS, WRONG_MODELS):
        try:
            check(as_build(lambda record, wrong=wrong: wrong(), (1, 6, 6), 5, {}))
        except AssertionError:
            found.add(check)
    assert found == set(ARCHITECTURE_CHECKS)
