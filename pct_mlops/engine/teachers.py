"""Defines the sources of the old model's outputs: a module, a table, or the new model's own past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from accelerate.utils import gather
from torch import Tensor, nn

from pct_mlops.errors import ConfigError
from pct_mlops.models import ModelOutput

if TYPE_CHECKING:
    from pct_mlops.data import Batch


class TeacherSource(Protocol):
    """The old model as training sees it. Its methods are called without gradients, under the training's autocast.

    `needs_images` says whether `outputs` reads the images of the batch.
    """

    needs_images: bool

    def outputs(self, batch: Batch, new: ModelOutput) -> ModelOutput:
        """Return the old model's outputs of the batch, on its device. `new` holds those of the model in training."""

    def learn(self, batch: Batch, new: ModelOutput) -> None:
        """Take in the new model's outputs. Called once for every example of an optimizer step, on all processes."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resume must restore: tensors, numbers and texts, in mappings, lists and tuples.

        It is always empty for a teacher that does not change.
        """

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""


class Frozen:
    """Base of all teachers that do not change: they learn nothing and have no state."""

    def learn(self, batch: Batch, new: ModelOutput) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class ModuleTeacher(Frozen):
    """Teacher that is a module and sees the same view as the new model, in evaluation mode and without gradients."""

    needs_images = True

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval().requires_grad_(False)

    def outputs(self, batch: Batch, new: ModelOutput | None = None) -> ModelOutput:
        """Return the module's outputs of the images [n, C, H, W]."""
        return self.module(batch.images)


class TableTeacher(Frozen):
    """Teacher that is a table of known logits [N, C], one row for each row of the split, whatever the view."""

    needs_images = False

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits.float()

    def outputs(self, batch: Batch, new: ModelOutput | None = None) -> ModelOutput:
        """Look up logits by `batch.index`, without features. Raises PctError for mixed examples."""
        refuse_mixtures(batch, "known logits are")
        if self._logits.device != batch.index.device:
            self._logits = self._logits.to(batch.index.device)
        return ModelOutput(self._logits[batch.index])


class SelfEMA:
    """Teacher that is the exponential moving mean of the new model's own past logits of each training example.

    `bank` float32 [num_examples, num_classes] lies on the training device and in every checkpoint, at 4 bytes a logit.
    An update keeps `momentum` of the old value, but the first logits of an example are taken whole. An example that was
    not seen yet is its own teacher, so its distance is 0. Source: the original's logits memory bank.
    """

    needs_images = False

    def __init__(self, num_examples: int, num_classes: int, momentum: float) -> None:
        self.momentum = momentum
        self.bank = torch.zeros(num_examples, num_classes)
        self.seen = torch.zeros(num_examples, 1, dtype=torch.bool)

    def outputs(self, batch: Batch, new: ModelOutput) -> ModelOutput:
        """Look up the bank's logits by `batch.index`, without features. Raises PctError for mixed examples."""
        refuse_mixtures(batch, "a model's own past logits are")
        self._follow(new.logits.device)
        index = batch.index
        return ModelOutput(torch.where(self.seen[index], self.bank[index], new.logits.detach().float()))

    def learn(self, batch: Batch, new: ModelOutput) -> None:
        """Take in the logits of all processes, because the next epoch deals the examples out to them afresh."""
        self._follow(new.logits.device)
        index, logits = gather((batch.index, new.logits.detach().float().contiguous()))
        mean = self.momentum * self.bank[index] + (1 - self.momentum) * logits
        self.bank[index] = torch.where(self.seen[index], mean, logits)
        self.seen[index] = True

    def state_dict(self) -> dict[str, Any]:
        """Return the bank, and which of its rows are filled."""
        return {"bank": self.bank, "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the bank, or raise RuntimeError when its shape is another one."""
        if state["bank"].shape != self.bank.shape:
            raise RuntimeError(f"the bank is {tuple(state['bank'].shape)}, not {tuple(self.bank.shape)}")
        self.bank.copy_(state["bank"])
        self.seen.copy_(state["seen"])

    def _follow(self, device: torch.device) -> None:
        if self.bank.device != device:
            self.bank, self.seen = self.bank.to(device), self.seen.to(device)


def refuse_mixtures(batch: Batch, which: str) -> None:
    """Raise PctError for mixup and cutmix: only the old model itself can predict a mixture, and it is not there.

    `which` names the outputs that are there instead, with their verb.
    """
    if batch.soft is not None:
        raise ConfigError(
            f"mixup and cutmix show mixtures of two examples, and {which} of single ones: "
            "set data.augment.mixup and data.augment.cutmix to 0, or use a teacher that sees the images."
        )


def as_source(teacher: nn.Module | TeacherSource | None) -> TeacherSource | None:
    """Wrap a plain module as a teacher. Return anything else as it is."""
    return ModuleTeacher(teacher) if isinstance(teacher, nn.Module) else teacher
