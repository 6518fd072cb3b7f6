"""Meets `objective.nfr_target`: moves a trained model back towards its start until val flips no more than wanted.

The models on the way are share * start + (1 - share) * trained (BCWI, Schumann et al., arXiv 2301.10546). Flips are
counted against production, on val. Test is not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pct_mlops.config.numbers import percent
from pct_mlops.errors import ConfigError
from pct_mlops.reports import CurvePoint
from pct_mlops.workflows.runtime.distributed import main_process_logger
from pct_mlops.workflows.runtime.weight_path import WeightPath

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from pct_mlops.config import Recipe
    from pct_mlops.data import Splits
    from pct_mlops.models import Classifier

logger = main_process_logger(__name__)

BATCHES = 50  # for the BatchNorm statistics of each model on the way, as in pct interpolate
HALVINGS = 6  # so the share is found to 1/64


@dataclass(frozen=True)
class Met:
    """The model that meets the target, and its way there.

    Attributes:
        model: The chosen model, in eval mode.
        chosen: Its share of the start's weights, accuracy and NFR on val.
        trained: The same of the model as it was trained, which is share 0.
        tried: All points that were measured, in their order.
    """

    model: Classifier
    chosen: CurvePoint
    trained: CurvePoint
    tried: tuple[CurvePoint, ...]


def check_target(recipe: Recipe, has_start: bool, has_production: bool) -> None:
    """Raise ConfigError for a target that this training could not meet, before its first step."""
    if recipe.objective.nfr_target is None:
        return
    if not has_start:
        raise ConfigError(
            "objective.nfr_target moves the trained model back towards the weights that it started from: start from "
            "production with --set model.init=production, or choose --loss update."
        )
    if not has_production:
        raise ConfigError(
            f"objective.nfr_target counts flips on val against production, and {recipe.model_name}@production has no "
            "predictions on these examples: make them with 'pct score --split val'."
        )


def warn_of_start(recipe: Recipe, nfr: float) -> None:
    """Log a warning where the start flips more than the target. Only the training itself can meet the target then.

    `nfr` is the start's own NFR against production on val.
    """
    target = recipe.objective.nfr_target
    assert target is not None
    if nfr > target:
        logger.warning(
            f"objective.nfr_target is {percent(target)}, and the weights that the training starts from flip "
            f"{percent(nfr)} on val: going back to them will not help where the training misses the target."
        )


def meet_target(
    models: tuple[Classifier, Classifier],
    recipe: Recipe,
    splits: Splits,
    old_right: NDArray[np.bool_],
    accelerator: Accelerator,
) -> Met:
    """Return the model of the smallest share of the start's weights that was found to meet the target.

    The share is bisected, so the target is met at the returned one, and was missed at most 1/64 below it. Where NFR
    does not fall steadily with the share, a smaller one may meet it too. Call it on all processes.

    Args:
        models: The model as it was before the first step, and the best epoch.
        recipe: The recipe, with the target.
        splits: The data.
        old_right: Where production is right on val, bool [N].
        accelerator: The processes.

    Raises:
        ConfigError: Even the start itself flips more than the target.
    """
    path = WeightPath(models, recipe, splits, accelerator, BATCHES)
    target, labels = recipe.objective.nfr_target, splits.val.labels.numpy()
    assert target is not None

    def measured(share: float) -> CurvePoint:
        right = path.predict(path.model(share), splits.val).argmax(axis=1) == labels
        return CurvePoint(share, float(right.mean()), float((old_right & ~right).mean()))

    found = bisect(measured, target)
    chosen = found[-1]
    if chosen.nfr > target:
        raise ConfigError(
            f"objective.nfr_target is {percent(target)}, and even the weights that the training started from flip "
            f"{percent(chosen.nfr)} on val: raise the target, or start from production itself."
        )
    logger.info(
        f"objective.nfr_target {percent(target)}: {chosen.share:.1%} of the start's weights give NFR "
        f"{percent(chosen.nfr)} and accuracy {percent(chosen.accuracy)} on val, where training alone gave "
        f"{percent(found[0].nfr)} and {percent(found[0].accuracy)} ({len(found)} models measured)."
    )
    warn_of_nothing_left(chosen)
    return Met(path.model(chosen.share), chosen, found[0], tuple(found))


def warn_of_nothing_left(chosen: CurvePoint) -> None:
    """Log a warning where only the start itself meets the target."""
    if chosen.share == 1:
        logger.warning(
            "That is the start itself, so nothing of the training is left: raise the target, or objective.mix, so "
            "that the training itself flips less."
        )


def bisect(measured: Callable[[float], CurvePoint], target: float, halvings: int = HALVINGS) -> list[CurvePoint]:
    """Return the measured points. The last one has the smallest share that was found to meet the target.

    Where none meets it, the last one is share 1.
    """
    points = [measured(0.0)]
    if points[0].nfr <= target:
        return points
    best = measured(1.0)
    points.append(best)
    if best.nfr > target:
        return points
    low, high = 0.0, 1.0
    for _ in range(halvings):
        point = measured((low + high) / 2)
        points.append(point)
        if point.nfr <= target:
            best, high = point, point.share
        else:
            low = point.share
    points.remove(best)
    return [*points, best]


def metrics_of(met: Met) -> dict[str, float]:
    """Return what a run records of the way to the target."""
    chosen, trained = met.chosen, met.trained
    return {
        "nfr_target/share": chosen.share,
        "nfr_target/val_nfr": chosen.nfr,
        "nfr_target/val_accuracy": chosen.accuracy,
        "nfr_target/val_nfr_trained": trained.nfr,
        "nfr_target/val_accuracy_trained": trained.accuracy,
    }
