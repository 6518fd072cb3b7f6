"""Runs the training loop. It takes objects and yields facts, and knows no files, names or servers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pct_mlops.config import OptimConfig
from pct_mlops.engine.checkpoint import Checkpoints, FitState
from pct_mlops.engine.finite import diverged
from pct_mlops.engine.progress import Progress
from pct_mlops.engine.setup import share_buffers
from pct_mlops.engine.step import Step, prepare
from pct_mlops.engine.teachers import TeacherSource
from pct_mlops.errors import ConfigError

if TYPE_CHECKING:
    from pct_mlops.data import Batch
    from pct_mlops.losses import Objective


LOSSES_AT_ONCE = 50  # steps after which the losses are read from the device


class EpochBatches(Protocol):
    """Interface that `fit` needs of a training loader: steps per epoch as `len()`, and the batches of an epoch."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]: ...  # noqa: D102


@dataclass(frozen=True)
class EpochResult:
    """Result of one finished epoch.

    `epoch` counts from 0, and `step` counts optimizer steps from epoch 0. `losses` has the mean loss of each optimizer
    step over all processes. `improved` says that the score is the best so far. `keep` says that this epoch's model is
    one to keep: every `epochs_per_save` epochs, and the last.
    """

    epoch: int
    step: int
    losses: tuple[float, ...]
    lr: float
    images_per_second: float
    score: float
    metrics: dict[str, float]
    improved: bool
    keep: bool = True


@dataclass
class EpochScore:
    """Result of an evaluation between epochs. The highest `score` selects the best epoch. NaN ends the training."""

    score: float
    metrics: dict[str, float]


def fit(
    model: nn.Module,
    objective: Objective,
    loader: EpochBatches,
    *,
    optim: OptimConfig,
    accelerator: Accelerator,
    evaluate: Callable[[nn.Module], EpochScore],
    teacher: nn.Module | TeacherSource | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    epochs_per_save: int = 1,
    on_start: Callable[[nn.Module], None] = lambda model: None,
    on_improved: Callable[[nn.Module, int], None] = lambda model, epoch: None,
) -> Iterator[EpochResult]:
    """Train `model` in place and yield one EpochResult an epoch, from optim.start_epoch on.

    The same seeds, data and number of processes give the same weights, also after a kill and a resume.

    Args:
        objective: the loss; its own module, if it has one, is trained and saved with the model.
        loader: yields this process's share of each global batch.
        evaluate: scores the model after each epoch.
        resume: go on from the newest of `checkpoints`, if there is one.
        on_start: called on every process before the first step of all, and not on a resume, to save initial weights.
        on_improved: called on every process after an epoch that is the best so far, before its checkpoint is written,
            so that a resume never misses the best model.

    Raises:
        PctError: no epoch is left to train, a checkpoint does not fit, or a loss, a weight or a score is not finite.
    """
    run = prepare(model, teacher, objective, num_steps=len(loader), optim=optim, accelerator=accelerator)
    state = _begin(run, checkpoints, resume)
    plain = accelerator.unwrap_model(run.model)
    if (state.epoch, state.step) == (optim.start_epoch, 0):
        on_start(plain)

    for epoch in range(state.epoch, optim.epochs):
        run.model.train()
        losses, speed = _run_epoch(run, loader, state, checkpoints)
        share_buffers(plain, accelerator)
        evaluation = _scored(run, plain, evaluate, epoch, len(loader))
        improved = evaluation.score > state.best_score
        if improved:
            state.best_epoch, state.best_score = epoch, evaluation.score
            on_improved(plain, epoch)
        state.epoch, state.step, state.losses = epoch + 1, 0, []
        if checkpoints is not None:
            checkpoints.save(run, state)
        yield EpochResult(
            epoch=epoch,
            step=(epoch + 1) * len(loader),
            losses=tuple(losses),
            lr=run.last_lr,
            images_per_second=speed,
            score=evaluation.score,
            metrics=evaluation.metrics,
            improved=improved,
            keep=(epoch + 1) % epochs_per_save == 0 or epoch + 1 == optim.epochs,
        )


def _scored(
    run: Step, plain: nn.Module, evaluate: Callable[[nn.Module], EpochScore], epoch: int, step: int
) -> EpochScore:
    """Return the score after an epoch, or raise TrainingError where the weights or the score are not finite."""
    run.weights.check(run.accelerator, epoch, step, run.last_lr)
    evaluation = evaluate(plain)
    if not math.isfinite(evaluation.score):
        raise diverged("the score was not finite after", epoch, step, run.last_lr)
    return evaluation


def _begin(run: Step, checkpoints: Checkpoints | None, resume: bool) -> FitState:
    """Return the state of the newest checkpoint on a resume, or else that of the first epoch."""
    optim = run.optim
    if optim.start_epoch >= optim.epochs:
        raise ConfigError(
            f"optim.start_epoch={optim.start_epoch} leaves none of optim.epochs={optim.epochs} to train: "
            "lower the one or raise the other."
        )
    found = checkpoints.load_latest(run) if checkpoints is not None and resume else None
    return found or FitState(epoch=optim.start_epoch)


def _run_epoch(
    run: Step, loader: EpochBatches, state: FitState, checkpoints: Checkpoints | None
) -> tuple[list[float], float]:
    """Run the steps of one epoch from `state.step` on. Return the mean loss of every step, and images per second."""
    every_steps = checkpoints.every_steps if checkpoints is not None else 0
    read_every = every_steps or LOSSES_AT_ONCE
    pending: list[Tensor] = []
    losses = list(state.losses)
    num_batches, start = len(loader) - state.step, state.step
    title = f"epoch {state.epoch + 1}/{run.optim.epochs}"
    with Progress(title, num_batches * run.optim.global_batch_size, run.accelerator.is_main_process) as bar:
        for step, batch in enumerate(loader.epoch(state.epoch, start), start=start + 1):
            pending.append(run(batch))
            bar.advance(run.optim.global_batch_size, pending[-1])
            # One transfer and one reduction for many steps: reading each loss at once would stall a GPU.
            if step == len(loader) or step % read_every == 0:
                losses += _mean_losses(run, pending, state.epoch, step)
                pending = []
                if checkpoints is not None and every_steps and step < len(loader):
                    run.weights.check(run.accelerator, state.epoch, step, run.last_lr)
                    state.step, state.losses = step, losses
                    checkpoints.save(run, state)
    return losses, bar.images_per_second


def _mean_losses(run: Step, pending: list[Tensor], epoch: int, step: int) -> list[float]:
    mean = run.accelerator.reduce(torch.stack(pending), reduction="mean").cpu()
    bad = (~torch.isfinite(mean)).nonzero()
    if len(bad):
        first = step - len(pending) + int(bad[0]) + 1
        raise diverged("the loss was not finite at", epoch, first, run.last_lr)
    return mean.tolist()
