"""Focuses: weights that say which examples the distance to the old model counts more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from pct_mlops.config import Catalog
from pct_mlops.errors import ConfigError
from pct_mlops.losses.distance import OutputLike, as_output, check_shapes, check_targets, frozen
from pct_mlops.losses.weights import check_index, flat_weights

if TYPE_CHECKING:
    from pct_mlops.models.output import ModelOutput


class Focus(ABC):
    """Base of all focuses: one weight >= 0 per example, without gradient.

    `focus(new, old, target)` returns float32 [N]. It takes the same outputs and targets as a distance. A focus that
    declares `needs_index` is also given `index` int64 [N], the rows of the examples in the training split.
    Unequal shapes raise ValueError. A missing teacher raises PctError.
    A focus declares `across_samples` when an example's weight depends on the others in its batch. A permuted batch may
    then change the weights, but each class keeps the ones that it has.

    Example:
        >>> import torch
        >>> from pct_mlops import Focus
        >>> class Unsure(Focus):
        ...     def weigh(self, new, old, target, index):
        ...         return 1 - old.logits.softmax(dim=1).amax(dim=1)
        >>> Unsure()(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]))
        tensor([0.5000])
    """

    needs_index: ClassVar[bool] = False
    across_samples: ClassVar[bool] = False

    @property
    def needs_teacher(self) -> bool:
        """True when `old` must be given."""
        return True

    @torch.no_grad()
    def __call__(self, new: OutputLike, old: OutputLike | None, target: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the weight of each example, float32 [N]."""
        if self.needs_teacher and old is None:
            raise ConfigError(f"The focus {FOCUSES.name_of(self)} needs a teacher: name it in teacher.ref.")
        new, old = as_output(new), None if old is None else as_output(old)
        check_shapes(new, old, target)
        check_targets(target, new.logits.shape[1], part_optional=True)
        return self.weigh(frozen(new), frozen(new if old is None else old), target, index)

    @abstractmethod
    def weigh(self, new: ModelOutput, old: ModelOutput, target: Tensor, index: Tensor | None) -> Tensor:
        """Return float32 [N] from outputs of equal shapes."""


@dataclass(frozen=True)
class MaskFocus(Focus, ABC):
    """Focus that weighs each example by base + scale * 1[condition]."""

    base: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    scale: float = Field(default=5.0, ge=0, allow_inf_nan=False)

    def weigh(self, new: ModelOutput, old: ModelOutput, target: Tensor, index: Tensor | None) -> Tensor:
        """Return float32 [N]."""
        return self.base + self.scale * self.mask(new, old, target).float()

    @abstractmethod
    def mask(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return bool [N], true for the examples that weigh base + scale."""


FOCUSES: Catalog[Focus] = Catalog("focus", group="pct_mlops.focuses", produces=Focus)


def _right(output: ModelOutput, target: Tensor) -> Tensor:
    return output.logits.argmax(dim=1) == target


@FOCUSES.register("all")
@dataclass(frozen=True)
class AllExamples(MaskFocus):
    """The same weight for every example: base.

    Args:
        base: weight of every example, >= 0.
        scale: accepted, >= 0, so that all focuses take the same parameters, but added to no weight.

    Example:
        >>> import torch
        >>> from pct_mlops import AllExamples
        >>> logits = torch.tensor([[2.0, 0.0]])
        >>> AllExamples(base=1, scale=5)(logits, None, torch.tensor([0]))
        tensor([1.])
    """

    needs_teacher: ClassVar[bool] = False

    def mask(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return bool [N], false everywhere."""
        return torch.zeros_like(target, dtype=torch.bool)


@FOCUSES.register("old_correct")
@dataclass(frozen=True)
class OldCorrect(MaskFocus):
    """More weight where the old model is right: focal distillation (Yan et al., arXiv 2011.09161).

    Args:
        base: weight of every example, >= 0.
        scale: added to the weight where the old model is right, >= 0.

    Example:
        >>> import torch
        >>> from pct_mlops import OldCorrect
        >>> logits = torch.tensor([[2.0, 0.0]])
        >>> OldCorrect(base=1, scale=5)(-logits, logits, torch.tensor([0]))
        tensor([6.])
    """

    def mask(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return bool [N], true where the old model is right."""
        return _right(old, target)


@FOCUSES.register("neg_flip")
@dataclass(frozen=True)
class NegativeFlip(MaskFocus):
    """More weight on the negative flips of the model in training: the old model is right and the new one is wrong.

    Args:
        base: weight of every example, >= 0.
        scale: added to the weight on negative flips, >= 0.

    Example:
        >>> import torch
        >>> from pct_mlops import NegativeFlip
        >>> logits = torch.tensor([[2.0, 0.0]])
        >>> NegativeFlip(base=1, scale=5)(-logits, logits, torch.tensor([0]))
        tensor([6.])
    """

    def mask(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return bool [N], true on negative flips."""
        return _right(old, target) & ~_right(new, target)


@FOCUSES.register("new_incorrect")
@dataclass(frozen=True)
class NewIncorrect(MaskFocus):
    """More weight where the new model is wrong (MUSCLE, arXiv 2407.09435, table 7).

    Args:
        base: weight of every example, >= 0.
        scale: added to the weight where the new model is wrong, >= 0.

    Example:
        >>> import torch
        >>> from pct_mlops import NewIncorrect
        >>> logits = torch.tensor([[2.0, 0.0]])
        >>> NewIncorrect(base=1, scale=5)(logits, None, torch.tensor([0]))
        tensor([1.])
    """

    needs_teacher: ClassVar[bool] = False

    def mask(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return bool [N], true where the new model is wrong."""
        return ~_right(new, target)


@FOCUSES.register("shuffled")
@dataclass(frozen=True)
class Shuffled(MaskFocus):
    """Control experiment: the condition of another focus, permuted within each class.

    Each class keeps its number of examples that weigh more. If the other focus does better, the reason is *which*
    examples weigh more, not how many.

    Args:
        base: weight of every example, >= 0.
        scale: added to the weight where the permuted condition holds, >= 0.
        of: the focus to permute, as {name: old_correct}, without base and scale.
        seed: seed of the permutations, >= 0.
    """

    across_samples: ClassVar[bool] = True

    of: Any = Field(default_factory=lambda: {"name": "old_correct"}, validate_default=True)
    seed: int = Field(default=0, ge=0)

    @field_validator("of")
    @classmethod
    def _build(cls, spec: Any) -> MaskFocus:
        if not isinstance(spec, Mapping):
            raise ValueError("write the focus to shuffle as {name: old_correct}")
        if {"base", "scale"} & set(spec):
            raise ValueError("write base and scale beside 'of', not in it")
        focus = FOCUSES.build(spec)
        if not isinstance(focus, MaskFocus) or isinstance(focus, Shuffled):
            raise ValueError(f"the focus {spec['name']} has no condition of its own to shuffle")
        return focus

    @property
    def needs_teacher(self) -> bool:
        """True when the permuted focus needs a teacher."""
        return bool(self.of.needs_teacher)

    def mask(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return bool [N], true as often in each class as in the mask of the permuted focus."""
        original = self.of.mask(new, old, target)
        # Both orders list the classes alike and differ only within a class.
        in_batch_order = target.argsort(stable=True)
        keys = self._keys(original, target)
        by_key = keys.argsort()
        at_random = by_key[target[by_key].argsort(stable=True)]
        return torch.empty_like(original).scatter_(0, at_random, original[in_batch_order])

    def _keys(self, original: Tensor, target: Tensor) -> Tensor:
        # The permutation depends on the seed and on the batch, not on the number of calls. A resumed run, a second call
        # on the same batch and a run on another device therefore give the same weights, and no checkpoint has to hold
        # a counter. The generator lives on the CPU because devices draw different numbers from one seed. A control may
        # cost that one transfer a step.
        position = torch.arange(1, len(target) + 1, device=target.device)
        checksum = int((position * position * (2 * target + original.long() + 1)).sum())
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + checksum) % 2**63)
        return torch.rand(len(target), generator=generator).to(target.device)


@FOCUSES.register("likelihood")
@dataclass(frozen=True, config=ConfigDict(arbitrary_types_allowed=True))
class Likelihood(Focus):
    """One weight for each training example, from a table.

    The batch's `index` picks from the weights.

    Args:
        weights: numbers >= 0, float32 [number of training examples], in the order of the training split.
            `align_weights` brings a table by sample_id into this order.
    """

    needs_teacher: ClassVar[bool] = False
    needs_index: ClassVar[bool] = True

    weights: Any

    @field_validator("weights")
    @classmethod
    def _to_tensor(cls, values: Any) -> Tensor:
        return flat_weights(values, "training example")

    def weigh(self, new: ModelOutput, old: ModelOutput, target: Tensor, index: Tensor | None) -> Tensor:
        """Return float32 [N].

        Raise ValueError when `index` is missing or is not int64 [N].
        """
        index = check_index(index, target, "focus likelihood")
        return self.weights[index.to(self.weights.device)].to(target.device)
