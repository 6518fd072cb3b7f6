"""The distance bct, which uses the old model's own classifier."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from pct_mlops.errors import ConfigError
from pct_mlops.losses.distance import DISTANCES, Binding, Distance

if TYPE_CHECKING:
    from pct_mlops.models.output import ModelOutput


@DISTANCES.register("bct")
@dataclass(frozen=True)
class BCT(Distance):
    """Backward-compatible training: cross-entropy of the old model's frozen classifier on the new model's features.

    CE(old_head(f_new[:, :D_old]), y), D_old the head's input width: Shen et al., CVPR 2020, arXiv 2003.11942.
    It is not zero where both models agree.
    `alpha` and `single_head` do not change the distance. They say which heads the trained model has, and a training
    reads them from here.

    Args:
        alpha: share of the old head in the logits of the finished model, 0 to 1: (1 - alpha) * own + alpha * old head.
        single_head: give the model no head of its own, so that its logits are those of the frozen old head.

    Example:
        >>> import torch
        >>> from pct_mlops import BCT, Binding, ModelOutput
        >>> head = torch.nn.Linear(3, 2)
        >>> distance = BCT().bind(Binding(num_classes=2, new_width=3, old_width=3, old_head=head))
        >>> output = ModelOutput(torch.zeros(1, 2), torch.ones(1, 3))
        >>> distance(output, output, torch.tensor([0])).shape
        torch.Size([1])
    """

    needs_features: ClassVar[bool] = True
    needs_old_head: ClassVar[bool] = True
    zero_at_equality: ClassVar[bool] = False
    _old_head: ClassVar[nn.Linear | None] = None

    alpha: float = Field(default=0.0, ge=0, le=1)
    single_head: bool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> BCT:
        if self.alpha and self.single_head:
            raise ValueError("alpha mixes two heads, and with single_head there is one: give one of them")
        return self

    def bind(self, binding: Binding) -> BCT:
        """Return a copy that owns a frozen copy of the old head.

        Raises:
            PctError: the teacher has no linear classifier, or one that reads more features than the new model has.
            ValueError: the old head does not have one row for each class.
        """
        head = binding.old_head
        if head is None:
            raise ConfigError(
                "The distance bct needs the teacher's own linear classifier, and this teacher has none: "
                "name a single model with a linear classifier in teacher.ref."
            )
        if binding.new_width < head.in_features:
            raise ConfigError(
                f"bct: the old classifier reads {head.in_features} features, but the new model has only "
                f"{binding.new_width}: set model.embedding_dim to {head.in_features} or more."
            )
        if head.out_features != binding.num_classes:
            raise ValueError(
                f"the old head has {head.out_features} rows for {binding.num_classes} classes: select them"
            )
        return self.owning(_old_head=copy.deepcopy(head).float().eval().requires_grad_(False))

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return float32 [N].

        Raise ValueError before `bind`, or when features or classes do not fit the old head.
        """
        if self._old_head is None:
            raise self.unbound()
        assert new.features is not None
        head = self._old_head.to(target.device)
        if new.features.shape[1] < head.in_features or new.logits.shape[1] != head.out_features:
            raise ValueError(
                f"features should be at least {head.in_features} wide and logits [N, {head.out_features}] for the old "
                f"head, but they are {tuple(new.features.shape)} and {tuple(new.logits.shape)}"
            )
        return functional.cross_entropy(head(new.features[:, : head.in_features]), target, reduction="none")
