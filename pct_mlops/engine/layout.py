"""Sets the memory layout of a network: channels last, except for the layers that oneDNN computes wrongly there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# float32 values in an AVX2 register. With fewer input channels, oneDNN's kernel writes past the end of its buffer.
VECTOR = 8


def to_channels_last(model: nn.Module) -> nn.Module:
    """Lay out `model` channels last, in place, and return it. This makes convolutions several times faster.

    Layers for which `is_miscomputed` is true keep the contiguous layout, and their inputs are made contiguous.
    """
    model.to(memory_format=torch.channels_last)
    for module in model.modules():
        if is_miscomputed(module):
            _keep_contiguous(module)
    return model


def is_miscomputed(module: nn.Module) -> bool:
    """Tell whether oneDNN computes the weight gradient of this layer wrongly when its input is channels last.

    The fault is in 1x1 convolutions with a stride and 2 to 7 input channels, on x86 processors with AVX2 and without
    AVX-512. With one thread they corrupt memory. With two, their gradients are 10 to 100 % off (torch 2.15.0, oneDNN
    3.13.3, shown by bench/onednn_strided_1x1.py). The rule does not ask for the processor, so that all machines compute
    the same way. Such layers are tiny, and the contiguous layout costs them nothing that can be measured. The rule also
    covers paddings and groups, for which oneDNN was right.
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
    # Not .contiguous(): if height and width are 1, it takes channels-last strides for contiguous ones and keeps them.
    return values.clone(memory_format=torch.contiguous_format)
