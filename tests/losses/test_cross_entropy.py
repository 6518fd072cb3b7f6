"""The objective's own cross-entropy: weights of classes and examples, binary, and shares of mixed images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from loss_cases import bound, cast, make
from loss_reference import log_softmax
from torch.nn import functional

from pct_mlops.config import ObjectiveConfig, PctError
from pct_mlops.losses import FOCUSES, LDI, Objective, balanced_weights, build_objective

WEIGHTS = (0.5, 2.0, 0.0, 1.0, 3.0, 0.25, 1.5)


def shares(num_samples=12, num_classes=7, seed=3):
    """Mixed one-hot targets, and the label with the larger share."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(num_classes, (2, num_samples), generator=generator)
    part = 0.5 + 0.5 * torch.rand(num_samples, 1, generator=generator)
    hot = [functional.one_hot(labels, num_classes).float() for labels in (first, second)]
    return part * hot[0] + (1 - part) * hot[1], first


def binary_reference(logits, targets):
    """Mean over classes of -t log s(z) - (1 - t) log(1 - s(z)), for each sample."""
    values = []
    for z, t in zip(logits, targets, strict=True):
        terms = [-p * -math.log1p(math.exp(-v)) - (1 - p) * -math.log1p(math.exp(v)) for v, p in zip(z, t, strict=True)]
        values.append(sum(terms) / len(terms))
    return values


def softmax_reference(logits, targets, weights):
    return [
        -sum(w * p * log for w, p, log in zip(weights, t, log_softmax(z), strict=True))
        for z, t in zip(logits, targets, strict=True)
    ]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_class_weights_are_those_of_torch(smoothing):
    new, old, target = make()
    objective = Objective(label_smoothing=smoothing, class_weights=WEIGHTS)
    terms = objective(new, old, target)
    weight = torch.tensor(WEIGHTS)
    for reduction, ours in (("mean", terms.total), ("none", terms.cross_entropy)):
        options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
        torch.testing.assert_close(ours, functional.cross_entropy(new.logits, target, **options))
    ours = torch.autograd.grad(terms.total, new.logits)[0]
    expected = functional.cross_entropy(new.logits, target, weight=weight, label_smoothing=smoothing)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, new.logits)[0])


def test_class_weights_leave_the_distance_alone():
    new, old, target = make()
    plain = Objective(LDI(), FOCUSES.build({"name": "all"}), mix=0.5)
    weighted = Objective(LDI(), FOCUSES.build({"name": "all"}), mix=0.5, class_weights=torch.tensor(WEIGHTS))
    terms, expected = weighted(new, old, target), plain(new, old, target)
    assert terms.distance.equal(expected.distance)
    ce = functional.cross_entropy(new.logits, target, weight=torch.tensor(WEIGHTS))
    torch.testing.assert_close(terms.total, 0.5 * ce + 0.5 * expected.distance.mean())


def test_a_batch_of_classes_of_weight_zero_has_loss_zero():
    new, old, _ = make()
    terms = Objective(class_weights=WEIGHTS)(new, old, torch.full((12,), 2))
    terms.total.backward()
    assert terms.total == 0
    assert new.logits.grad.count_nonzero() == 0
    assert not bool(new.logits.grad.isnan().any())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_is_the_mean_over_classes_of_each_logit_s_cross_entropy(smoothing):
    new, old, target = make()
    terms = Objective(cross_entropy="binary", label_smoothing=smoothing)(new, old, target)
    targets = (1 - smoothing) * functional.one_hot(target, 7).double() + smoothing / 7
    expected = binary_reference(new.logits.detach().double().numpy(), targets.numpy())
    np.testing.assert_allclose(terms.cross_entropy.detach().numpy(), expected, rtol=1e-5)
    whole = functional.binary_cross_entropy_with_logits(new.logits, targets.float())
    torch.testing.assert_close(terms.total, whole)  # torch's mean over N * C


def test_binary_weighs_each_sample_by_its_class():
    new, old, target = make()
    plain = Objective(cross_entropy="binary")(new, old, target).cross_entropy
    terms = Objective(cross_entropy="binary", class_weights=WEIGHTS)(new, old, target)
    of_sample = torch.tensor(WEIGHTS)[target]
    torch.testing.assert_close(terms.cross_entropy, plain * of_sample)
    torch.testing.assert_close(terms.total, (plain * of_sample).sum() / of_sample.sum())


@pytest.mark.parametrize("kind", ["softmax", "binary"])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_soft_targets(kind, weights):
    new, old, _ = make()
    soft, target = shares()
    terms = Objective(cross_entropy=kind, class_weights=weights)(new, old, target, soft=soft)
    given = WEIGHTS if weights else (1.0,) * 7
    logits, targets = new.logits.detach().double().numpy(), soft.double().numpy()
    of_sample = targets @ np.array(given)
    if kind == "softmax":
        expected = np.array(softmax_reference(logits, targets, given))
    else:
        expected = np.array(binary_reference(logits, targets)) * of_sample
    np.testing.assert_allclose(terms.cross_entropy.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(terms.total.item(), expected.sum() / of_sample.sum(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["softmax", "binary"])
def test_a_share_of_one_is_a_hard_target(kind):
    new, old, target = make()
    objective = Objective(cross_entropy=kind, class_weights=WEIGHTS, label_smoothing=0.1)
    soft = functional.one_hot(target, 7).half()
    torch.testing.assert_close(objective(new, old, target, soft=soft), objective(new, old, target))


def test_mixed_images_are_compared_as_they_are_and_focused_by_the_larger_share():
    new, old, _ = make()
    soft, target = shares()
    objective = bound(build_objective(ObjectiveConfig(loss="kl")))
    mixed, plain = objective(new, old, target, soft=soft), objective(new, old, target)
    assert mixed.distance.equal(plain.distance)
    assert mixed.focus.equal(plain.focus)
    assert not torch.allclose(mixed.cross_entropy, plain.cross_entropy)


@pytest.mark.parametrize(
    "soft", [torch.ones(12, 6), torch.ones(12), torch.ones(1, 7), torch.ones(12, 7, dtype=torch.int64)], ids=str
)
def test_soft_targets_of_another_shape_are_refused(soft):
    new, old, target = make()
    with pytest.raises(ValueError, match=r"soft targets should be float \(12, 7\)"):
        Objective()(new, old, target, soft=soft)


def test_example_weights_are_picked_by_index_and_divided_by_their_sum():
    new, old, target = make(4)
    weights, index = [0.0, 1.0, 2.0, 3.0, 4.0], torch.tensor([4, 0, 2, 1])
    objective = build_objective(ObjectiveConfig(), ce_weights=weights)
    assert objective.needs_index
    terms = objective(new, old, target, index=index)
    plain, chosen = functional.cross_entropy(new.logits, target, reduction="none"), torch.tensor([4.0, 0.0, 2.0, 1.0])
    torch.testing.assert_close(terms.cross_entropy, plain * chosen)
    torch.testing.assert_close(terms.total, (plain * chosen).sum() / 7)

    both = build_objective(ObjectiveConfig(class_weights=WEIGHTS), ce_weights=torch.tensor(weights))
    of_class = torch.tensor(WEIGHTS)[target]
    expected = (plain * chosen * of_class).sum() / (chosen * of_class).sum()
    torch.testing.assert_close(both(new, old, target, index=index).total, expected)
    with pytest.raises(ValueError, match="ce_weights needs index"):
        objective(new, old, target)


def test_auxiliary_heads_share_weights_and_shares():
    new, old, _ = make()
    soft, target = shares()
    aux = make(seed=5)[0].logits
    objective = Objective(class_weights=WEIGHTS, cross_entropy="binary")
    heads = [objective(new._replace(logits=z), old, target, soft=soft) for z in (new.logits, aux)]
    both = objective(new._replace(aux=(aux,)), old, target, soft=soft)
    torch.testing.assert_close(both.total, heads[0].total + heads[1].total)
    torch.testing.assert_close(both.cross_entropy, heads[0].cross_entropy + heads[1].cross_entropy)


def test_half_precision_gives_float32():
    new, old, target = make()
    soft = shares()[0].bfloat16()
    for kind in ("softmax", "binary"):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            terms = Objective(cross_entropy=kind, class_weights=WEIGHTS)(
                cast(new, torch.float16), old, target, soft=soft
            )
        assert {t.dtype for t in terms} == {torch.float32}
        assert all(bool(torch.isfinite(t).all()) for t in terms)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((1.0, -1.0), "objective.class_weights: give a flat list of finite numbers >= 0"),
        ((1.0, math.inf), "finite"),
        ((0.0, 0.0), "above 0"),
        ((), "above 0"),
    ],
)
def test_weights_that_are_none_are_refused(weights, message):
    with pytest.raises(PctError, match=message):
        build_objective(ObjectiveConfig(class_weights=weights))
    with pytest.raises(PctError, match=message.replace("class", "ce")):
        build_objective(ObjectiveConfig(), ce_weights=weights)


def test_the_number_of_class_weights_is_checked_before_and_in_training():
    objective = build_objective(ObjectiveConfig(class_weights=(1.0, 2.0)))
    with pytest.raises(PctError, match="has 2 numbers, but there are 7 classes"):
        bound(objective)
    with pytest.raises(PctError, match="has 2 numbers, but there are 7 classes"):
        objective(*make())


def test_what_only_the_caller_knows_is_asked_for():
    with pytest.raises(ValueError, match="'balanced' stands for"):
        build_objective(ObjectiveConfig(class_weights="balanced"))
    with pytest.raises(ValueError, match="the table holds"):
        build_objective(ObjectiveConfig(ce_weights="weights.csv"))
    objective = build_objective(ObjectiveConfig(class_weights="balanced"), class_weights=[1.0, 3.0])
    assert objective.class_weights == (1.0, 3.0)


def test_balanced_weights_are_inverse_to_frequency_with_mean_one():
    weights = balanced_weights([10, 20, 0, 40])
    assert weights[2] == 0
    present = [weights[0], weights[1], weights[3]]
    assert np.mean(present) == pytest.approx(1)
    assert [weight * count for weight, count in zip(present, (10, 20, 40), strict=True)] == pytest.approx([120 / 7] * 3)
    with pytest.raises(PctError, match="without examples"):
        balanced_weights([0, 0])
