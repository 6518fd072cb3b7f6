"""What must hold of every focus, whatever it weighs by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pct_mlops.config import PctError
from pct_mlops.losses import Focus
from pct_mlops.models import ModelOutput
from pct_mlops.testing.outputs import WRONG_SHAPES, cast, made_by, make, refused, require, same, take, title


def check_focus(focus: Focus | Callable[[], Focus]) -> None:
    """Check a focus, or what gives one when it is called without arguments, such as its class.

    Args:
        focus: An instance of `pct_mlops.losses.Focus`. One that declares `needs_index` must know rows 0 to 11.

    Raises:
        AssertionError: With a sentence that says which property does not hold.

    Example:
        >>> from pct_mlops.losses import FOCUSES
        >>> check_focus(FOCUSES.build({"name": "old_correct"}))
    """
    made = as_focus(focus)
    for check in FOCUS_CHECKS:
        check(made)


def as_focus(focus: object) -> Focus:
    """The instance itself, or the one that a factory gives."""
    made = made_by(focus)
    require(
        isinstance(made, Focus),
        f"A focus must be an instance of pct_mlops.losses.Focus, and {title(focus)} gives {title(made)}.",
    )
    return made


def weigh(
    focus: Focus, new: ModelOutput, old: ModelOutput | None, target: Tensor, index: Tensor | None = None
) -> Tensor:
    """The weights, with the rows 0, 1, ... as index where the focus asks for one."""
    if not focus.needs_index:
        return focus(new, old, target)
    return focus(new, old, target, torch.arange(len(target)) if index is None else index)


def check_one_weight_per_sample(focus: Focus) -> None:
    """Float32 [N], finite, >= 0, without gradient, also of half precision outputs."""
    new, old, target = make()
    weights = weigh(focus, cast(new, torch.float16), cast(old, torch.bfloat16), target)
    require(weights.shape == (12,), f"A focus must give one weight per sample, [12], not {list(weights.shape)}.")
    require(weights.dtype == torch.float32, f"A focus must give float32, not {weights.dtype}.")
    require(weights.isfinite().all() and (weights >= 0).all(), "A focus must give finite weights >= 0.")
    require(not weights.requires_grad, "A focus must give no gradient: do not override __call__.")


def check_weights_follow_the_batch(focus: Focus) -> None:
    """A permuted batch gives permuted weights; of one that depends on other samples, each class keeps its own."""
    new, old, target = make()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    moved = weigh(focus, take(new, order), take(old, order), target[order], order)
    weights = weigh(focus, new, old, target)
    if not focus.across_samples:
        same(moved, weights[order], "A permuted batch must give the permuted weights, or set across_samples to True")
        return
    for label in target.unique():
        one, other = moved[target[order] == label], weights[target == label]
        same(one.sort().values, other.sort().values, "A permuted batch must leave each class the weights that it has")


def check_weights_are_repeatable(focus: Focus) -> None:
    """The same batch has the same weights, in a resumed run too."""
    new, old, target = make()
    same(weigh(focus, new, old, target), weigh(focus, new, old, target), "Called twice, a focus must say the same")


def check_focus_refuses_unequal_shapes(focus: Focus) -> None:
    """ValueError, never a silent broadcast."""
    for what, spoil in WRONG_SHAPES.items():
        with refused(ValueError, f"Unequal shapes must raise ValueError, and {what} did not."):
            weigh(focus, *spoil(*make()), index=torch.arange(12))


def check_focus_without_teacher(focus: Focus) -> None:
    """It asks for an old model where it says that it needs one, and does without otherwise."""
    new, _, target = make()
    if focus.needs_teacher:
        with refused(PctError, "A missing old model must raise PctError, or set needs_teacher to False."):
            weigh(focus, new, None, target)
    else:
        require(
            weigh(focus, new, None, target).shape == (12,), "Without needs_teacher it must do without an old model."
        )


FOCUS_CHECKS: tuple[Callable[[Focus], None], ...] = (
    check_one_weight_per_sample,
    check_weights_follow_the_batch,
    check_weights_are_repeatable,
    check_focus_refuses_unequal_shapes,
    check_focus_without_teacher,
)
