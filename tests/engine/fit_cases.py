"""Small data, models and trainings that the tests here and their worker processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional

from pct_mlops.config import AugmentConfig, DataConfig, EngineConfig, ObjectiveConfig, OptimConfig
from pct_mlops.data import Batch, Split, TrainLoader, eval_loader, train_loader, view_loader
from pct_mlops.data.pixels import ArrayPixels
from pct_mlops.engine import (
    EpochResult,
    EpochScore,
    StoredOutputs,
    fit,
    make_accelerator,
    predict,
    seed_everything,
)
from pct_mlops.losses import build_objective
from pct_mlops.losses.objective import LossTerms
from pct_mlops.models import Architecture, Classifier, ModelOutput, build_model

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
        num_classes=len(CLASSES),
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )


def store(
    folder: Path, teacher: nn.Module, split: Split, accelerator: Accelerator, data: DataConfig, **options: Any
) -> StoredOutputs:
    """The teacher's outputs of all fixed views that `loader_for` shows."""

    def views(number: int) -> Any:
        return view_loader(
            split,
            data,
            number,
            batch_size=9,
            seed_data=2,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
        )

    size = {"num_views": data.views, "num_examples": len(split)}
    return StoredOutputs.build(folder, "key", teacher, views, **size, accelerator=accelerator, **options)


def logits_of(
    model: nn.Module, split: Split, accelerator: Accelerator, batch_size: int = 100, data: DataConfig = PLAIN
) -> Any:
    loader = eval_loader(
        split,
        data,
        batch_size=batch_size,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )
    return predict(model, loader, len(split), accelerator, image_shape=SHAPE)


def no_evaluation(model: nn.Module) -> EpochScore:
    return EpochScore(0.0, {})


def train(
    model: nn.Module, loader: Any, accelerator: Accelerator, optim: OptimConfig, loss: Any = "none", **options: Any
) -> list[EpochResult]:
    """All epochs of a fit, with no evaluation unless `options` brings one; `loss` names a preset or is an objective."""
    objective = build_objective(ObjectiveConfig(loss=loss)) if isinstance(loss, str) else loss
    options.setdefault("evaluate", no_evaluation)
    return list(fit(model, objective, loader, optim=optim, accelerator=accelerator, **options))


class Projecting:
    """An objective with a module of its own: CE plus the distance of projected features to their old projection."""

    def __init__(self, width: int, seed: int = 3, known: int | None = None) -> None:
        seed_everything(seed)
        self.module = nn.Sequential(nn.Linear(width, 6), nn.Linear(6, 5, bias=False))
        self.module[1].requires_grad_(False)
        self.module.register_buffer("steps", torch.zeros(()))
        self.known = known  # only examples of this class are compared

    def __call__(self, new: ModelOutput, old: Any, target: Tensor, **_: Any) -> LossTerms:
        self.module.steps += 1
        values = functional.cross_entropy(new.logits.float(), target, reduction="none")
        distance = torch.zeros_like(values)
        chosen = (torch.ones_like(target) if self.known is None else target == self.known).nonzero().flatten()
        if len(chosen):
            projected = self.module(new.features.float()[chosen])
            distance = distance.index_put((chosen,), (projected - 1).square().mean(dim=1))
        total = (values + distance).mean()
        return LossTerms(total, values, distance, torch.ones_like(values))


class SoftCrossEntropy:
    """An objective on mixed targets."""

    module = None

    def __call__(self, new: ModelOutput, old: Any, target: Tensor, *, soft: Tensor, **_: Any) -> LossTerms:
        values = functional.cross_entropy(new.logits.float(), soft, reduction="none")
        return LossTerms(values.mean(), values, torch.zeros_like(values), torch.ones_like(values))


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
