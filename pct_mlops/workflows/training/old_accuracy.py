"""Measures old models on val before the first step, because a training against one that guesses is wasted.

Usual causes are classes in another order, another normalisation and another image size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pct_mlops.comparison import clopper_pearson
from pct_mlops.workflows.runtime.distributed import main_process_logger

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.data import Split, Splits
    from pct_mlops.workflows.training.components import Assembled

logger = main_process_logger(__name__)

CONFIDENCE = 0.95
FEW_CLASSES = 3  # up to here, a useful model may well be below twice the accuracy of chance
CLASSES = "give it with teacher.classes, model.init_classes or --classes"
# With fewer examples, some order fits random predictions well. With more classes, the search takes too long.
MIN_EXAMPLES, MIN_PER_CLASS, MAX_CLASSES = 30, 5, 2000


def accuracy_of_old_models(parts: Assembled, predict: Callable[[Any, Split], NDArray[np.float32]]) -> dict[str, float]:
    """Print the accuracy on val of the teacher and of the file that the training starts from, with warnings.

    Call it on all processes. Return the metrics `teacher/val_accuracy` and `init/val_accuracy`, of those models that
    there are. `predict` returns the logits of a model on a split.
    """
    splits, found = parts.inputs.splits, {}
    if parts.teacher is not None:
        model, uri = parts.teacher.model, parts.teacher.uri
        logits = predict(model, splits.val)
        found["teacher/val_accuracy"] = _report(f"The teacher {uri}", logits, model.known_classes, splits)
    if parts.start.file:
        known = parts.start.known_classes
        logits = predict(parts.inputs.model, splits.val)[:, list(known)]
        found["init/val_accuracy"] = _report(f"The start from {parts.start.file}", logits, known, splits)
    return {name: value for name, value in found.items() if value is not None}


def _report(title: str, logits: NDArray[np.float32], known: Sequence[int], splits: Splits) -> float | None:
    """Print the accuracy of logits [N, K] on the examples of the K known classes. Return None without such examples."""
    import numpy as np

    columns = np.full(len(splits.class_names), -1)
    columns[list(known)] = np.arange(len(known))
    targets = columns[splits.val.labels.numpy()]
    chosen = targets >= 0
    if not chosen.any():
        return None
    targets, predictions = targets[chosen], logits[chosen].argmax(axis=1)
    accuracy = float((targets == predictions).mean())
    among = "" if chosen.all() else f", on the {len(targets):,} examples of the {len(known)} classes that it knows"
    logger.info(f"{title} has {accuracy:.2%} accuracy on val{among}.")
    warn_of_accuracy(title, targets, predictions, num_classes=len(known), split="val")
    return accuracy


def warn_of_accuracy(
    title: str, targets: NDArray[np.int64], predictions: NDArray[np.int64], *, num_classes: int, split: str
) -> None:
    """Warn of predictions [N] that are next to chance, or that fit the targets far better in another order of classes.

    Args:
        title: What the warning calls the model.
        targets: Classes [N], from 0 to num_classes - 1.
        predictions: What the model says [N].
        num_classes: Number of classes that the model tells apart.
        split: Name of the split, for the warning.
    """
    right = int((targets == predictions).sum())
    accuracy, best = right / len(targets), best_order_accuracy(targets, predictions, num_classes)
    if best > (1 + accuracy) / 2:
        logger.warning(
            f"WARNING: {title} has {accuracy:.2%} accuracy on {split}, and with its classes in another order it would "
            f"have {best:.2%}. Its classes stand in another order than it seems: {CLASSES}."
        )
    elif is_near_chance(right, len(targets), num_classes):
        logger.warning(
            f"WARNING: {title} has {accuracy:.2%} accuracy on {split}, and chance is {1 / num_classes:.2%}. Check the "
            f"order of its classes ({CLASSES}), the normalisation that it was trained with, and its image size "
            "(data.image_size)."
        )


def is_near_chance(right: int, number: int, num_classes: int) -> bool:
    """Tell whether so many right predictions may be those of a model that guesses, or are next to it.

    That is so when chance is not below the exact bound of the accuracy, and, from four classes on, below twice chance.
    """
    if num_classes < 2:
        return False
    lower, _ = clopper_pearson(right, number, CONFIDENCE)
    return lower <= 1 / num_classes or (num_classes > FEW_CLASSES and right / number < 2 / num_classes)


def best_order_accuracy(targets: NDArray[np.int64], predictions: NDArray[np.int64], num_classes: int) -> float:
    """Return the accuracy that the predictions [N] would have if their classes stood in the order that fits best.

    Return 0 where there are too few examples to tell, or too many classes.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    if len(targets) < max(MIN_EXAMPLES, MIN_PER_CLASS * num_classes) or num_classes > MAX_CLASSES:
        return 0.0
    counts = np.bincount(targets * num_classes + predictions, minlength=num_classes**2)
    counts = counts.reshape(num_classes, num_classes)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(targets))
