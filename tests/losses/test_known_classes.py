"""A teacher that knows only some of the classes: who is compared, with whom, and what stays of the batch."""

from __future__ import annotations

import pytest
import torch
from loss_cases import DISTANCE_CASES, bound, built, case_id, make, params, take
from torch import nn
from torch.nn import functional

from pct_mlops.config import ObjectiveConfig
from pct_mlops.losses import FOCUSES, LDI, Binding, Objective, build_objective

KNOWN = (5, 0, 3, 2)
each_distance = pytest.mark.parametrize("spec", params(DISTANCE_CASES), ids=case_id)


def objective(spec, known=KNOWN, focus=None, **options):
    """Bound to `make()`'s models, the old head narrowed like the old logits."""
    config = ObjectiveConfig(distance=spec, focus=focus or {"name": "all"}, **options)
    unbound = build_objective(config, known_classes=known)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return unbound.bind(Binding(7, 5, 5, nn.Linear(5, len(known))))


def narrowed(output, classes=KNOWN):
    return output._replace(logits=output.logits[:, classes])


@each_distance
def test_the_distance_is_that_of_the_samples_and_classes_that_both_know(spec):
    new, old, target = make(30)
    terms = objective(spec)(new, narrowed(old), target)
    kept = torch.isin(target, torch.tensor(KNOWN)).nonzero()[:, 0]
    assert 0 < len(kept) < 30
    mapped = torch.tensor([KNOWN.index(label) for label in target[kept].tolist()])
    some_new, some_old = narrowed(take(new, kept)), narrowed(take(old, kept))
    expected = built(spec, some_new, some_old)(some_new, some_old, mapped)
    torch.testing.assert_close(terms.distance[kept], expected)
    others = torch.ones(30, dtype=torch.bool).index_fill(0, kept, False)
    assert terms.distance[others].count_nonzero() == 0
    assert terms.focus[others].count_nonzero() == 0
    torch.testing.assert_close(terms.cross_entropy, functional.cross_entropy(new.logits, target, reduction="none"))
    torch.testing.assert_close(terms.total, terms.cross_entropy.mean() + terms.distance.sum() / 30)


@each_distance
def test_all_classes_in_another_order_are_the_plain_objective(spec):
    # bct's head is drawn anew for each binding, and tells the classes by their rows.
    if spec["name"] == "bct":
        spec = {"name": "sum", "terms": [{"distance": {"name": "l2"}}]}
    new, old, target = make()
    order = (3, 1, 0, 6, 5, 2, 4)
    terms = objective(spec, order, {"name": "neg_flip"})(new, narrowed(old, order), target)
    plain = bound(build_objective(ObjectiveConfig(distance=spec, focus={"name": "neg_flip"})))(new, old, target)
    torch.testing.assert_close(terms.distance, plain.distance, rtol=1e-4, atol=1e-4)
    assert terms.focus.equal(plain.focus)
    torch.testing.assert_close(terms.total, plain.total, rtol=1e-4, atol=1e-4)


@each_distance
def test_a_batch_with_none_left_contributes_exactly_zero(spec):
    new, old, _ = make()
    target = torch.tensor([1, 4, 6] * 4)
    terms = objective(spec, mix=0.5)(new, narrowed(old), target)
    assert terms.distance.tolist() == [0.0] * 12
    assert terms.focus.tolist() == [0.0] * 12
    ours = torch.autograd.grad(terms.total, [new.logits, new.features], allow_unused=True)
    plain = torch.autograd.grad(0.5 * functional.cross_entropy(new.logits, target), new.logits)[0]
    assert ours[0].equal(plain)
    assert ours[1] is None or ours[1].tolist() == [[0.0] * 5] * 12


@pytest.mark.parametrize("name", ["all", "old_correct", "neg_flip", "new_incorrect", "shuffled"])
def test_whether_a_model_is_right_is_asked_of_all_classes(name):
    new, old, _ = make(4)
    target = torch.tensor([5, 5, 0, 1])
    old_logits = torch.tensor([[9.0, 0, 0, 0]] * 4)  # says 5 each time
    new_logits = torch.zeros(4, 7)
    for row, answer in enumerate([5, 1, 0, 1]):  # 1 is a class that the old model does not know
        new_logits[row, answer] = 9.0
    spec = {"name": name, "base": 1, "scale": 2}
    plan = Objective(LDI(), FOCUSES.build(spec), weight=1.0, known_classes=KNOWN)
    weights = plan(new._replace(logits=new_logits), old._replace(logits=old_logits), target).focus
    expected = {
        "all": [1, 1, 1, 0],
        "old_correct": [3, 3, 1, 0],
        "neg_flip": [1, 3, 1, 0],  # the second sample's flip is to a class of the new model alone
        "new_incorrect": [1, 3, 1, 0],
        "shuffled": [3, 3, 1, 0],  # of old_correct
    }
    assert weights.tolist() == expected[name]


def test_no_gradient_reaches_the_old_model():
    new, old, target = make()
    objective({"name": "l2"}, focus={"name": "old_correct"})(new, narrowed(old), target).total.backward()
    assert old.logits.grad is None


def test_auxiliary_heads_keep_all_classes():
    new, old, target = make()
    aux = make(seed=4)[0].logits
    terms = objective({"name": "l2"})(new._replace(aux=(aux,)), narrowed(old), target)
    heads = [functional.cross_entropy(z, target, reduction="none") for z in (new.logits, aux)]
    torch.testing.assert_close(terms.cross_entropy, sum(heads))


def test_a_loss_without_teacher_does_not_ask_for_the_classes():
    new, _, target = make()
    plain = build_objective(ObjectiveConfig(), known_classes=KNOWN)
    torch.testing.assert_close(plain(new, None, target).total, functional.cross_entropy(new.logits, target))


@pytest.mark.parametrize("known", [(), (0, 0), (-1, 2)])
def test_classes_that_are_none_are_refused(known):
    with pytest.raises(ValueError, match="known_classes should be distinct"):
        objective({"name": "l2"}, known)


def test_logits_that_do_not_fit_the_classes_are_refused():
    new, old, target = make()
    with pytest.raises(ValueError, match=r"new logits are \(12, 4\), but old logits are \(12, 7\)"):
        objective({"name": "l2"})(new, old, target)
    with pytest.raises(ValueError, match="known_classes should be below 7"):
        objective({"name": "l2"}, (0, 7, 1, 2))(new, narrowed(old), target)
    # A distance that asks nothing of the old model does not look at its logits; the focus does.
    with pytest.raises(ValueError, match="old logits are"):
        objective({"name": "ce"}, focus={"name": "old_correct"})(new, old, target)
