"""Gathers the rows of all processes, with a gradient that returns to each of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def num_processes() -> int:
    """Return the number of processes that train together, 1 where torch.distributed is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """Return the number of this process among them, from 0."""
    return dist.get_rank() if num_processes() > 1 else 0


class _GatherRows(Function):
    # torch.distributed.nn.functional.all_gather does the same, but is deprecated from torch 2.15 on, and its successor
    # is private. all_gather and all_reduce exist in gloo and nccl alike.
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        pieces = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(num_processes())]
        dist.all_gather(pieces, rows.contiguous())
        return torch.cat(pieces)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Every process's loss sees these rows, so their gradients add up. Data-parallel training then averages
        # parameter gradients over processes, which gives the gradient of the mean of their losses.
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(num_processes())[process_rank()]


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows [n, ...] of every process, in rank order, as [num_processes * n, ...].

    With one process these are the rows themselves. Every process must bring the same n, and must call this equally
    often, forward and backward. The backward pass adds up the gradients of the losses of all processes.
    """
    return _GatherRows.apply(rows) if num_processes() > 1 else rows


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a scalar over all processes, without gradient.

    Every process must call this equally often.
    """
    if num_processes() == 1:
        return value.detach()
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / num_processes()
