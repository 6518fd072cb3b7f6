"""Computes a classifier's logits on a split, on all processes of a launch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pct_mlops.config import DataConfig

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from pct_mlops.data import Split


def logits_of(
    model: Any, split: Split, data: DataConfig, accelerator: Accelerator, *, batch_size: int, title: str = ""
) -> NDArray[np.float32]:
    """Compute logits float32 [N, C] in the order of the split, all of them on every process.

    With a `title`, show a progress bar.
    """
    from pct_mlops.data import eval_loader
    from pct_mlops.engine import predict

    loader = eval_loader(
        split,
        data,
        batch_size=batch_size,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        device=accelerator.device,
    )
    return predict(model, loader, len(split), accelerator, image_shape=split.pixels.shape, title=title)
