"""Computes the logits of every example exactly once, on any number of processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from pct_mlops.engine.progress import Progress
from pct_mlops.engine.setup import to_device

if TYPE_CHECKING:
    from pct_mlops.data import Batch


def predict(
    model: nn.Module,
    loader: Iterable[Batch],
    num_examples: int,
    accelerator: Accelerator,
    *,
    image_shape: tuple[int, int, int],
    title: str = "",
) -> NDArray[np.float32]:
    """Return logits [num_examples, C] in the order of the split, on every process.

    Call it on all processes. The model is left in the mode (training or evaluation) in which it came.

    Args:
        model: returns ModelOutput.
        loader: yields this process's share; with ten crops [n, 10, C_in, H, W], the logits of an example are the mean
            over its crops.
        num_examples: number of examples of all shares together.
        accelerator: of this process.
        image_shape: (C_in, H, W), for a process whose share is empty.
        title: of the progress bar; without it, there is none.

    Raises:
        RuntimeError: the shares together are not each example exactly once.
    """
    was_training = model.training
    model = to_device(model, accelerator).eval()
    indices: list[Tensor] = []
    logits: list[Tensor] = []
    with (
        torch.inference_mode(),
        Progress(title or "predict", num_examples, bool(title) and accelerator.is_main_process) as bar,
    ):
        for batch in loader:
            with accelerator.autocast():
                output = model(batch.images.flatten(0, -4).contiguous(memory_format=torch.channels_last))
            indices.append(batch.index.to(accelerator.device))
            logits.append(output.logits.float().view(len(batch.index), -1, output.logits.shape[1]).mean(dim=1))
            bar.advance(len(batch.index) * accelerator.num_processes)
        if not indices:
            # With more processes than examples, this share may be empty: a blank image gives the width of its logits.
            width = model(torch.zeros(1, *image_shape, device=accelerator.device)).logits.shape[1]
            indices.append(torch.zeros(0, dtype=torch.int64, device=accelerator.device))
            logits.append(torch.zeros(0, width, device=accelerator.device))
        index, values = torch.cat(indices), torch.cat(logits)
        # Shares differ in length if the examples do not divide: pad, gather, and drop the padding by its index.
        index, values = accelerator.pad_across_processes([index, values], dim=0, pad_index=-1)
        index, values = accelerator.gather([index, values])
    model.train(was_training)
    keep = index >= 0
    index, values = index[keep], values[keep]
    if not torch.equal(index.sort().values, torch.arange(num_examples, device=index.device)):
        raise RuntimeError(f"{len(index)} predictions for {num_examples} examples: some are missing or come twice")
    ordered = torch.empty_like(values)
    ordered[index] = values
    return ordered.cpu().numpy()
