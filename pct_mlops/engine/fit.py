"""The training loop: objects in, facts out. It knows no files, names or servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pct_mlops.config import OptimConfig
from pct_mlops.engine.checkpoint import Checkpoints, FitState
from pct_mlops.engine.progress import Progress
from pct_mlops.engine.setup import share_buffers
from pct_mlops.engine.step import Step, prepare
from pct_mlops.engine.teachers import TeacherSource
from pct_mlops.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from pct_mlops.data import Batch
    from pct_mlops.losses import Objective


LOSSES_AT_ONCE = 50  # steps between two looks at the losses


class EpochBatches(Protocol):
    """What `fit` needs of a training loader."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]: ...  # noqa: D102


@dataclass(frozen=True)
class EpochResult:
    """One finished epoch. `losses` has the mean loss of each optimizer step over all processes.

    `keep` says that this epoch's model is one to keep: every `epochs_per_save` epochs, and the last.
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
    """What an evaluation between epochs says: `score` selects the best epoch, higher is better."""

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

    `loader` yields this process's share of each global batch. The objective's own module, if it has one, is trained
    and saved with the model. `on_start(model)` runs on every process when everything is in its place and no step is
    done, and not on a resume, whose start is long past: the one moment to save initial weights.
    `on_improved(model, epoch)` runs on every process right after an epoch that selected itself, before its checkpoint
    is written, so that a resume never misses its best.
    The same seeds, data and number of processes give the same weights, also over a kill and a resume.
    Errors: PctError with step and learning rate when the loss stops being finite; the last checkpoint stays.
    """
    run = prepare(model, teacher, objective, num_steps=len(loader), optim=optim, accelerator=accelerator)
    state = _begin(checkpoints, resume, optim, accelerator)
    plain = accelerator.unwrap_model(run.model)
    if (state.epoch, state.step) == (optim.start_epoch, 0):
        on_start(plain)

    for epoch in range(state.epoch, optim.epochs):
        run.model.train()
        losses, speed = _run_epoch(run, loader, state, checkpoints)
        share_buffers(plain, accelerator)
        evaluation = evaluate(plain)
        improved = evaluation.score > state.best_score
        if improved:
            state.best_epoch, state.best_score = epoch, evaluation.score
            on_improved(plain, epoch)
        state.epoch, state.step, state.losses = epoch + 1, 0, []
        if checkpoints is not None:
            checkpoints.save(accelerator, state)
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


def _begin(checkpoints: Checkpoints | None, resume: bool, optim: OptimConfig, accelerator: Accelerator) -> FitState:
    """Where the last checkpoint stands, else at the first epoch."""
    if optim.start_epoch >= optim.epochs:
        raise ConfigError(
            f"optim.start_epoch={optim.start_epoch} leaves none of optim.epochs={optim.epochs} to train: "
            "lower the one or raise the other."
        )
    found = checkpoints.load_latest(accelerator) if checkpoints is not None and resume else None
    return found or FitState(epoch=optim.start_epoch)


def _run_epoch(
    run: Step, loader: EpochBatches, state: FitState, checkpoints: Checkpoints | None
) -> tuple[list[float], float]:
    """All steps of one epoch from `state.step` on; returns the mean loss of each step and images per second."""
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
            # One transfer and one reduction for many steps: reading each loss as it comes would stall a GPU.
            if step == len(loader) or step % read_every == 0:
                losses += _mean_losses(run, pending, state.epoch, step)
                pending = []
                if checkpoints is not None and every_steps and step < len(loader):
                    state.step, state.losses = step, losses
                    checkpoints.save(run.accelerator, state)
    return losses, bar.images_per_second


def _mean_losses(run: Step, pending: list[Tensor], epoch: int, step: int) -> list[float]:
    mean = run.accelerator.reduce(torch.stack(pending), reduction="mean").cpu()
    bad = (~torch.isfinite(mean)).nonzero()
    if len(bad):
        first = step - len(pending) + int(bad[0]) + 1
        raise TrainingError(
            f"Training diverged: the loss was not finite at epoch {epoch + 1}, step {first} (lr {run.last_lr:.3g}); "
            "lower optim.lr and start again, or resume from the last good checkpoint with --resume."
        )
    return mean.tolist()
