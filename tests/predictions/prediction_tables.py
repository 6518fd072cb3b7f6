"""Small prediction tables with chosen answers."""

from __future__ import annotations

import numpy as np

from pct_mlops.predictions import Predictions

CLASSES = ("cat", "dog", "owl")


def table(labels, answers, *, ids=None, sharpness=3.0, class_names=CLASSES, **info):
    """A table whose prediction for row i is answers[i]; `sharpness` (number or [N]) is the winner's logit."""
    logits = np.zeros((len(labels), len(class_names)), np.float32)
    logits[np.arange(len(labels)), answers] = sharpness
    ids = [f"test/{i}" for i in range(len(labels))] if ids is None else ids
    info = {"model_name": "pets", "model_version": "1", "split": "test", **info}
    return Predictions.from_arrays(ids, np.asarray(labels), logits, class_names=class_names, **info)


def pair_of_counts(both_right, negative, positive, both_wrong, *, label=0, **info):
    """(old, new) with exactly these counts; wrong answers are the next class, so that both are wrong alike."""
    old_right = [True] * (both_right + negative) + [False] * (positive + both_wrong)
    new_right = [True] * both_right + [False] * negative + [True] * positive + [False] * both_wrong
    labels = [label] * len(old_right)
    old = table(labels, [label if right else (label + 1) % 3 for right in old_right], **info)
    new = table(labels, [label if right else (label + 1) % 3 for right in new_right], model_version="2", **info)
    return old, new
