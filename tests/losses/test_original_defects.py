"""Defects of the original research code that must not come back: each test fails where its defect is put in again."""

from __future__ import annotations

import torch
from loss_cases import make
from torch import nn
from torch.nn import functional

from pct_mlops.config import ObjectiveConfig
from pct_mlops.losses import CNA, DISTANCES, LDI, Binding, build_objective
from pct_mlops.models.output import ModelOutput


def test_weights_n1_broadcast_against_losses_n_so_that_focus_did_nothing():
    # The mean of [N, 1] * [N] is mean(weights) * mean(losses): every sample weighs the same, whoever is chosen.
    new, old, _ = make(2, 3)
    new = new._replace(logits=torch.tensor([[4.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    old = old._replace(logits=torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
    focus = {"name": "old_correct", "base": 0, "scale": 1}
    objective = build_objective(ObjectiveConfig(loss="l2", focus=focus, mix=1.0))
    distance = objective(new, old, torch.tensor([0, 0])).distance
    for target, chosen in (([2, 0], 0), ([0, 2], 1)):
        terms = objective(new, old, torch.tensor(target))
        assert terms.focus.shape == (2,)
        torch.testing.assert_close(terms.total, distance[chosen] / 2)
    assert not torch.isclose(distance[0], distance[1])


def test_top_k_over_the_batch_axis():
    # Sample 0's highest classes are 0 and 2, sample 1's are 1 and 2; over the batch, sample 0 would win classes 0 and 2
    # and sample 1 class 1 alone, and each sample would be judged by the other's classes.
    new = ModelOutput(torch.tensor([[9.0, 0.0, 8.0], [0.0, 0.2, 0.1]]))
    old = ModelOutput(torch.tensor([[0.0, 5.0, 0.0], [7.0, 0.0, 0.0]]))
    distance, target = LDI(margin=0.0, p=1.0, top_k=2), torch.tensor([0, 0])
    torch.testing.assert_close(distance(new, old, target), torch.tensor([8.5, 0.15]))
    alone = [
        distance(ModelOutput(new.logits[i : i + 1]), ModelOutput(old.logits[i : i + 1]), target[:1]) for i in (0, 1)
    ]
    torch.testing.assert_close(distance(new, old, target), torch.cat(alone))


def test_supervised_cna_comparing_targets_with_themselves():
    # y == y is true everywhere: supervision would change nothing, and nobody would be alone in his class.
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    new = ModelOutput(torch.zeros(4, 3), torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [0.0, 1.0]]))
    old = ModelOutput(torch.zeros(4, 3), features)
    target = torch.tensor([0, 1, 0, 2])  # the nearest neighbour is of another class for everybody
    supervised = CNA(temperature=0.5, supervised=True)(new, old, target)
    assert supervised[1] == 0
    assert supervised[3] == 0
    cosine = (new.features @ new.features.T / 0.5).fill_diagonal_(-torch.inf)
    expected = -cosine.log_softmax(dim=1)[torch.tensor([0, 2]), torch.tensor([2, 0])]
    torch.testing.assert_close(supervised[[0, 2]], expected)
    assert not torch.allclose(supervised, CNA(temperature=0.5)(new, old, target))


def test_nan_on_an_empty_class_intersection():
    # The original selected the samples of known classes first, and took the mean of none.
    new, old, _ = make()
    target = torch.full((12,), 6)
    for loss in ("kl", "l2", "ldi", "cna", "ldi+cna", "renyi", "rce", "fa", "rp", "bct"):
        objective = build_objective(ObjectiveConfig(loss=loss, mix=0.5), known_classes=(0, 1))
        objective = objective.bind(Binding(7, 5, 5, nn.Linear(5, 2)))
        terms = objective(new, old._replace(logits=old.logits[:, :2]), target)
        expected = 0.5 * functional.cross_entropy(new.logits, target, reduction="none").mean()
        assert terms.total.item() == expected.item(), loss
        ours = torch.autograd.grad(terms.total, new.logits, retain_graph=True)[0]
        assert ours.equal(torch.autograd.grad(expected, new.logits)[0]), loss


def test_bct_head_never_loaded():
    # A head of random weights teaches compatibility with nothing.
    new, old, target = make()
    heads = [nn.Linear(5, 7) for _ in range(2)]
    values = [DISTANCES.build({"name": "bct"}).bind(Binding(7, 5, 5, head))(new, old, target) for head in heads]
    for value, head in zip(values, heads, strict=True):
        torch.testing.assert_close(value, functional.cross_entropy(head(new.features), target, reduction="none"))
    assert not torch.allclose(values[0], values[1])


def test_a_weight_dropped():
    # As with the first member of the original's ensembles: each term's weight counts, the first one's included.
    new, old, target = make()
    parts = [DISTANCES.build({"name": name})(new, old, target) for name in ("l2", "kl")]
    terms = [{"weight": 3, "distance": {"name": "l2"}}, {"weight": 0.5, "distance": {"name": "kl"}}]
    both = DISTANCES.build({"name": "sum", "terms": terms})(new, old, target)
    torch.testing.assert_close(both, 3 * parts[0] + 0.5 * parts[1])
