"""Applies mixup and cutmix over whole global batches."""

from __future__ import annotations

import torch

from pct_mlops.config import AugmentConfig
from pct_mlops.data.sources import Batch
from pct_mlops.data.views import generator


class Mixing:
    """Mixup or cutmix of each example with the one before it in the global batch.

    The mixed batch has `soft`, and `labels` holds the label with the larger share. With both, each batch gets one of
    them. The draws follow from (seed, epoch, step) and are the same on every process. With `shared`, a process's batch
    starts with the example before it in the global batch, which is mixed in and then dropped. So one process and many
    train on the same mixtures. Sources: Zhang et al., arXiv 1710.09412 (mixup). Yun et al., arXiv 1905.04899 (cutmix).
    """

    def __init__(self, augment: AugmentConfig, num_classes: int, seed: int, shared: bool) -> None:
        from torchvision.transforms import v2  # takes seconds, so only when it is used

        kinds = [
            kind(alpha=alpha, num_classes=num_classes)
            for kind, alpha in ((v2.MixUp, augment.mixup), (v2.CutMix, augment.cutmix))
            if alpha > 0
        ]
        self._transform = kinds[0] if len(kinds) == 1 else v2.RandomChoice(kinds)
        self._seed, self._shared = seed, shared

    def __call__(self, batch: Batch, epoch: int, step: int) -> Batch:
        """Return the batch as it is mixed at this step. The global generator is left as it was."""
        # All draws are on the CPU, so no device's generator is touched (torch.manual_seed would set them all).
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(generator("mixing", self._seed, epoch, step).get_state())
            images, soft = self._transform(batch.images, batch.labels)
        mixed = batch._replace(images=images, labels=soft.argmax(dim=1), soft=soft)
        return mixed.rows(1) if self._shared else mixed
