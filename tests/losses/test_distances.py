"""Single facts about kl, l2, ldi, ce and cna that no property over all of them states."""

from __future__ import annotations

import math

import pytest
import torch
from loss_cases import make

from pct_mlops.config import PctError
from pct_mlops.losses import CE, CNA, DISTANCES, KL, L2, LDI
from pct_mlops.models.output import ModelOutput


def outputs(new, old, features=(None, None)):
    return ModelOutput(torch.tensor(new), features[0]), ModelOutput(torch.tensor(old), features[1])


def test_registered_names_build_the_exported_classes():
    built = {name: type(DISTANCES.build({"name": name})) for name in DISTANCES}
    assert built == {"kl": KL, "l2": L2, "ldi": LDI, "cna": CNA, "ce": CE}


def test_kl_does_not_vanish_at_a_high_temperature():
    # For large T, T^2 * KL tends to half the variance of the logit differences under a uniform prediction.
    new, old = outputs([[1.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 0.0]])
    value = KL(temperature=1000.0)(new, old, torch.tensor([0]))
    assert value.item() == pytest.approx(0.5 * (1 / 4 - 1 / 16), rel=1e-3)


def test_kl_keeps_its_digits_at_the_default_temperature():
    new, old, target = make(200, 100, seed=3)
    near = new._replace(logits=old.logits.detach() + 0.01 * torch.randn(200, 100))
    double = [torch.log_softmax(o.logits.detach().double() / 100, dim=1) for o in (old, near)]
    expected = 1e4 * (double[0].exp() * (double[0] - double[1])).sum(dim=1)
    torch.testing.assert_close(KL()(near, old, target).double(), expected, rtol=1e-2, atol=1e-8)


def test_l2_does_not_grow_with_the_number_of_classes():
    for num_classes in (2, 2000):
        new, old = outputs([[3.0] * num_classes], [[1.0] * num_classes])
        assert L2()(new, old, torch.tensor([0])).item() == pytest.approx(2.0)


def test_ldi_top_k_is_taken_over_classes_and_not_over_the_batch():
    new, old = outputs([[9.0, 0.0, 8.0], [0.0, 0.1, 0.2]], [[0.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
    value = LDI(margin=0.0, p=1, top_k=2)(new, old, torch.tensor([0, 0]))
    torch.testing.assert_close(value, torch.tensor([8.5, 0.15]))


def test_ldi_of_one_sample_does_not_depend_on_the_others():
    new, old, target = make()
    distance = LDI(top_k=3)
    alone = distance(ModelOutput(new.logits[:1]), ModelOutput(old.logits[:1]), target[:1])
    torch.testing.assert_close(alone, distance(new, old, target)[:1])


def test_ldi_top_k_beyond_the_classes_says_what_to_do():
    new, old, target = make(num_classes=4)
    assert LDI(top_k=4)(new, old, target).shape == (12,)
    with pytest.raises(PctError, match="top_k is 5, but there are 4 classes"):
        LDI(top_k=5)(new, old, target)


def test_ldi_inside_the_margin_is_free_and_without_gradient():
    _, old, target = make()
    near = ModelOutput((old.logits.detach() + 0.49).requires_grad_())
    value = LDI(norm=True)(near, old, target)
    value.sum().backward()
    assert value.count_nonzero() == 0
    assert near.logits.grad.count_nonzero() == 0


def test_ldi_excluded_target_counts_in_the_mean():
    new, old = outputs([[4.0, 1.0]], [[0.0, 0.0]])
    value = LDI(margin=0.0, p=1, exclude_target=True)(new, old, torch.tensor([0]))
    assert value.item() == pytest.approx(0.5)


def test_ldi_relative_margin_survives_old_logits_of_zero():
    new, old = outputs([[1.0, -1.0]], [[0.0, 0.0]])
    assert bool(torch.isfinite(LDI(relative_margin=True)(new, old, torch.tensor([0]))).all())


def features(rows):
    return torch.tensor(rows, dtype=torch.float32)


def cna_outputs(new_rows, old_rows, num_classes=3):
    logits = torch.zeros(len(new_rows), num_classes)
    return ModelOutput(logits, features(new_rows).requires_grad_()), ModelOutput(logits, features(old_rows))


def test_cna_by_hand():
    # Old: 0 and 1 are neighbours, 2 is nearest to 1. New cosines: (0,1) = 0, (0,2) = 1, (1,2) = 0.
    new, old = cna_outputs([[1, 0], [0, 2], [3, 0]], [[1, 0], [1, 0.1], [0, 1]])
    value = CNA(temperature=1.0)(new, old, torch.tensor([0, 0, 0]))
    expected = [math.log(1 + math.e), math.log(2), math.log(1 + math.e)]
    torch.testing.assert_close(value, torch.tensor(expected))


def test_supervised_cna_leaves_a_sample_without_its_class_at_zero():
    # A class compared with itself would make every sample everybody's positive, and none would be zero.
    new, old, _ = make(6)
    target = torch.tensor([0, 0, 1, 1, 1, 2])
    for summation in ("in", "out"):
        value = CNA(supervised=True, temperature=0.5, summation=summation)(new, old, target)
        assert (value == 0).tolist() == [False, False, False, False, False, True]
        value[5].backward(retain_graph=True)
        assert new.features.grad.count_nonzero() == 0
        new.features.grad = None


def test_supervised_cna_depends_on_the_classes():
    new, old, _ = make(6)
    distance = CNA(supervised=True, temperature=0.5)
    one, other = (distance(new, old, torch.tensor(y)) for y in ([0, 0, 0, 1, 1, 1], [0, 1, 0, 1, 0, 1]))
    assert not torch.allclose(one, other)


def test_cna_ignores_the_length_of_features_and_takes_other_widths():
    new, old, target = make()
    longer = new._replace(features=new.features * torch.rand(12, 1).add(0.5))
    wider = old._replace(features=torch.cat([old.features, torch.zeros(12, 4)], dim=1))
    torch.testing.assert_close(CNA()(longer, wider, target), CNA()(new, old, target), rtol=1e-4, atol=1e-4)


def test_cna_of_features_without_direction_has_a_finite_gradient():
    new, old = cna_outputs([[0, 0], [0, 1], [1, 1]], [[0, 0], [1, 0], [0, 1]])
    value = CNA()(new, old, torch.tensor([0, 1, 2]))
    value.sum().backward()
    assert bool(torch.isfinite(value).all())
    assert float(new.features.grad.abs().max()) < 1e3
    assert new.features.grad[0].count_nonzero() == 0
