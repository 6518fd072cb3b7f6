"""Small data, models and trainings that the tests here and their worker processes share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from pct_mlops.config import AugmentConfig, DataConfig, EngineConfig, ObjectiveConfig, OptimConfig
from pct_mlops.data import Batch, Split, TrainLoader, eval_loader, train_loader
from pct_mlops.data.pixels import ArrayPixels
from pct_mlops.engine import EpochResult, Evaluation, fit, make_accelerator, predict, seed_everything
from pct_mlops.losses import build_objective
from pct_mlops.models import Architecture, Classifier, build_model

CLASSES = ("left", "middle", "right", "none")
SHAPE = (1, 10, 10)
DATA = DataConfig(num_workers=0, augment=AugmentConfig(crop="pad", padding=2, flip=True))
PLAIN = DataConfig(num_workers=0, augment=AugmentConfig(crop="none", flip=False))


def make_split(n: int, name: str = "train") -> Split:
    """n noisy images whose brighter third of columns is the label."""
    random = torch.Generator().manual_seed(n)
    images = torch.randint(0, 160, (n, *SHAPE), generator=random, dtype=torch.uint8)
    labels = torch.randint(len(CLASSES), (n,), generator=random)
    for third in range(3):
        images[labels == third, :, :, 3 * third : 3 * third + 4] += 90
    return Split(name, [f"{name}/{row:06d}" for row in range(n)], labels, ArrayPixels(images))


def make_model(seed: int = 0, *, norm: str = "group", width: int = 8, dropout: float = 0.0) -> Classifier:
    seed_everything(seed)
    model = build_model(
        Architecture(
            name="small_resnet8",
            kwargs={"width": width, "norm": norm},
            class_names=CLASSES,
            image_shape=SHAPE,
            mean=(0.4,),
            std=(0.25,),
        )
    )
    if dropout:
        model.backbone = nn.Sequential(model.backbone, nn.Dropout(dropout))
    return model


def cpu(**engine: Any) -> Accelerator:
    return make_accelerator(EngineConfig(cpu=True, **engine))


def loader_for(split: Split, accelerator: Accelerator, optim: OptimConfig, data: DataConfig = DATA) -> TrainLoader:
    return train_loader(
        split,
        data,
        global_batch_size=optim.global_batch_size,
        seed_sampler=1,
        seed_data=2,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )


def logits_of(model: nn.Module, split: Split, accelerator: Accelerator, batch_size: int = 100) -> Any:
    loader = eval_loader(
        split,
        PLAIN,
        batch_size=batch_size,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )
    return predict(model, loader, len(split), accelerator, image_shape=SHAPE)


def no_evaluation(model: nn.Module) -> Evaluation:
    return Evaluation(0.0, {})


def train(
    model: nn.Module, loader: Any, accelerator: Accelerator, optim: OptimConfig, loss: str = "none", **options: Any
) -> list[EpochResult]:
    """All epochs of a fit, with no evaluation unless `options` brings one."""
    objective = build_objective(ObjectiveConfig(loss=loss))
    options.setdefault("evaluate", no_evaluation)
    return list(fit(model, objective, loader, optim=optim, accelerator=accelerator, **options))


class Watched:
    """A loader that calls `before(epoch, step)` ahead of every batch; both count from 0."""

    def __init__(self, loader: Any, before: Any) -> None:
        self.loader, self.before = loader, before

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        for step, batch in enumerate(self.loader.epoch(epoch, start_step), start=start_step):
            replaced = self.before(epoch, step)
            yield batch if replaced is None else batch._replace(**replaced)
