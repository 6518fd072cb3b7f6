"""Turns an old model's probabilities into the chance that a prediction flips, for simulated candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pct_mlops.config.numbers import percent, points
from pct_mlops.errors import ConfigError

if TYPE_CHECKING:
    from pct_mlops.predictions import TableInfo

Floats = npt.NDArray[np.float64]
# A probability that is 1 in float32 may still be left: without this, no rate near the accuracy could be reached.
_LEAST_WEIGHT = 1e-6
_ROUNDING = 1e-9


class FlipWeights(NamedTuple):
    """Weights by example [N].

    `negative_flip` is that of a right example, `positive_flip` that of a wrong one, and `other_change` that of another
    wrong prediction.
    """

    negative_flip: Floats
    positive_flip: Floats
    other_change: Floats


def flip_weights(read: Mapping[str, Any], is_right: npt.NDArray[np.bool_], info: TableInfo) -> FlipWeights:
    """Return the weights that an old model's confidences give, or equal ones where it has none."""
    same = np.ones(len(is_right))
    other = same if len(info.class_names) > 2 else 0 * same
    own = np.asarray(read["old_confidence"], np.float64) if "confidence" in info.columns else None
    target = np.asarray(read["old_label_confidence"], np.float64) if "label_confidence" in info.columns else None
    if target is None and own is not None:
        # The target is the prediction where that is right. Where it is wrong, nothing is known of the target.
        negative_flip = np.maximum(np.where(is_right, 1 - own, 1.0), _LEAST_WEIGHT)
        return FlipWeights(negative_flip, same, other)
    if target is None or own is None:
        return FlipWeights(same, same, other)
    return FlipWeights(
        np.maximum(1 - target, _LEAST_WEIGHT),
        np.maximum(target, _LEAST_WEIGHT),
        np.maximum(1 - own - target, 0.0),
    )


def scaled_chances(weights: Floats, where: npt.NDArray[np.bool_], wanted: float) -> tuple[Floats, float]:
    """Return chances min(1, factor * weight) that add up to `wanted`, 0 outside of `where`, and the factor."""
    mine = np.sort(weights[where])[::-1]
    if wanted <= _ROUNDING or not len(mine):
        return np.zeros(len(weights)), 0.0
    if wanted >= len(mine) - _ROUNDING:
        return where.astype(np.float64), 1 / float(mine[-1])
    # With the k largest at 1, the others need this factor. The first k for which none of them exceeds 1 is right.
    rest = np.cumsum(mine[::-1])[::-1]
    factors = (wanted - np.arange(len(mine))) / rest
    first = int(np.argmax(factors * mine <= 1 + _ROUNDING))
    factor = float(factors[first])
    return np.where(where, np.minimum(factor * weights, 1.0), 0.0), factor


def check_possible(nfr: float, change: float, accuracy: float, error: float) -> None:
    """Raise ConfigError unless a candidate can have both rates beside an old model of this accuracy and error."""
    if nfr < 0 or nfr > accuracy + _ROUNDING:
        raise ConfigError(
            f"An NFR of {percent(nfr)} is impossible here: it lies between 0% and the old accuracy of "
            f"{percent(accuracy)}."
        )
    if change < -nfr - _ROUNDING:
        raise ConfigError(
            f"An accuracy change of {points(change)} is impossible with an NFR of {percent(nfr)}: accuracy falls by at "
            "most the NFR."
        )
    if nfr + change > error + _ROUNDING:
        raise ConfigError(
            f"An accuracy change of {points(change)} with an NFR of {percent(nfr)} is impossible here: it needs "
            f"{percent(nfr + change)} positive flips, and the old model errs on {percent(error)}."
        )
