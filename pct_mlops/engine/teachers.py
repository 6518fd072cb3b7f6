"""Where the old model's outputs come from: a module, a table, or the new model's own past."""

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
    """The old model as training sees it. Called without gradients, under the training's autocast."""

    needs_images: bool

    def outputs(self, batch: Batch, new: ModelOutput) -> ModelOutput:
        """What the old model says of the batch, on its device. `new` [n, ...]: the model in training says that."""

    def learn(self, batch: Batch, new: ModelOutput) -> None:
        """What the model in training said, once for every example of an optimizer step; on all processes alike."""

    def state_dict(self) -> dict[str, Any]:
        """What a resume must bring back; empty, here and at every other time, where nothing changes."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from that."""


class Frozen:
    """What all teachers share that do not change."""

    def learn(self, batch: Batch, new: ModelOutput) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing."""


class ModuleTeacher(Frozen):
    """A module that returns ModelOutput: in evaluation mode, without gradients, on the view that the new model sees."""

    needs_images = True

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval().requires_grad_(False)

    def outputs(self, batch: Batch, new: ModelOutput | None = None) -> ModelOutput:
        """The module's outputs of the images [n, C, H, W]."""
        return self.module(batch.images)


class TableTeacher(Frozen):
    """Logits [N, C] that are known already, one row for each row of the split, whatever the view."""

    needs_images = False

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits.float()

    def outputs(self, batch: Batch, new: ModelOutput | None = None) -> ModelOutput:
        """Logits by `batch.index`, without features; PctError for mixed examples."""
        refuse_mixtures(batch, "known logits are")
        if self._logits.device != batch.index.device:
            self._logits = self._logits.to(batch.index.device)
        return ModelOutput(self._logits[batch.index])


class SelfEMA:
    """The exponential moving mean of the new model's own past logits of each training example.

    `bank` float32 [num_examples, num_classes], on the training device and in every checkpoint: 4 bytes a logit. It
    keeps `momentum` of what was there; the first logits of an example are taken whole. An example that was not seen
    yet is its own teacher: its distance is 0. Source: the original's logits memory bank.
    """

    needs_images = False

    def __init__(self, num_examples: int, num_classes: int, momentum: float) -> None:
        self.momentum = momentum
        self.bank = torch.zeros(num_examples, num_classes)
        self.seen = torch.zeros(num_examples, 1, dtype=torch.bool)

    def outputs(self, batch: Batch, new: ModelOutput) -> ModelOutput:
        """The bank's logits by `batch.index`, without features; PctError for mixed examples."""
        refuse_mixtures(batch, "a model's own past logits are")
        self._follow(new.logits.device)
        index = batch.index
        return ModelOutput(torch.where(self.seen[index], self.bank[index], new.logits.detach().float()))

    def learn(self, batch: Batch, new: ModelOutput) -> None:
        """Take in the logits of all processes: the next epoch shuffles the examples over them anew."""
        self._follow(new.logits.device)
        index, logits = gather((batch.index, new.logits.detach().float().contiguous()))
        mean = self.momentum * self.bank[index] + (1 - self.momentum) * logits
        self.bank[index] = torch.where(self.seen[index], mean, logits)
        self.seen[index] = True

    def state_dict(self) -> dict[str, Any]:
        """The bank, and which rows of it hold something."""
        return {"bank": self.bank, "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """RuntimeError when the shapes differ."""
        if state["bank"].shape != self.bank.shape:
            raise RuntimeError(f"the bank is {tuple(state['bank'].shape)}, not {tuple(self.bank.shape)}")
        self.bank.copy_(state["bank"])
        self.seen.copy_(state["seen"])

    def _follow(self, device: torch.device) -> None:
        if self.bank.device != device:
            self.bank, self.seen = self.bank.to(device), self.seen.to(device)


def refuse_mixtures(batch: Batch, which: str) -> None:
    """PctError for mixup and cutmix: nobody knows the old model's answer to a mixture without asking it."""
    if batch.soft is not None:
        raise ConfigError(
            f"mixup and cutmix show mixtures of two examples, and {which} of single ones: "
            "set data.augment.mixup and data.augment.cutmix to 0, or use a teacher that sees the images."
        )


def as_source(teacher: nn.Module | TeacherSource | None) -> TeacherSource | None:
    """A plain module as a teacher; anything else as it is."""
    return ModuleTeacher(teacher) if isinstance(teacher, nn.Module) else teacher
