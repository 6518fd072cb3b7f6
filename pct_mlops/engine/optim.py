"""Builds optimisers and learning-rate schedules. Schedules count optimizer steps."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from pct_mlops.config import OptimConfig


def scaled_lr(config: OptimConfig) -> float:
    """Return `lr`, scaled from `reference_batch` to the global batch (Goyal et al., arXiv 1706.02677, section 2.1)."""
    return config.lr * config.global_batch_size / (config.reference_batch or config.global_batch_size)


def build_optimizer(model: nn.Module, config: OptimConfig, *others: nn.Module) -> torch.optim.Optimizer:
    """Build SGD with momentum, or AdamW, over all parameters of `model` and `others` that are not frozen.

    Vectors (biases, normalisation) get no weight decay, as is usual.
    """
    trainable = [p for module in (model, *others) for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=scaled_lr(config))
    return torch.optim.SGD(groups, lr=scaled_lr(config), momentum=config.momentum, nesterov=config.nesterov)


def lr_factor(config: OptimConfig, step: int, steps_per_epoch: int) -> float:
    """Return the factor of `lr` at a step that counts from epoch 0.

    It rises linearly in the warm-up. Then it follows a cosine to 0, falls by `step_gamma` every `step_epochs` epochs
    (counted from epoch 0), or stays 1.
    """
    warmup = config.warmup_epochs * steps_per_epoch
    total = config.epochs * steps_per_epoch
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
    if config.schedule == "step":
        return config.step_gamma ** (step // (config.step_epochs * steps_per_epoch))
    return 1.0


def build_schedule(optimizer: torch.optim.Optimizer, config: OptimConfig, steps_per_epoch: int) -> LambdaLR:
    """Build the torch scheduler. It is to be stepped once per optimizer step, and begins at `start_epoch`."""
    done = config.start_epoch * steps_per_epoch
    return LambdaLR(optimizer, lambda step: lr_factor(config, done + step, steps_per_epoch))
