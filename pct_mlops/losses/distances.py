"""Distances between logits: kl, l2, ldi, renyi, rce, ce."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional

from pct_mlops.errors import ConfigError
from pct_mlops.losses.distance import DISTANCES, Binding, Distance

if TYPE_CHECKING:
    from pct_mlops.models.output import ModelOutput


@DISTANCES.register("kl")
@dataclass(frozen=True)
class KL(Distance):
    """KL divergence of the old model's softened prediction from the new one's, times temperature squared.

    T^2 * KL(softmax(z_old / T) || softmax(z_new / T)): focal distillation, Yan et al., arXiv 2011.09161, FD-KL.

    Args:
        temperature: T > 0, which softens both predictions.

    Example:
        >>> import torch
        >>> from pct_mlops import KL
        >>> KL(temperature=1.0)(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
        tensor([0.4338])
    """

    temperature: float = Field(default=100.0, gt=0, allow_inf_nan=False)

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return float32 [N] by the one of two equal formulas that rounds less.

        T^2 multiplies rounding errors by 10,000 at the default temperature.
        """
        log_old = functional.log_softmax(old.logits / self.temperature, dim=1)
        log_new = functional.log_softmax(new.logits / self.temperature, dim=1)
        direct = functional.kl_div(log_new, log_old, reduction="none", log_target=True).sum(dim=1)

        # KL = log E_old[exp(d - E_old[d])] with d = (z_new - z_old) / T. For small d nothing large cancels in it, but
        # exp overflows for large d. The unused branch gets zeros so that its gradient stays finite.
        p_old = log_old.exp()
        difference = (new.logits - old.logits) / self.temperature
        centred = difference - (p_old * difference).sum(dim=1, keepdim=True)
        small = centred.detach().abs().amax(dim=1) < 1
        centred = torch.where(small[:, None], centred, torch.zeros_like(centred))
        near = torch.log1p((p_old * torch.expm1(centred)).sum(dim=1))
        return self.temperature**2 * torch.where(small, near, direct)


@DISTANCES.register("l2")
@dataclass(frozen=True)
class L2(Distance):
    """Half the squared difference of the logits, averaged over classes.

    1/2 mean_c (z_new - z_old)^2: logit matching, Yan et al., arXiv 2011.09161, FD-LM. The mean over classes keeps it
    from growing with their number.

    Example:
        >>> import torch
        >>> from pct_mlops import L2
        >>> L2()(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
        tensor([1.])
    """

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return float32 [N]."""
        return 0.5 * (new.logits - old.logits).square().mean(dim=1)


@DISTANCES.register("ldi")
@dataclass(frozen=True)
class LDI(Distance):
    """Logit differences beyond a margin, to the p-th power, averaged over classes.

    mean_c max(|z_new - z_old| - margin, 0)^p: logit difference inhibition, Zhao et al., arXiv 2205.06265.

    Args:
        margin: how far logits may be apart at no cost, >= 0.
        p: the power, >= 1.
        exclude_target: the target class contributes 0, but still counts in the mean.
        top_k: use only each example's own k classes of highest new logit, and take the mean over those k.
        one_sided: count only classes whose new logit is the higher one.
        relative_margin: divide differences by the example's highest old logit first.
        norm: use the p-norm over classes in place of the mean of p-th powers.

    Example:
        >>> import torch
        >>> from pct_mlops import LDI
        >>> LDI(margin=0.5)(torch.tensor([[2.5, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
        tensor([2.])
    """

    margin: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    p: float = Field(default=2.0, ge=1, allow_inf_nan=False)
    exclude_target: bool = False
    top_k: int | None = Field(default=None, ge=1)
    one_sided: bool = False
    relative_margin: bool = False
    norm: bool = False

    def bind(self, binding: Binding) -> LDI:
        """Return this distance.

        Raise PctError, before the first step, when top_k exceeds the number of classes.
        """
        self._check_top_k(binding.num_classes)
        return self

    def _check_top_k(self, num_classes: int) -> None:
        if self.top_k is not None and self.top_k > num_classes:
            raise ConfigError(f"ldi: top_k is {self.top_k}, but there are {num_classes} classes: lower top_k.")

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return float32 [N].

        Raise PctError when top_k exceeds the number of classes.
        """
        self._check_top_k(new.logits.shape[1])
        difference = new.logits - old.logits
        if self.relative_margin:
            difference = difference / _away_from_zero(old.logits.amax(dim=1, keepdim=True))
        excess = functional.relu((difference if self.one_sided else difference.abs()) - self.margin)
        if self.exclude_target:
            excess = excess.scatter(1, target[:, None], 0.0)
        if self.top_k is not None:
            excess = excess.gather(1, new.logits.topk(self.top_k, dim=1).indices)
        if self.norm:
            # vector_norm has gradient 0 at 0, where the derivative of sum^(1/p) would be infinite.
            return torch.linalg.vector_norm(excess, ord=self.p, dim=1)
        return excess.pow(self.p).mean(dim=1)


def _away_from_zero(values: Tensor, smallest: float = 1e-6) -> Tensor:
    """Move values closer to zero than `smallest` away to it, with their sign, so that they can divide."""
    return torch.where(values.abs() < smallest, torch.full_like(values, smallest).copysign(values), values)


@DISTANCES.register("renyi")
@dataclass(frozen=True)
class Renyi(Distance):
    """Renyi divergence of the old model's prediction from the new one's.

    log(sum_c p_old^alpha p_new^(1 - alpha)) / (alpha - 1): Renyi 1961, from the original code. alpha = 2 punishes
    classes to which the new model gives much less probability than the old one did.

    Args:
        alpha: the order, > 0 and not 1.
        reorder: sort the probabilities of both models first. Then only their sizes are compared, not which class has
            which.

    Example:
        >>> import torch
        >>> from pct_mlops import Renyi
        >>> Renyi()(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
        tensor([0.8676])
    """

    alpha: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    reorder: bool = False

    @field_validator("alpha")
    @classmethod
    def _not_one(cls, alpha: float) -> float:
        # The rounding error of float32 is divided by alpha - 1.
        if abs(alpha - 1) < 0.01:
            raise ValueError("stay at least 0.01 away from 1, whose limit is the distance kl with temperature 1")
        return alpha

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return float32 [N], computed from logarithms alone.

        A probability of 1e-50 to the power -1 does not fit into float32.
        """
        log_new, log_old = (functional.log_softmax(output.logits, dim=1) for output in (new, old))
        if self.reorder:
            log_new, log_old = log_new.sort(dim=1).values, log_old.sort(dim=1).values
        # p_old^alpha p_new^(1 - alpha) = p_old (p_old / p_new)^(alpha - 1): in this form equal models give exactly 0.
        log_sum = (log_old + (self.alpha - 1) * (log_old - log_new)).logsumexp(dim=1)
        # Without rounding the second term would be 0. It rounds as the first one does, and so takes away an error that
        # the division by alpha - 1 would enlarge.
        return (log_sum - log_old.logsumexp(dim=1)) / (self.alpha - 1)


@DISTANCES.register("rce")
@dataclass(frozen=True)
class RCE(Distance):
    """Retentive cross-entropy: that of the old model's logits, with the new model's logit in the target's place.

    CE(z, y) with z = z_old but z_y = z_new,y: only the new model's logit of the target is trained, against the old
    model's logits of the other classes. From the original code. It is not zero where both models agree.

    Args:
        two_heads: add the mirror image, CE of z_new with the old model's logit in the target's place.

    Example:
        >>> import torch
        >>> from pct_mlops import RCE
        >>> RCE()(torch.tensor([[2.0, 9.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([0]))
        tensor([0.6931])
    """

    zero_at_equality: ClassVar[bool] = False

    two_heads: bool = False

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return float32 [N]."""
        value = self._one_head(old.logits, new.logits, target)
        return value + self._one_head(new.logits, old.logits, target) if self.two_heads else value

    @staticmethod
    def _one_head(others: Tensor, of_target: Tensor, target: Tensor) -> Tensor:
        at = target[:, None]
        return functional.cross_entropy(others.scatter(1, at, of_target.gather(1, at)), target, reduction="none")


@DISTANCES.register("ce")
@dataclass(frozen=True)
class CE(Distance):
    """Cross-entropy of the new model, for re-weighting alone.

    With focus old_correct it is the naive baseline of Yan et al., arXiv 2011.09161. It does not use the old model, so
    it is not zero where both agree.

    Example:
        >>> import torch
        >>> from pct_mlops import CE
        >>> CE()(torch.tensor([[2.0, 2.0]]), None, torch.tensor([0]))
        tensor([0.6931])
    """

    needs_teacher: ClassVar[bool] = False
    zero_at_equality: ClassVar[bool] = False

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: Tensor) -> Tensor:
        """Return float32 [N]."""
        return functional.cross_entropy(new.logits, target, reduction="none")
