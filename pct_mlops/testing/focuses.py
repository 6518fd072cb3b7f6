"""Checks of the properties that every focus must have."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pct_mlops.config import PctError
from pct_mlops.losses import Focus
from pct_mlops.models import ModelOutput
from pct_mlops.testing.outputs import WRONG_SHAPES, cast, made_by, make, refused, require, same, take


def check_focus(focus: Focus | Callable[[], Focus]) -> None:
    """Check a focus, or a class or function that gives one when it is called without arguments.

    Args:
        focus: An instance of `pct_mlops.losses.Focus`. One that declares `needs_index` must have rows 0 to 11.

    Raises:
        AssertionError: With a sentence that says which property does not hold.

    Example:
        >>> from pct_mlops.losses import FOCUSES
        >>> check_focus(FOCUSES.build({"name": "old_correct"}))
    """
    made: Focus = made_by(focus, Focus)
    for check in FOCUS_CHECKS:
        check(made)


def weigh(
    focus: Focus, new: ModelOutput, old: ModelOutput | None, target: Tensor, index: Tensor | None = None
) -> Tensor:
    """Return the weights. The index is 0, 1, ... where the focus needs one and none is given."""
    if not focus.needs_index:
        return focus(new, old, target)
    return focus(new, old, target, torch.arange(len(target)) if index is None else index)


def check_one_weight_per_sample(focus: Focus) -> None:
    """Check that half precision outputs give weights float32 [N] that are finite, >= 0 and without gradient."""
    new, old, target = make()
    weights = weigh(focus, cast(new, torch.float16), cast(old, torch.bfloat16), target)
    require(weights.shape == (12,), f"A focus must give one weight per example, [12], not {list(weights.shape)}.")
    require(weights.dtype == torch.float32, f"A focus must give float32, not {weights.dtype}.")
    require(weights.isfinite().all() and (weights >= 0).all(), "A focus must give finite weights >= 0.")
    require(not weights.requires_grad, "A focus must give no gradient: do not override __call__.")


def check_weights_follow_the_batch(focus: Focus) -> None:
    """Check that a permuted batch gives permuted weights.

    A focus with `across_samples` must only leave each class the weights that it has.
    """
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
    """Check that the same batch gives the same weights, as a resumed run needs."""
    new, old, target = make()
    same(
        weigh(focus, new, old, target),
        weigh(focus, new, old, target),
        "Called twice, a focus must give the same weights",
    )


def check_focus_refuses_unequal_shapes(focus: Focus) -> None:
    """Check that unequal shapes raise ValueError, and never broadcast silently."""
    for what, spoil in WRONG_SHAPES.items():
        with refused(ValueError, f"Unequal shapes must raise ValueError, and {what} did not."):
            weigh(focus, *spoil(*make()), index=torch.arange(12))


def check_focus_without_teacher(focus: Focus) -> None:
    """Check that it refuses to work without an old model if it needs one, and works without otherwise."""
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
