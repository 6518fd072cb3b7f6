"""Checks of the properties that every distance must have."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pct_mlops.config import PctError
from pct_mlops.losses import Distance
from pct_mlops.models import ModelOutput
from pct_mlops.testing.outputs import (
    WRONG_SHAPES,
    bound,
    cast,
    gradients,
    made_by,
    make,
    parts,
    refused,
    require,
    same,
    take,
)

FINITE = "must be finite: look for a division, logarithm or square root of zero, and for values that overflow"


def check_distance(distance: Distance | Callable[[], Distance]) -> None:
    """Check a distance, or a class or function that gives one when it is called without arguments.

    Args:
        distance: An instance of `pct_mlops.losses.Distance` that is not bound: the checks bind it to random models.

    Raises:
        AssertionError: With a sentence that says which property does not hold.

    Example:
        >>> from pct_mlops.losses import LDI
        >>> check_distance(LDI(margin=0.1))
    """
    made: Distance = made_by(distance, Distance)
    for check in DISTANCE_CHECKS:
        check(made)


def check_one_finite_number_per_sample(distance: Distance) -> None:
    """Check that values are float32 [N], finite, not negative, and not all zero for two different models."""
    new, old, target = make()
    value = bound(distance, new, old)(new, old, target)
    require(value.shape == (12,), f"The distance must be one number per example, [12], and it is {list(value.shape)}.")
    require(value.dtype == torch.float32, f"The distance must be float32, and it is {value.dtype}.")
    require(value.isfinite().all(), f"The distance {FINITE}.")
    require((value >= -1e-5).all(), "The distance must not be negative.")
    require(value.detach().sum() > 0, "A distance that is zero on different models teaches nothing.")


def check_equal_models(distance: Distance) -> None:
    """Check value and gradient of a model to itself: finite, and zero where `zero_at_equality` says so."""
    new, _, target = make()
    value = bound(distance, new, new)(new, new, target)
    found = gradients(value, new)
    require(all(gradient.isfinite().all() for gradient in found), f"The gradient at equal models {FINITE}.")
    if distance.zero_at_equality:
        advice = "or set zero_at_equality to False"
        same(value, torch.zeros(12), f"The distance of a model to itself must be 0, {advice}", atol=1e-6)
        for gradient in found:
            zero = torch.zeros_like(gradient)
            same(gradient, zero, f"Its gradient at equal models must be 0, {advice}", atol=1e-4)


def check_permutation(distance: Distance) -> None:
    """Check that the order of the batch does not matter."""
    new, old, target = make()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    ready = bound(distance, new, old)
    moved = ready(take(new, order), take(old, order), target[order])
    sentence = "A permuted batch must give the permuted distances"
    same(moved, ready(new, old, target)[order], sentence, rtol=1e-4, atol=1e-4)


def check_repeatable(distance: Distance) -> None:
    """Check that the same batch gives the same values."""
    new, old, target = make()
    ready = bound(distance, new, old)
    same(ready(new, old, target), ready(new, old, target), "Called twice, the distance must give the same values")


def check_gradient_reaches_new_alone(distance: Distance) -> None:
    """Check that a finite gradient reaches the new model, and none the old one."""
    new, old, target = make()
    value = bound(distance, new, old)(new, old, target)
    require(value.requires_grad, "The distance must be differentiable by the new model's outputs.")
    require(not gradients(value, old), "No gradient may reach the old model: do not override __call__.")
    found = gradients(bound(distance, new, old)(new, old, target), new)
    require(all(gradient.isfinite().all() for gradient in found), f"The gradient {FINITE}.")
    require(sum(float(gradient.abs().sum()) for gradient in found) > 0, "The gradient must not be zero everywhere.")


def check_gradient_is_the_slope(distance: Distance) -> None:
    """Check the gradient against differences of the value along a random direction, up to rounding."""
    new, old, target = make()
    ready = bound(distance, new, old)
    value = ready(new, old, target)
    require(value.requires_grad, "The distance must be differentiable by the new model's outputs.")
    found = torch.autograd.grad(value.sum(), parts(new), allow_unused=True)
    generator = torch.Generator().manual_seed(2)
    directions = [torch.randn(part.shape, generator=generator) for part in parts(new)]
    slope = sum(float((g * d).sum()) for g, d in zip(found, directions, strict=True) if g is not None)
    scale = sum(float((g * d).abs().sum()) for g, d in zip(found, directions, strict=True) if g is not None)

    def along(step: float) -> float:
        logits, features = (part.detach() + step * d for part, d in zip(parts(new), directions, strict=True))
        return float(ready(ModelOutput(logits, features), old, target).double().sum().detach())

    # One step does not suit all distances: what is small for one is lost in the rounding of another.
    measured = [(along(step) - along(-step)) / (2 * step) for step in (1e-2, 1e-3, 1e-4)]
    near = min(measured, key=lambda value: abs(value - slope))
    require(
        abs(near - slope) <= 0.02 * scale + 1e-4,
        f"The gradient must be that of the value, but along a random direction it says {slope:.4g} and differences of "
        f"the value say {near:.4g}: look for a detach, or for operations without a gradient.",
    )


def check_half_precision(distance: Distance) -> None:
    """Check that outputs in half precision, under autocast, give what the same numbers give in float32."""
    for dtype in (torch.float16, torch.bfloat16):
        new, old, target = make()
        new, old = cast(new, dtype), cast(old, dtype)
        ready = bound(distance, new, old)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = ready(new, old, target)
        require(value.dtype == torch.float32, f"Outputs in {dtype} must give a float32 distance, not {value.dtype}.")
        expected = ready(cast(new, torch.float32), cast(old, torch.float32), target)
        same(value, expected, f"Outputs in {dtype} must give what the same numbers give in float32")


def check_extreme_outputs(distance: Distance) -> None:
    """Check that logits of 3,000 and features of 20,000, whose squares overflow float16, give finite results."""
    new, old, target = make()
    one, other = parts(new)
    new = ModelOutput((one.sign() * 3e3).half(), (other.sign() * 2e4).half())
    one, other = parts(old)
    old = ModelOutput((one.sign() * -3e3).half(), (other.sign() * -2e4).half())
    ready = bound(distance, new, old)
    require(ready(new, old, target).isfinite().all(), f"The distance of large outputs {FINITE}.")
    # Gradients are taken in float32: a slope of 10^10 is right there, and infinite in float16.
    new = cast(new, torch.float32)
    found = gradients(ready(new, old, target), new)
    require(all(gradient.isfinite().all() for gradient in found), f"The gradient at large outputs {FINITE}.")


def check_smallest_batch(distance: Distance) -> None:
    """Check a batch of one example of two classes.

    A distance that refuses two classes when it is bound passes.
    """
    new, old, target = make(1, 2)
    try:
        ready = bound(distance, new, old)
    except PctError:
        return
    value = ready(new, old, target)
    require(value.shape == (1,) and value.isfinite().all(), "One example of two classes must give one finite number.")


def check_unequal_shapes(distance: Distance) -> None:
    """Check that unequal shapes raise ValueError, and never broadcast silently."""
    for what, spoil in WRONG_SHAPES.items():
        with refused(ValueError, f"Unequal shapes must raise ValueError, and {what} did not."):
            bound(distance)(*spoil(*make()))


def check_missing_parts(distance: Distance) -> None:
    """Check that it refuses to work without a part that it needs, and works without the others."""
    new, old, target = make()
    ready = bound(distance, new, old)
    if distance.needs_teacher:
        with refused(PctError, "A missing old model must raise PctError, or set needs_teacher to False."):
            ready(new, None, target)
    else:
        require(ready(new, None, target).shape == (12,), "Without needs_teacher it must do without an old model.")
    bare_new, bare_old = new._replace(features=None), old._replace(features=None)
    if not distance.needs_features:
        try:
            value = ready(bare_new, bare_old, target)
        except Exception as error:
            raise AssertionError(f"It must do without features, or set needs_features to True: {error}") from error
        require(value.shape == (12,), "Without features it must be one number per example.")
        return
    for pair in ((new, bare_old), (bare_new, old)):
        with refused(PctError, "Missing features must raise PctError."):
            ready(*pair, target)
    with refused(ValueError, "Features of another batch must raise ValueError."):
        ready(new, old._replace(features=parts(old)[1][:4]), target)


def check_samples_that_take_no_part(distance: Distance) -> None:
    """Check that an example of target -1 has value and gradient 0, and does not change other examples."""
    new, old, target = make()
    out = torch.arange(12) % 3 == 1
    ready = bound(distance, new, old)
    value = ready(new, old, target.masked_fill(out, -1))
    require(value[out].count_nonzero() == 0, "An example of target -1 must have the value 0.")
    kept = (~out).nonzero()[:, 0]
    alone = ready(take(new, kept), take(old, kept), target[kept])
    sentence = "An example of target -1 must not change the others: compare with examples of target >= 0 only"
    same(value[kept], alone, sentence, rtol=1e-5, atol=1e-5)
    for gradient in gradients(value, new):
        require(gradient.isfinite().all(), f"The gradient beside examples of target -1 {FINITE}.")
        require(gradient[out].count_nonzero() == 0, "An example of target -1 must have gradient 0.")


def check_nobody_takes_part(distance: Distance) -> None:
    """Check that a batch of targets -1 gives zeros, and that no NaN arises in its gradient, not even on the way."""
    new, old, _ = make()
    nobody: Tensor = torch.full((12,), -1)
    # A user who searches for a NaN with anomaly detection should not be led here.
    with torch.autograd.set_detect_anomaly(True):
        value = bound(distance, new, old)(new, old, nobody)
        try:
            found = gradients(value, new)
        except RuntimeError as error:
            raise AssertionError(f"The gradient of a batch in which no example takes part {FINITE}: {error}") from error
    require(value.tolist() == [0.0] * 12, "A batch in which no example takes part must give zeros.")
    require(all(gradient.count_nonzero() == 0 for gradient in found), "Its gradient must be 0.")


DISTANCE_CHECKS: tuple[Callable[[Distance], None], ...] = (
    check_one_finite_number_per_sample,
    check_equal_models,
    check_permutation,
    check_repeatable,
    check_gradient_reaches_new_alone,
    check_gradient_is_the_slope,
    check_half_precision,
    check_extreme_outputs,
    check_smallest_batch,
    check_unequal_shapes,
    check_missing_parts,
    check_samples_that_take_no_part,
    check_nobody_takes_part,
)
