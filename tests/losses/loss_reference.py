"""The losses once more, in numpy and float64, one sample and one class at a time, from the formulas alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

# A reference takes (new_logits, old_logits, new_features, old_features, target, **parameters), with every parameter
# that the distance has, and returns one number per sample. It shares no code with the package. The references of
# distances that own modules take their weights as `drawn`, behind the target.


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


def renyi(new, old, new_features, old_features, target, *, alpha=2.0, reorder=False):
    values = []
    for z_new, z_old in zip(new, old, strict=True):
        p_new, p_old = softmax(z_new), softmax(z_old)
        if reorder:
            p_new, p_old = sorted(p_new), sorted(p_old)
        total = sum(a**alpha * b ** (1 - alpha) for a, b in zip(p_old, p_new, strict=True))
        values.append(math.log(total) / (alpha - 1))
    return values


def rce(new, old, new_features, old_features, target, *, two_heads=False):
    values = []
    for z_new, z_old, y in zip(new, old, target, strict=True):
        mixed = [z_new[c] if c == y else z_old[c] for c in range(len(z_new))]
        mirror = [z_old[c] if c == y else z_new[c] for c in range(len(z_new))]
        values.append(-log_softmax(mixed)[y] - (log_softmax(mirror)[y] if two_heads else 0.0))
    return values


def fa(new, old, new_features, old_features, target, *, margin=3.0, contrastive=False):
    width = min(len(new_features[0]), len(old_features[0]))
    values = []
    for f, y in zip(new_features, target, strict=True):
        squares = [sum((f[d] - g[d]) ** 2 for d in range(width)) for g in old_features]
        if contrastive:
            pairs = [
                d2 / 2 if y == other else max(margin - math.sqrt(d2), 0) ** 2 / 2
                for d2, other in zip(squares, target, strict=True)
            ]
            values.append(sum(pairs) / len(pairs))
        else:
            values.append(squares[len(values)] / width)
    return values


def linear(weight, bias, x):
    return [
        sum(w * value for w, value in zip(row, x, strict=True)) + (0.0 if bias is None else bias[k])
        for k, row in enumerate(weight)
    ]


def rp(
    new,
    old,
    new_features,
    old_features,
    target,
    drawn,
    *,
    dim_out=128,
    share=False,
    freeze_new=False,
    normalize=False,
    bias=False,
):
    (new_weight, new_bias), (old_weight, old_bias) = drawn
    assert len(new_weight) == len(old_weight) == dim_out
    assert (new_bias is not None, old_bias is not None) == (bias, bias)
    if share:
        new_weight, new_bias = old_weight, old_bias
    if normalize:
        for weight in (new_weight, old_weight):
            np.testing.assert_allclose(
                [sum(row[d] ** 2 for row in weight) for d in range(len(weight[0]))], 1, rtol=1e-5
            )
    values = []
    for f, g in zip(new_features, old_features, strict=True):
        ends = linear(new_weight, new_bias, f), linear(old_weight, old_bias, g)
        values.append(sum((a - b) ** 2 for a, b in zip(*ends, strict=True)) / dim_out)
    return values


def bct(new, old, new_features, old_features, target, drawn, *, alpha=0.0, single_head=False):
    ((weight, bias),) = drawn
    return [
        -log_softmax(linear(weight, bias, f[: len(weight[0])]))[y] for f, y in zip(new_features, target, strict=True)
    ]


def weighted_sum(new, old, new_features, old_features, target, *, terms):
    totals = [0.0] * len(target)
    for term in terms:
        parameters = {key: value for key, value in term["distance"].items() if key != "name"}
        reference = DISTANCE_REFERENCES[term["distance"]["name"]]
        values = reference(new, old, new_features, old_features, target, **parameters)
        totals = [total + term.get("weight", 1.0) * value for total, value in zip(totals, values, strict=True)]
    return totals


DISTANCE_REFERENCES: dict[str, Callable[..., list[float]]] = {
    "kl": kl,
    "l2": l2,
    "ldi": ldi,
    "cna": cna,
    "ce": ce,
    "renyi": renyi,
    "rce": rce,
    "fa": fa,
    "rp": rp,
    "bct": bct,
    "sum": weighted_sum,
}


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
