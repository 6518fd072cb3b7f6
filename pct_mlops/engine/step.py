"""Prepares the model, the teacher and the optimiser for training, and takes one optimizer step."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from pct_mlops.config import OptimConfig
from pct_mlops.engine.finite import FiniteWeights
from pct_mlops.engine.optim import build_optimizer, build_schedule
from pct_mlops.engine.setup import to_device
from pct_mlops.engine.teachers import ModuleTeacher, TeacherSource, as_source
from pct_mlops.errors import ConfigError

if TYPE_CHECKING:
    from pct_mlops.data import Batch
    from pct_mlops.losses import Objective


@dataclass
class Step:
    """One optimizer step over this process's share of a global batch.

    `module` holds the objective's own trainable parts, which belong to no model. It is None if there are none.
    """

    model: nn.Module
    teacher: TeacherSource | None
    objective: Objective
    module: nn.Module | None
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    optim: OptimConfig
    accelerator: Accelerator
    weights: FiniteWeights
    last_lr: float = 0.0

    def __call__(self, batch: Batch) -> Tensor:
        """Take one optimizer step on a batch of n examples and return this process's mean loss, a detached scalar."""
        parts, labels = self.optim.gradient_accumulation, batch.labels
        if len(labels) % parts:
            raise ConfigError(
                f"{len(labels)} examples per process do not divide into optim.gradient_accumulation={parts} parts: "
                "choose a number that divides them."
            )
        total = torch.zeros((), device=labels.device)
        for number, part in enumerate(batch.chunk(parts), start=1):
            # Gradients are averaged over processes once per optimizer step, with its last part.
            with self.accelerator.no_sync(self.model) if number < parts else nullcontext():
                total += self._forward_backward(part) / parts
        if self.module is not None:
            average_gradients(self.module, self.accelerator)
        self.last_lr = float(self.schedule.get_last_lr()[0])
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def _forward_backward(self, batch: Batch) -> Tensor:
        batch = batch._replace(images=batch.images.contiguous(memory_format=torch.channels_last))
        try:
            new = self.model(batch.images)
        except ValueError as error:
            if (found := batch_of_one(error)) is None:
                raise
            raise found from error
        old = None
        if self.teacher is not None:
            with torch.no_grad(), self.accelerator.autocast():
                old = self.teacher.outputs(batch, new)
        soft = {} if batch.soft is None else {"soft": batch.soft}
        loss = self.objective(new, old, batch.labels, index=batch.index, **soft).total
        self.accelerator.backward(loss / self.optim.gradient_accumulation)
        if self.teacher is not None:
            with torch.no_grad():
                self.teacher.learn(batch, new)
        return loss.detach()


def prepare(
    model: nn.Module,
    teacher: nn.Module | TeacherSource | None,
    objective: Objective,
    *,
    num_steps: int,
    optim: OptimConfig,
    accelerator: Accelerator,
) -> Step:
    """Return a Step whose parts are on their device and wrapped for the processes.

    `num_steps` is the number of optimizer steps of an epoch.
    """
    if accelerator._models:  # one accelerator may serve several trainings: let go of the model of the one before
        accelerator.free_memory()
    model = to_device(model, accelerator)
    module: nn.Module | None = getattr(objective, "module", None)
    if module is not None:
        module = module.to(accelerator.device)
        share_state(module, accelerator)
    optimizer = build_optimizer(model, optim, *([] if module is None else [module]))
    schedule = build_schedule(optimizer, optim, num_steps)
    # The schedule is not prepared, because a prepared one steps once per process.
    weights = FiniteWeights(*(part for part in (model, module) if part is not None))
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    source = as_source(teacher)
    if isinstance(source, ModuleTeacher):
        source.module = to_device(source.module, accelerator)
    return Step(wrapped, source, objective, module, optimizer, schedule, optim, accelerator, weights)


def batch_of_one(error: ValueError) -> ConfigError | None:
    """Return the error for a batch of one example that BatchNorm cannot average, None for any other ValueError."""
    if "more than 1 value per channel" not in str(error):
        return None
    return ConfigError(
        "BatchNorm cannot train on one example at a time: raise optim.global_batch_size, or lower "
        "optim.gradient_accumulation or the number of processes, so that each has two or more."
    )


def share_state(module: nn.Module, accelerator: Accelerator) -> None:
    """Give every process the main process's weights and buffers, as DistributedDataParallel does for the model."""
    if accelerator.num_processes > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            broadcast(tensor.data)


def average_gradients(module: nn.Module, accelerator: Accelerator) -> None:
    """Average the gradients over all processes, in one transfer. A parameter without a gradient gets 0 first.

    A parameter may take part on some processes only, for instance if the others have no example of a known class. But
    all processes must send the same tensors.
    """
    gradients: list[Tensor] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    if not gradients or accelerator.num_processes == 1:
        return
    mean = accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduction="mean")
    for gradient, part in zip(gradients, mean.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
