"""Computes a fixed number of views per example, each from the seed, the example and the number of the view alone.

Nothing is drawn in sequence and nothing is stored. View v of example i is therefore the same in every batch, epoch,
process and order. A training set of any size has any number of views at no cost.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pct_mlops.config import AugmentConfig
from pct_mlops.data.views import ATTEMPTS, ViewParams, resized_boxes

GOLDEN = 0x9E3779B97F4A7C15  # the increment of SplitMix64: 2^64 divided by the golden ratio


def view_numbers(seed: int, epoch: int, index: Tensor, num_views: int) -> Tensor:
    """Return the number of the view, int64 [n] in 0 .. num_views - 1, that each example of `index` shows in an epoch.

    Every example starts at a view of its own and goes through them in turn, so `num_views` epochs show each of them
    once.
    """
    first = (_uniforms("first view", seed, [index.numpy()], 1)[:, 0] * num_views).long()
    return (first + epoch) % num_views


def fixed_views(augment: AugmentConfig, seed: int, index: Tensor, numbers: Tensor, size: tuple[int, int]) -> ViewParams:
    """Return the views `numbers` [n] of the examples `index` [n], whose images are of `size` (H, W).

    Each view is a function of (seed, index, number). The views are distributed like those of `draw_views`.
    """
    resized, padding = augment.crop == "random_resized", augment.padding if augment.crop == "pad" else 0
    values = _uniforms("fixed view", seed, [index.numpy(), numbers.numpy()], 3 + 2 * ATTEMPTS if resized else 3)
    place, (height, width) = values[:, 1:3], size
    if resized:
        tries = values[:, 3:].unflatten(1, (2, ATTEMPTS)).transpose(0, 1)
        box = resized_boxes(tries, place, height, width)
    else:
        box = torch.empty((len(index), 4), dtype=torch.int64)
        box[:, :2] = (place * (2 * padding + 1)).long()
        box[:, 2], box[:, 3] = height, width
    flip = values[:, 0] < 0.5 if augment.flip else torch.zeros(len(index), dtype=torch.bool)
    return ViewParams(box, flip, padding, resized)


def _uniforms(purpose: str, seed: int, numbers: list[NDArray[np.int64]], count: int) -> Tensor:
    """Return `count` values in [0, 1) for each example, float64 [n, count].

    `numbers` are arrays [n] that identify an example: equal numbers give equal values. The hash is SplitMix64 over
    counters: Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014, figure 17.
    """
    digest = hashlib.blake2b(repr((purpose, seed)).encode(), digest_size=8).digest()
    state = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    for number in numbers:
        state = _mixed(state + (number.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    words = _mixed(state[:, None] + steps[None, :])
    return torch.from_numpy((words >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mixed(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
