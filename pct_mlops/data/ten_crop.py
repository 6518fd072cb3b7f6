"""Cuts ten crops out of each image, for evaluation by their mean logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

NUM_CROPS = 10


def ten_crops(images: Tensor) -> Tensor:
    """Cut four corners and the centre, of images float [n, C, H, W] and of their mirror images: [n, 10, C, H, W].

    A crop is 7/8 of each side (196 of 224, 28 of 32, 24 of 28). It is resized (bilinear) to H x W, as a model may take
    images of one size only. Source: Krizhevsky et al., NeurIPS 2012, section 4.1 (224 of 256).
    """
    from torchvision.transforms.v2 import functional as v2

    height, width = images.shape[-2:]
    crops = torch.stack(v2.ten_crop(images, [_seven_eighths(height), _seven_eighths(width)]), dim=1)
    resized = interpolate(crops.flatten(0, 1), (height, width), mode="bilinear", align_corners=False)
    return resized.unflatten(0, (-1, NUM_CROPS))


def _seven_eighths(side: int) -> int:
    return max(1, side * 7 // 8)
