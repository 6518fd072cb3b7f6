"""The memory layout that a network runs in: channels last, but for the layers that oneDNN computes wrongly there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# float32 values in a register of AVX2: with fewer input channels, oneDNN's kernel writes past the end of its buffer.
VECTOR = 8


def to_channels_last(model: nn.Module) -> nn.Module:
    """Lay out `model` channels last, in place, which makes convolutions several times faster, and return it.

    Layers that `is_miscomputed` names keep the contiguous layout, and so do their inputs, wherever they come from.
    """
    model.to(memory_format=torch.channels_last)
    for module in model.modules():
        if is_miscomputed(module):
            _keep_contiguous(module)
    return model


def is_miscomputed(module: nn.Module) -> bool:
    """Return whether oneDNN computes the weight gradient of this layer wrongly when its input is channels last.

    On x86 processors with AVX2 and without AVX-512, a 1x1 convolution with a stride and 2 to 7 input channels corrupts
    memory with one thread, and gives gradients that are 10 to 100 % off with two (torch 2.15.0, oneDNN 3.13.3;
    bench/onednn_strided_1x1.py shows it). The rule does not ask for the processor: such layers are tiny, contiguous
    costs them nothing that can be measured, and all machines then compute the same way. Paddings and groups, which
    were right, are covered too.
    """
    return (
        isinstance(module, nn.Conv2d)
        and tuple(module.kernel_size) == (1, 1)
        and max(module.stride) > 1
        and module.in_channels // module.groups < VECTOR
    )


def _keep_contiguous(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.data = _contiguous(parameter.data)
    if _contiguous_input not in layer._forward_pre_hooks.values():
        layer.register_forward_pre_hook(_contiguous_input)


def _contiguous_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_contiguous(value) if isinstance(value, Tensor) else value for value in inputs)


def _contiguous(values: Tensor) -> Tensor:
    # Not .contiguous(): where height and width are 1 it takes channels-last strides for contiguous ones and keeps them.
    return values.clone(memory_format=torch.contiguous_format)
