"""Draws random views as numbers for a whole global batch, and applies them to a batch at once or image by image.

Both ways give the same images.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pct_mlops.config import AugmentConfig

# Random resized crops after Szegedy et al., arXiv 1409.4842, section 6.
AREA = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
ATTEMPTS = 10


def generator(*key: int | str) -> torch.Generator:
    """Return a CPU generator that depends on `key` alone, and so not on what was drawn before."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


class View(NamedTuple):
    """View of one image: the box (top, left, height, width) to cut out of the padded image, mirrored if `flip`."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


@dataclass(frozen=True)
class ViewParams:
    """Views of n images. `box` is int64 [n, 4] (top, left, height, width, in the padded image), `flip` bool [n]."""

    box: Tensor
    flip: Tensor
    padding: int
    resized: bool

    @property
    def top(self) -> Tensor:
        """Top of each box, int64 [n], in pixels."""
        return self.box[:, 0]

    @property
    def left(self) -> Tensor:
        """Left side of each box, int64 [n], in pixels."""
        return self.box[:, 1]

    def __len__(self) -> int:
        return len(self.flip)

    def rows(self, rows: Tensor) -> ViewParams:
        """Return the views of the given rows, int64 [m]."""
        return ViewParams(self.box[rows], self.flip[rows], self.padding, self.resized)

    def to(self, device: torch.device) -> ViewParams:
        """Return the same views on another device."""
        box, flip = self.box.to(device, non_blocking=True), self.flip.to(device, non_blocking=True)
        return ViewParams(box, flip, self.padding, self.resized)

    def row(self, index: int) -> View:
        """Return the view of one image."""
        top, left, height, width = self.box[index].tolist()
        return View(top, left, height, width, bool(self.flip[index]))


def draw_views(augment: AugmentConfig, n: int, random: torch.Generator, height: int, width: int) -> ViewParams:
    """Draw views of `n` images of height x width.

    For "pad", offsets are uniform over 0 .. 2 * padding on both axes. For "random_resized", the area is 8 to 100 % and
    the aspect ratio 3/4 to 4/3. With `flip`, each image is mirrored with probability 1/2. Padding is black.
    """
    padding = augment.padding if augment.crop == "pad" else 0
    if augment.crop == "random_resized":
        tries = torch.rand((2, n, ATTEMPTS), generator=random, dtype=torch.float64)
        place = torch.rand((n, 2), generator=random, dtype=torch.float64)
        box = resized_boxes(tries, place, height, width)
    else:
        box = torch.empty((n, 4), dtype=torch.int64)
        box[:, :2] = torch.randint(2 * padding + 1, (n, 2), generator=random) if padding else 0
        box[:, 2], box[:, 3] = height, width
    flip = torch.rand(n, generator=random) < 0.5 if augment.flip else torch.zeros(n, dtype=torch.bool)
    return ViewParams(box, flip, padding, augment.crop == "random_resized")


def resized_boxes(tries: Tensor, place: Tensor, height: int, width: int) -> Tensor:
    """Return boxes of random resized crops, int64 [n, 4], from `tries` [2, n, 10] and `place` [n, 2] in [0, 1).

    A box is the first of ten tries (area, aspect ratio) that fits, or else the largest centred box of an allowed ratio.
    """
    area = height * width * (AREA[0] + (AREA[1] - AREA[0]) * tries[0])
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    ratio = torch.exp(low + (high - low) * tries[1])
    heights, widths = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    first = fits.int().argmax(dim=1, keepdim=True)
    chosen = torch.cat([heights.gather(1, first), widths.gather(1, first)], dim=1)
    corner = (place * (torch.tensor([height, width]) - chosen + 1)).long()
    none = ~fits.any(dim=1)
    largest = torch.tensor([min(height, round(width / RATIO[0])), min(width, round(height * RATIO[1]))])
    chosen[none] = largest
    corner[none] = (torch.tensor([height, width]) - largest) // 2
    return torch.cat([corner, chosen], dim=1)


def pad(images: Tensor, padding: int) -> Tensor:
    """Return images uint8 [N, C, H, W] with `padding` black pixels on each side: [N, C, H + 2p, W + 2p]."""
    return functional.pad(images, (padding,) * 4) if padding else images


def cut(padded: Tensor, rows: Tensor, params: ViewParams) -> Tensor:
    """Cut the views [n, C, H, W] of `rows` out of images that are already padded [N, C, H + 2p, W + 2p]."""
    if params.resized:
        raise ValueError("random_resized views are made image by image: apply_one")
    if params.padding:
        spare = 2 * params.padding
        # Every window of every image, as strides over the same memory: indexing copies only the chosen ones.
        windows = padded.unfold(2, padded.shape[2] - spare, 1).unfold(3, padded.shape[3] - spare, 1)
        images = windows[rows, :, params.top, params.left]
    else:
        images = padded[rows]
    return torch.where(params.flip[:, None, None, None], images.flip(-1), images)


def apply_batch(images: Tensor, params: ViewParams) -> Tensor:
    """Return the views of images uint8 [n, C, H, W] in the same shape, all at once, on the images' device."""
    rows = torch.arange(len(images), device=images.device)
    return cut(pad(images, params.padding), rows, params.to(images.device))


def apply_one(image: Tensor, view: View, padding: int, resized: bool = False) -> Tensor:
    """Return the view of one image uint8 [C, H, W] in the same shape, through torchvision.transforms.v2."""
    from torchvision.transforms.v2 import functional as v2

    size = list(image.shape[-2:])
    if resized:
        image = v2.resized_crop(image, view.top, view.left, view.height, view.width, size, antialias=True)
    else:
        image = v2.crop(v2.pad(image, [padding]), view.top, view.left, view.height, view.width)
    return v2.horizontal_flip(image) if view.flip else image
