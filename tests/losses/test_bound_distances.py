"""Distances that own modules: what they draw, train, freeze and refuse."""

from __future__ import annotations

import copy

import pytest
import torch
from loss_cases import bound, built, cast, make
from torch import nn
from torch.nn import functional

from pct_mlops.config import ObjectiveConfig, PctError
from pct_mlops.losses import DISTANCES, Binding, Objective, build_objective

BINDING = Binding(7, 5, 5, nn.Linear(5, 7))


def build(**section) -> Objective:
    return build_objective(ObjectiveConfig(**section))


@pytest.mark.parametrize("spec", [{"name": "rp"}, {"name": "bct"}], ids=lambda spec: spec["name"])
def test_an_unbound_distance_says_that_it_must_be_bound(spec):
    new, old, target = make()
    with pytest.raises(ValueError, match=f"the distance {spec['name']} must be bound first"):
        DISTANCES.build(spec)(new, old, target)
    nested = DISTANCES.build({"name": "sum", "terms": [{"distance": spec}]})
    with pytest.raises(ValueError, match="must be bound first"):
        nested(new, old, target)


def test_binding_is_a_copy_and_leaves_the_rest_alone():
    for spec in ({"name": "kl"}, {"name": "cna"}, {"name": "fa"}):
        distance = DISTANCES.build(spec)
        assert distance.bind(BINDING) is distance
    for spec in ({"name": "rp", "dim_out": 4}, {"name": "bct"}):
        distance = DISTANCES.build(spec)
        again = distance.bind(BINDING)
        assert again is not distance
        assert again == distance
        assert distance.module is None
    assert build(loss="none").bind(BINDING).module is None


def test_objective_binds_its_distance_and_keeps_the_rest():
    objective = build(loss="rp", mix=0.3, label_smoothing=0.1, class_weights=(1.0,) * 7)
    again = objective.bind(BINDING)
    assert objective.module is None
    assert again == objective
    assert isinstance(again.module, nn.Module)
    assert build(loss="kl").bind(BINDING).module is None


def test_rp_draws_from_the_generator():
    def weights(seed):
        torch.manual_seed(seed)
        return [tensor.clone() for tensor in build(loss="rp").bind(BINDING).module.state_dict().values()]

    with torch.random.fork_rng():
        first, same, other = weights(1), weights(1), weights(2)
    assert len(first) == 2
    assert all(a.equal(b) for a, b in zip(first, same, strict=True))
    assert not any(torch.allclose(a, b) for a, b in zip(first, other, strict=True))


def test_rp_projections_keep_lengths_on_average():
    # Entries of N(0, 1 / dim_out): the squared length of a projection is that of the features, in expectation.
    module = bound(DISTANCES.build({"name": "rp", "dim_out": 2000})).module
    for projection in (module.new, module.old):
        assert projection.weight.std().item() == pytest.approx(2000**-0.5, rel=0.05)
        assert projection.weight.mean().abs().item() < 1e-3


@pytest.mark.parametrize("bias", [False, True])
def test_rp_trains_the_new_projection_and_keeps_both(bias):
    new, old, target = make()
    distance = built({"name": "rp", "dim_out": 4, "bias": bias})
    module = distance.module
    trained = {name for name, _ in module.named_parameters()}
    assert trained == ({"new.weight", "new.bias"} if bias else {"new.weight"})
    assert set(module.state_dict()) == trained | {name.replace("new", "old") for name in trained}
    distance(new, old, target).sum().backward()
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in module.parameters())

    before, old_before = distance(new, old, target).detach(), module.old.weight.clone()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        distance(new, old, target).mean().backward()
        optimizer.step()
    assert distance(new, old, target).mean() < 0.9 * before.mean()
    assert module.old.weight.equal(old_before)


def test_rp_of_a_restored_module_goes_on_as_before():
    new, old, target = make()
    distance = built({"name": "rp"})
    other = DISTANCES.build({"name": "rp"}).bind(BINDING)
    assert not torch.allclose(other(new, old, target), distance(new, old, target))
    other.module.load_state_dict(copy.deepcopy(distance.module.state_dict()))
    assert other(new, old, target).equal(distance(new, old, target))


@pytest.mark.parametrize("options", [{"freeze_new": True}, {"share": True}, {"share": True, "freeze_new": True}])
def test_rp_without_a_trained_part_has_no_module(options):
    new, old, target = make()
    distance = built({"name": "rp", **options})
    assert distance.module is None
    distance(new, old, target).sum().backward()
    assert float(new.features.grad.abs().sum()) > 0


def test_rp_share_sees_through_one_projection():
    new, old, target = make()
    shared = built({"name": "rp", "share": True})
    swapped = shared(old, new, target)
    torch.testing.assert_close(swapped, shared(new, old, target))
    with pytest.raises(PctError, match="5 wide and the old one's 9: leave share out"):
        DISTANCES.build({"name": "rp", "share": True}).bind(Binding(7, 5, 9))


def test_rp_gradients_are_float32_under_autocast():
    new, old, target = make()
    distance = built({"name": "rp", "dim_out": 4})
    distance(cast(new, torch.bfloat16), old, target).sum().backward()
    expected = distance.module.new.weight.grad.clone()
    distance.module.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = distance(cast(new, torch.bfloat16), old, target).sum()
    total.backward()
    assert distance.module.new.weight.grad.dtype == torch.float32
    assert distance.module.new.weight.grad.equal(expected)


def test_rp_says_what_does_not_fit():
    with pytest.raises(PctError, match="the old model returns none"):
        DISTANCES.build({"name": "rp"}).bind(Binding(7, 5))
    new, old, target = make(num_features=6)
    with pytest.raises(ValueError, match="5 and 5 wide, as rp was bound to, but they are 6 and 6"):
        built({"name": "rp"}, *make()[:2])(new, old, target)


def test_bct_is_the_cross_entropy_of_the_old_head_on_the_first_features():
    new, old, target = make(num_features=9)
    head = nn.Linear(4, 7)
    distance = DISTANCES.build({"name": "bct"}).bind(Binding(7, 9, 4, head))
    expected = functional.cross_entropy(head(new.features[:, :4]), target, reduction="none")
    torch.testing.assert_close(distance(new, old, target), expected)
    distance(new, old, target).sum().backward()
    assert float(new.features.grad[:, :4].abs().sum()) > 0
    assert new.features.grad[:, 4:].count_nonzero() == 0
    assert head.weight.grad is None


def test_bct_keeps_the_old_head_frozen():
    new, old, target = make()
    head = nn.Linear(5, 7)
    distance = DISTANCES.build({"name": "bct"}).bind(Binding(7, 5, 5, head))
    before = distance(new, old, target)
    assert distance.module is None
    with torch.no_grad():
        head.weight.zero_()
    assert distance(new, old, target).equal(before)
    assert all(parameter.requires_grad for parameter in head.parameters()), "the teacher's own head was changed"


def test_bct_says_what_does_not_fit():
    bct = DISTANCES.build({"name": "bct"})
    with pytest.raises(PctError, match="reads 8 features, but the new model has only 5: set"):
        bct.bind(Binding(7, 5, 8, nn.Linear(8, 7)))
    with pytest.raises(PctError, match="own linear classifier, and this teacher has none"):
        bct.bind(Binding(7, 5, 5))
    with pytest.raises(ValueError, match="6 rows for 7 classes"):
        bct.bind(Binding(7, 5, 5, nn.Linear(5, 6)))
    new, old, target = make(num_features=3)
    with pytest.raises(ValueError, match="at least 5 wide"):
        bct.bind(BINDING)(new, old, target)


def test_bct_over_the_classes_that_both_know():
    new, old, target = make()
    known = (4, 0, 2)
    objective = build_objective(ObjectiveConfig(loss="bct"), known_classes=known)
    head = nn.Linear(5, 3)
    objective = objective.bind(Binding(7, 5, 5, head))
    distance = objective(new, old._replace(logits=old.logits[:, known]), target).distance
    for i, label in enumerate(target.tolist()):
        if label in known:
            expected = functional.cross_entropy(head(new.features[i]), torch.tensor(known.index(label)))
            torch.testing.assert_close(distance[i], expected)
        else:
            assert distance[i] == 0


def test_sum_binds_and_trains_its_terms():
    terms = [{"distance": {"name": "bct"}}, {"distance": {"name": "rp", "dim_out": 3}}, {"distance": {"name": "l2"}}]
    distance = built({"name": "sum", "terms": terms})
    assert distance.needs_old_head
    assert distance.needs_features
    assert set(distance.module.state_dict()) == {"1.new.weight", "1.old.weight"}
    assert [name for name, _ in distance.module.named_parameters()] == ["1.new.weight"]
    new, old, target = make()
    parts = [term.distance(new, old, target) for term in distance.terms]
    torch.testing.assert_close(distance(new, old, target), sum(parts))
    assert built({"name": "sum", "terms": [{"distance": {"name": "l2"}}]}).module is None


def test_sum_needs_what_its_terms_need():
    def needs(*names):
        distance = DISTANCES.build({"name": "sum", "terms": [{"distance": {"name": name}} for name in names]})
        return distance.needs_teacher, distance.needs_features, distance.needs_old_head, distance.zero_at_equality

    assert needs("ce") == (False, False, False, False)
    assert needs("kl", "l2") == (True, False, False, True)
    assert needs("ce", "cna") == (True, True, False, False)
    assert needs("kl", "bct") == (True, True, True, False)
    new, _, target = make()
    assert DISTANCES.build({"name": "sum", "terms": [{"distance": {"name": "ce"}}]})(new, None, target).shape == (12,)


def test_sum_says_which_nested_distance_is_wrong():
    for nested, message in [
        ({"name": "lid"}, "Unknown distance 'lid': choose one of ldi"),
        ({"name": "ldi", "margin": -1}, "Invalid distance ldi: margin"),
        ({"name": "ldi", "T": 1}, "Unknown parameter of distance ldi 'T'"),
        ({}, "A distance needs a 'name'"),
    ]:
        with pytest.raises(PctError, match=message):
            DISTANCES.build({"name": "sum", "terms": [{"distance": nested}]})
