"""The losses once more, in numpy and float64, one sample and one class at a time, from the formulas alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

# A reference takes (new_logits, old_logits, new_features, old_features, target, **parameters), with every parameter
# that the distance has, and returns one number per sample. It shares no code with the package.


def softmax(z: Sequence[float]) -> list[float]:
    powers = [math.exp(value - max(z)) for value in z]
    return [power / sum(powers) for power in powers]


def log_softmax(z: Sequence[float]) -> list[float]:
    total = sum(math.exp(value - max(z)) for value in z)
    return [value - max(z) - math.log(total) for value in z]


def kl(new, old, new_features, old_features, target, *, temperature=100.0):
    values = []
    for z_new, z_old in zip(new, old, strict=True):
        p_old = softmax([value / temperature for value in z_old])
        log_old = log_softmax([value / temperature for value in z_old])
        log_new = log_softmax([value / temperature for value in z_new])
        divergence = sum(p * (a - b) for p, a, b in zip(p_old, log_old, log_new, strict=True))
        values.append(temperature * temperature * divergence)
    return values


def l2(new, old, new_features, old_features, target):
    return [
        sum((a - b) ** 2 for a, b in zip(z_new, z_old, strict=True)) / len(z_new) / 2
        for z_new, z_old in zip(new, old, strict=True)
    ]


def ldi(
    new,
    old,
    new_features,
    old_features,
    target,
    *,
    margin=0.5,
    p=2.0,
    exclude_target=False,
    top_k=None,
    one_sided=False,
    relative_margin=False,
    norm=False,
):
    values = []
    for z_new, z_old, y in zip(new, old, target, strict=True):
        classes = list(range(len(z_new)))
        if top_k is not None:
            classes = sorted(classes, key=lambda c: -z_new[c])[:top_k]
        total = 0.0
        for c in classes:
            difference = z_new[c] - z_old[c]
            if relative_margin:
                difference /= max(z_old)
            if not one_sided:
                difference = abs(difference)
            if difference > margin and not (exclude_target and c == y):
                total += (difference - margin) ** p
        values.append(total ** (1 / p) if norm else total / len(classes))
    return values


def cosine(a, b) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def cna(new, old, new_features, old_features, target, *, temperature=0.01, top_k=1, supervised=False, summation="out"):
    values = []
    for i in range(len(target)):
        others = [j for j in range(len(target)) if j != i]
        allowed = [j for j in others if not supervised or target[j] == target[i]]
        positives = sorted(allowed, key=lambda j: -cosine(old_features[i], old_features[j]))[:top_k]
        if not positives:
            values.append(0.0)
            continue
        scaled = [cosine(new_features[i], new_features[j]) / temperature for j in others]
        log_probability = dict(zip(others, log_softmax(scaled), strict=True))
        chosen = [log_probability[j] for j in positives]
        if summation == "out":
            values.append(-sum(chosen) / len(chosen))
        else:
            top = max(chosen)
            values.append(-(top + math.log(sum(math.exp(value - top) for value in chosen))))
    return values


def ce(new, old, new_features, old_features, target):
    return [-log_softmax(z)[y] for z, y in zip(new, target, strict=True)]


DISTANCE_REFERENCES: dict[str, Callable[..., list[float]]] = {"kl": kl, "l2": l2, "ldi": ldi, "cna": cna, "ce": ce}


def right(z, y) -> bool:
    return int(np.argmax(z)) == y


# A focus's reference takes (new_logits, old_logits, target, **parameters) and returns one weight per sample.


def weights(mask, base, scale):
    return [base + scale if chosen else base for chosen in mask]


def focus_all(new, old, target, *, base=1.0, scale=5.0):
    return [base for _ in target]


def old_correct(new, old, target, *, base=1.0, scale=5.0):
    return weights([right(z, y) for z, y in zip(old, target, strict=True)], base, scale)


def neg_flip(new, old, target, *, base=1.0, scale=5.0):
    mask = [right(o, y) and not right(n, y) for n, o, y in zip(new, old, target, strict=True)]
    return weights(mask, base, scale)


def new_incorrect(new, old, target, *, base=1.0, scale=5.0):
    return weights([not right(z, y) for z, y in zip(new, target, strict=True)], base, scale)


FOCUS_REFERENCES: dict[str, Callable[..., list[float]]] = {
    "all": focus_all,
    "old_correct": old_correct,
    "neg_flip": neg_flip,
    "new_incorrect": new_incorrect,
}

# Focuses that are no function of one sample's outputs; each has tests of its own in test_focuses.py.
FOCUSES_TESTED_APART = {"shuffled", "likelihood"}
