"""The training loop: objects in, facts out. It knows no files, names or servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pct_mlops.config import OptimConfig, PctError
from pct_mlops.engine.checkpoint import Checkpoints, FitState
from pct_mlops.engine.optim import build_optimizer, build_schedule
from pct_mlops.engine.progress import Progress
from pct_mlops.engine.setup import share_buffers, to_device

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
    """One finished epoch. `losses` has the mean loss of each optimizer step over all processes."""

    epoch: int
    step: int
    losses: tuple[float, ...]
    lr: float
    images_per_second: float
    score: float
    metrics: dict[str, float]
    improved: bool


@dataclass
class Evaluation:
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
    evaluate: Callable[[nn.Module], Evaluation],
    teacher: nn.Module | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    on_improved: Callable[[nn.Module, int], None] = lambda model, epoch: None,
) -> Iterator[EpochResult]:
    """Train `model` in place and yield one EpochResult an epoch.

    `loader` yields this process's share of each global batch. `on_improved(model, epoch)` runs on every process right
    after an epoch that selected itself, before its checkpoint is written, so that a resume never misses its best.
    The same seeds, data and number of processes give the same weights, also over a kill and a resume.
    Errors: PctError with step and learning rate when the loss stops being finite; the last checkpoint stays.
    """
    run = _prepare(model, teacher, objective, num_steps=len(loader), optim=optim, accelerator=accelerator)
    state = FitState()
    if checkpoints is not None:
        state = (checkpoints.load_latest(accelerator) if resume else None) or state

    read_every = LOSSES_AT_ONCE
    if checkpoints is not None and checkpoints.every_steps:
        read_every = checkpoints.every_steps

    def within_epoch(step: int, losses: list[float]) -> None:
        if checkpoints is not None and checkpoints.every_steps:
            state.step, state.losses = step, losses
            checkpoints.save(accelerator, state)

    for epoch in range(state.epoch, optim.epochs):
        run.model.train()
        losses, speed = _run_epoch(run, loader, state, read_every, within_epoch)
        plain = accelerator.unwrap_model(run.model)
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
        )


def _prepare(
    model: nn.Module,
    teacher: nn.Module | None,
    objective: Objective,
    *,
    num_steps: int,
    optim: OptimConfig,
    accelerator: Accelerator,
) -> _Step:
    """Everything on its device and wrapped for the processes; `num_steps` an epoch."""
    model = to_device(model, accelerator)
    optimizer = build_optimizer(model, optim)
    schedule = build_schedule(optimizer, optim, num_steps)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    # Not prepared: a prepared schedule steps once per process.
    accelerator.register_for_checkpointing(schedule)
    if teacher is not None:
        teacher = to_device(teacher, accelerator).eval().requires_grad_(False)
    return _Step(wrapped, teacher, objective, optimizer, schedule, optim, accelerator)


def _run_epoch(
    run: _Step,
    loader: EpochBatches,
    state: FitState,
    read_every: int,
    within_epoch: Callable[[int, list[float]], None],
) -> tuple[list[float], float]:
    """All steps of one epoch from `state.step` on; returns the mean loss of each step and images per second."""
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
                if step < len(loader):
                    within_epoch(step, losses)
    return losses, bar.images_per_second


def _mean_losses(run: _Step, pending: list[Tensor], epoch: int, step: int) -> list[float]:
    mean = run.accelerator.reduce(torch.stack(pending), reduction="mean").cpu()
    bad = (~torch.isfinite(mean)).nonzero()
    if len(bad):
        first = step - len(pending) + int(bad[0]) + 1
        raise PctError(
            f"Training diverged: the loss was not finite at epoch {epoch + 1}, step {first} (lr {run.last_lr:.3g}); "
            "lower optim.lr and start again, or resume from the last good checkpoint with --resume."
        )
    return mean.tolist()


@dataclass
class _Step:
    """One optimizer step over this process's share of a global batch."""

    model: nn.Module
    teacher: nn.Module | None
    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    optim: OptimConfig
    accelerator: Accelerator
    last_lr: float = 0.0

    def __call__(self, batch: Batch) -> Tensor:
        """Images [n, C_in, H, W], labels [n], index [n] -> this process's mean loss, a detached scalar."""
        parts, labels = self.optim.gradient_accumulation, batch.labels
        if len(labels) % parts:
            raise PctError(
                f"{len(labels)} examples per process do not divide into optim.gradient_accumulation={parts} parts: "
                "choose a number that divides them."
            )
        total = torch.zeros((), device=labels.device)
        pieces = zip(*(tensor.chunk(parts) for tensor in batch), strict=True)
        for part, (images, target, index) in enumerate(pieces, start=1):
            # Gradients are averaged over processes once per optimizer step, with its last part.
            with self.accelerator.no_sync(self.model) if part < parts else nullcontext():
                total += self._forward_backward(images, target, index) / parts
        self.last_lr = float(self.schedule.get_last_lr()[0])
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def _forward_backward(self, images: Tensor, target: Tensor, index: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        new = self.model(images)
        old = None
        if self.teacher is not None:
            with torch.no_grad(), self.accelerator.autocast():
                old = self.teacher(images)
        loss = self.objective(new, old, target, index=index).total
        self.accelerator.backward(loss / self.optim.gradient_accumulation)
        return loss.detach()
