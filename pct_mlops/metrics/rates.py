"""Flip rates as functions on plain arrays: numpy arrays, torch tensors on any device, or lists.

They need predictions alone, and no confidences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_EXAMPLES = "a flip rate of no examples is undefined: give at least one"


def negative_flip_rate(old: npt.ArrayLike, new: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Compute the share of examples that the old model gets right and the new one wrong.

    NFR of Yan et al., arXiv 2011.09161. For bounds, classes and slices, compare prediction tables instead.

    Args:
        old: the old model's predictions: class indices [N], or scores [N, C] (logits or probabilities), of which the
            highest counts.
        new: the new model's predictions, in either form, for the same examples in the same order.
        target: the target classes, as indices [N].

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: there are no examples, shapes differ, an index is negative or not an integer, or a score is NaN.

    Example:
        >>> from pct_mlops import negative_flip_rate
        >>> negative_flip_rate(old=[0, 1, 2, 2], new=[0, 1, 0, 1], target=[0, 1, 2, 0])
        0.25
    """
    before, after, right = _indices(old=old, new=new, target=target)
    return float(np.mean((before == right) & (after != right)))


def positive_flip_rate(old: npt.ArrayLike, new: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Compute the share of examples that the old model gets wrong and the new one right.

    Args:
        old: the old model's predictions: class indices [N], or scores [N, C], of which the highest counts.
        new: the new model's predictions, in either form, for the same examples in the same order.
        target: the target classes, as indices [N].

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: there are no examples, shapes differ, an index is negative or not an integer, or a score is NaN.

    Example:
        >>> from pct_mlops import positive_flip_rate
        >>> positive_flip_rate(old=[0, 1, 2, 2], new=[0, 1, 0, 0], target=[0, 1, 2, 0])
        0.25
    """
    before, after, right = _indices(old=old, new=new, target=target)
    return float(np.mean((before != right) & (after == right)))


def churn(old: npt.ArrayLike, new: npt.ArrayLike) -> float:
    """Compute the share of examples whose prediction changed, whether right or wrong.

    Args:
        old: the old model's predictions: class indices [N], or scores [N, C], of which the highest counts.
        new: the new model's predictions, in either form, for the same examples in the same order.

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: there are no examples, shapes differ, an index is negative or not an integer, or a score is NaN.

    Example:
        >>> from pct_mlops import churn
        >>> churn(old=[0, 1, 2, 2], new=[0, 1, 0, 1])
        0.5
    """
    before, after = _indices(old=old, new=new)
    return float(np.mean(before != after))


def _indices(**given: npt.ArrayLike) -> list[npt.NDArray[np.int64]]:
    """Convert each argument to class indices [N].

    Raise ValueError that names the argument that does not fit.
    """
    arrays = {name: _array(value) for name, value in given.items()}
    classes = {array.shape[1] for array in arrays.values() if array.ndim == 2}
    if len(classes) > 1:
        raise ValueError(
            f"scores of both models should be [N, C] of the same C, but they have {sorted(classes)} classes"
        )
    if "target" in arrays and arrays["target"].ndim == 2:
        raise ValueError(f"target should be class indices [N], but it is {arrays['target'].shape}")
    indices = {name: _index(name, array) for name, array in arrays.items()}
    lengths = {name: len(index) for name, index in indices.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"all arguments should hold the same N examples, but there are {_listed(lengths)}")
    if 0 in lengths.values():
        raise ValueError(NO_EXAMPLES)
    for name, index in indices.items():
        _check_range(name, index, classes)
    return list(indices.values())


def _array(value: Any) -> npt.NDArray[Any]:
    # A tensor is recognised by its methods, since torch is not imported here. numpy has no bfloat16, hence float().
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    return np.asarray(value)


def _index(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if array.ndim == 2 and array.dtype.kind in "fiu":
        if array.shape[1] == 0:
            raise ValueError(f"{name} should be scores [N, C] of at least one class, but it is {array.shape}")
        if np.isnan(array).any():
            raise ValueError(f"{name} holds a score that is no number (NaN): no class is the highest there")
        return array.argmax(axis=1)
    if array.ndim == 1 and (array.dtype.kind in "iub" or array.size == 0):
        return array.astype(np.int64)
    raise ValueError(
        f"{name} should be class indices [N] or scores [N, C], but it is {array.dtype} {array.shape}: "
        "turn probabilities of two classes, [N], into predictions first"
    )


def _check_range(name: str, index: npt.NDArray[np.int64], classes: set[int]) -> None:
    lowest, highest = int(index.min()), int(index.max())
    if lowest < 0:
        raise ValueError(f"{name} should be classes from 0, but one is {lowest}: leave such examples out")
    for num_classes in classes:
        if highest >= num_classes:
            raise ValueError(
                f"{name} should be classes 0 to {num_classes - 1}, as the scores have them: it has {highest}"
            )


def _listed(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{number} of {name}" for name, number in lengths.items())
