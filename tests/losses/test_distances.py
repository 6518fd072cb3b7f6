"""Single facts about distances without modules that no property over all of them states."""

from __future__ import annotations

import math

import pytest
import torch
from loss_cases import first, make

from pct_mlops.config import PctError
from pct_mlops.losses import BCT, CE, CNA, DISTANCES, FA, KL, L2, LDI, RCE, RP, Renyi, Sum
from pct_mlops.models.output import ModelOutput


def outputs(new, old, features=(None, None)):
    return ModelOutput(torch.tensor(new), features[0]), ModelOutput(torch.tensor(old), features[1])


def test_registered_names_build_the_exported_classes():
    classes = {name: type(DISTANCES.build(first(name))) for name in DISTANCES}
    logits = {"kl": KL, "l2": L2, "ldi": LDI, "renyi": Renyi, "rce": RCE, "ce": CE}
    assert classes == {**logits, "cna": CNA, "fa": FA, "rp": RP, "bct": BCT, "sum": Sum}


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


def test_rce_teaches_the_target_against_the_old_model_s_other_classes():
    new, old = outputs([[2.0, 50.0, -50.0]], [[9.0, 1.0, 0.0]])
    value = RCE()(new, old, torch.tensor([0]))
    expected = -torch.log_softmax(torch.tensor([2.0, 1.0, 0.0]), dim=0)[0]
    torch.testing.assert_close(value, expected[None])
    mirror = -torch.log_softmax(torch.tensor([9.0, 50.0, -50.0]), dim=0)[0]
    torch.testing.assert_close(RCE(two_heads=True)(new, old, torch.tensor([0])), (expected + mirror)[None])


def test_rce_moves_the_target_s_logit_alone_unless_it_has_two_heads():
    new, old, target = make()
    RCE()(new, old, target).sum().backward()
    assert new.logits.grad.scatter(1, target[:, None], 0.0).count_nonzero() == 0
    new, old, target = make()
    RCE(two_heads=True)(new, old, target).sum().backward()
    assert bool((new.logits.grad != 0).all())


def test_renyi_tends_to_the_divergence_of_kullback_and_leibler():
    new, old, target = make()
    for alpha in (0.99, 1.01):
        torch.testing.assert_close(
            Renyi(alpha=alpha)(new, old, target), KL(temperature=1.0)(new, old, target), rtol=0.05, atol=1e-3
        )


def test_renyi_by_hand():
    new, old = outputs([[0.0, 0.0]], [[math.log(3), 0.0]])
    value = Renyi()(new, old, torch.tensor([0]))
    assert value.item() == pytest.approx(math.log((0.75**2 + 0.25**2) / 0.5))


def test_renyi_keeps_probabilities_that_no_float32_holds():
    new, old = outputs([[0.0, 200.0]], [[200.0, 0.0]])
    assert Renyi()(new, old, torch.tensor([0])).item() == pytest.approx(200.0, rel=1e-5)


def test_renyi_reordered_compares_shapes_and_not_places():
    new, old = outputs([[0.0, 1.0, 3.0]], [[3.0, 0.0, 1.0]])
    assert Renyi(reorder=True)(new, old, torch.tensor([0])).item() == 0
    assert Renyi()(new, old, torch.tensor([0])).item() > 1


def test_fa_compares_the_features_that_both_have():
    new, old, target = make(num_features=5)
    shorter = old._replace(features=old.features[:, :3])
    expected = (new.features[:, :3] - old.features[:, :3]).square().mean(dim=1)
    torch.testing.assert_close(FA()(new, shorter, target), expected)
    torch.testing.assert_close(FA()(shorter, new, target), expected)


def test_fa_contrastive_by_hand():
    # Distances of the new rows to the old ones: 0 and 5 from the first, 5 and 0 from the second.
    new, old = cna_outputs([[0, 0], [3, 4]], [[0, 0], [3, 4]])
    together = FA(contrastive=True, margin=6)(new, old, torch.tensor([1, 1]))
    torch.testing.assert_close(together, torch.tensor([25 / 4, 25 / 4]))
    apart = FA(contrastive=True, margin=6)(new, old, torch.tensor([0, 1]))
    torch.testing.assert_close(apart, torch.tensor([1 / 4, 1 / 4]))


def test_fa_contrastive_of_coinciding_features_has_a_finite_gradient():
    new, old = cna_outputs([[1, 2], [1, 2], [1, 2]], [[1, 2], [1, 2], [1, 2]])
    value = FA(contrastive=True)(new, old, torch.tensor([0, 1, 0]))
    value.sum().backward()
    torch.testing.assert_close(value, torch.tensor([9 / 6, 9 / 3, 9 / 6]))
    assert new.features.grad.count_nonzero() == 0
    assert not bool(new.features.grad.isnan().any())


def test_fa_contrastive_keeps_its_digits_far_from_the_origin():
    new, old, target = make(num_features=8)
    moved = [output._replace(features=output.features + 1000) for output in (new, old)]
    distance = FA(contrastive=True)
    torch.testing.assert_close(distance(*moved, target), distance(new, old, target), rtol=1e-3, atol=1e-3)


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
