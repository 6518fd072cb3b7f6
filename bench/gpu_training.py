"""Trains one model of the study of updates, through the library's own models, objectives, loaders and `fit`.

These keep the data set on the device, cut and mirror whole batches there, lay images out channels last, and compute in
bf16 on a GPU.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from study_plan import OLD, Row, Settings, Training, old_folder
from torch import nn

from pct_mlops.config import AugmentConfig, DataConfig, EngineConfig, ObjectiveConfig, OptimConfig
from pct_mlops.data import Splits, eval_loader, load_data, train_loader
from pct_mlops.engine import EpochScore, fit, make_accelerator, predict, seed_everything
from pct_mlops.losses import Binding, build_objective
from pct_mlops.metrics import negative_flip_rate, positive_flip_rate
from pct_mlops.models import (
    Architecture,
    Classifier,
    Ensemble,
    build_model,
    grow_classifier,
    load_classifier,
    load_weights_into,
    save_classifier,
)

EVAL_BATCH = 1000


@dataclass(frozen=True)
class Study:
    """Settings of the trainings, and what does not change their numbers: where and how they run."""

    settings: Settings
    output: Path
    data: Path | None
    cpu: bool
    compiled: bool
    deadline: float  # on the clock of time.time(), which all processes share


def train(training: Training, study: Study) -> Row | None:
    """Train one model, evaluate it on test and return its row. Return None when the time is up before its end.

    An old model is saved. The other trainings of its change read it, as teacher or start, and count flips against it.
    """
    settings = study.settings
    splits = load_splits(study.data, settings.images, training.share)
    accelerator = accelerator_of(study.cpu, settings.precision)
    began = time.time()
    seed_everything(training.seed)
    model = new_model(settings, splits, settings.wider if training.is_wide else settings.width)
    old = None if training.method == OLD else load_classifier(old_folder(study.output, training.change))
    if old is not None and training.how.starts:
        start_from(model, old, training.seed)
    if not fitted(model, old, training, splits, study):
        return None
    target, new = splits.test.labels.numpy(), logits_of(model, splits, study.data, accelerator)
    accuracy, nfr, pfr = float((new.argmax(axis=1) == target).mean()), None, None
    if old is None:
        save_classifier(model, old_folder(study.output, training.change))
    else:
        before = logits_of(old, splits, study.data, accelerator)
        nfr, pfr = negative_flip_rate(before, new, target), positive_flip_rate(before, new, target)
    seconds = round(time.time() - began, 2)
    return Row(*training, training.epochs(settings), accuracy, nfr, pfr, seconds)


def fitted(model: Classifier, old: Classifier | None, training: Training, splits: Splits, study: Study) -> bool:
    """Train the model in study. Return False when the time is up before its last epoch.

    Val is not looked at: the last epoch counts.
    """
    settings = study.settings
    accelerator = accelerator_of(study.cpu, settings.precision)
    objective = build_objective(ObjectiveConfig.model_validate(training.how.objective))
    teacher = None
    if old is not None and objective.needs_teacher:
        teacher = Ensemble([old], [1.0], splits.class_names)
        objective = objective.bind(Binding(len(splits.class_names), model.num_features, old.num_features))
    optim = optim_config(settings, training.epochs(settings))
    loader = train_loader(
        splits.train,
        data_config(study.data),
        global_batch_size=settings.batch,
        seed_sampler=training.seed,
        seed_data=0,
        device=accelerator.device,
    )
    if study.compiled:
        model.compile()
    for done in fit(
        model,
        objective,
        loader,
        optim=optim,
        accelerator=accelerator,
        evaluate=lambda trained: EpochScore(0.0, {}),
        teacher=teacher,
    ):
        if time.time() > study.deadline and done.epoch + 1 < optim.epochs:
            return False
    return True


@lru_cache
def accelerator_of(cpu: bool, precision: str) -> Accelerator:
    """Return the accelerator of this process, always the same one."""
    if not cpu:
        torch.backends.cudnn.benchmark = True  # all batches have the same shape
    return make_accelerator(EngineConfig(cpu=cpu, mixed_precision=precision))


@lru_cache
def load_splits(folder: Path | None, images: int, share: float) -> Splits:
    """Load Fashion-MNIST with a share of its training data. With `images`, use at most so many of train and of test."""
    config = data_config(folder)
    if share < 1 or images:
        whole = len(load_data(config, 0).train)
        config = config.model_copy(update={"train_fraction": share * min(images or whole, whole) / whole})
    splits = load_data(config, 0)
    rows = np.arange(min(images or len(splits.test), len(splits.test)))
    return replace(splits, test=splits.test.select(rows))


def data_config(folder: Path | None) -> DataConfig:
    """Return the data section of a recipe, with the demo's crop and flip."""
    return DataConfig(name="fashion_mnist", root=folder, augment=AugmentConfig(crop="pad", padding=2, flip=True))


def optim_config(settings: Settings, epochs: int) -> OptimConfig:
    """Return SGD with a cosine, and a warm-up over a twentieth of the epochs. `lr` is meant for batches of 128."""
    return OptimConfig(
        lr=settings.lr,
        reference_batch=128,
        global_batch_size=settings.batch,
        nesterov=True,
        epochs=epochs,
        warmup_epochs=epochs / 20,
    )


def new_model(settings: Settings, splits: Splits, width: int) -> Classifier:
    """Build the network with random weights."""
    return build_model(
        Architecture(
            name=settings.arch,
            kwargs={"width": width, "stem_stride": settings.stem_stride},
            class_names=splits.class_names,
            image_shape=splits.image_shape,
            mean=splits.mean,
            std=splits.std,
        )
    )


def start_from(model: Classifier, old: Classifier, seed: int) -> None:
    """Give the model the old one's weights, or the old one's function where the model is larger."""
    if model.architecture == old.architecture:
        load_weights_into(model, old.state_dict(), "the old model")
    else:
        grow_classifier(model, old, generator=torch.Generator().manual_seed(seed))


def logits_of(model: nn.Module, splits: Splits, folder: Path | None, accelerator: Accelerator) -> np.ndarray:
    """Return the logits on test, float32 [N, C]."""
    loader = eval_loader(splits.test, data_config(folder), batch_size=EVAL_BATCH, device=accelerator.device)
    return predict(model, loader, len(splits.test), accelerator, image_shape=splits.image_shape)
