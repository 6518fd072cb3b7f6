"""The objective: what it adds up, and how a recipe's section becomes one."""

from __future__ import annotations

import math

import pytest
import torch
from loss_cases import DISTANCE_CASES, bound, built, case_id, cast, make, params
from torch.nn import functional

from pct_mlops.config import ObjectiveConfig, PctError
from pct_mlops.losses import FOCUSES, LDI, PRESETS, Objective, build_objective


def build(**section):
    return bound(build_objective(ObjectiveConfig(**section)))


def parts(spec, focus, new, old, target):
    ce = functional.cross_entropy(new.logits, target, reduction="none")
    return ce, FOCUSES.build(focus)(new, old, target), built(spec)(new, old, target)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_gives_finite_terms_and_gradients(name):
    new, old, target = make()
    objective = build(loss=name)
    terms = objective(new, old, target)
    assert terms.total.shape == ()
    assert [tuple(t.shape) for t in terms[1:]] == [(12,)] * 3
    assert {t.dtype for t in terms} == {torch.float32}
    terms.total.backward()
    assert bool(torch.isfinite(new.logits.grad).all())
    assert float(new.logits.grad.abs().sum()) > 0
    assert old.logits.grad is None
    assert old.features.grad is None
    assert PRESETS[name]["summary"].endswith(".")


def test_presets_name_their_needs():
    needs = {name: (build(loss=name).needs_teacher, build(loss=name).needs_features) for name in PRESETS}
    assert needs == {
        "none": (False, False),
        "update": (True, False),
        "update+mixture": (True, False),
        "naive": (True, False),
        "kl": (True, False),
        "l2": (True, False),
        "ldi": (True, False),
        "elodi": (True, False),
        "mixture": (True, False),
        "cna": (True, True),
        "ldi+cna": (True, True),
        "bct": (True, True),
        "renyi": (True, False),
        "rce": (True, False),
        "fa": (True, True),
        "rp": (True, True),
    }
    assert [name for name in PRESETS if build(loss=name).needs_old_head] == ["bct"]
    assert [name for name in PRESETS if build(loss=name).module is not None] == ["rp"]


@pytest.mark.parametrize("spec", params(DISTANCE_CASES), ids=case_id)
def test_weight_adds_to_the_cross_entropy(spec):
    new, old, target = make()
    focus = {"name": "old_correct", "base": 1, "scale": 5}
    ce, weights, distance = parts(spec, focus, new, old, target)
    terms = build(distance=spec, focus=focus, weight=0.3)(new, old, target)
    torch.testing.assert_close(terms.total, ce.mean() + 0.3 * (weights * distance).mean())
    torch.testing.assert_close(terms.cross_entropy, ce)
    torch.testing.assert_close(terms.distance, distance)
    assert terms.focus.equal(weights)


@pytest.mark.parametrize("spec", params(DISTANCE_CASES), ids=case_id)
def test_mix_shares_between_cross_entropy_and_distance(spec):
    new, old, target = make()
    focus = {"name": "neg_flip", "base": 0.5, "scale": 2}
    ce, weights, distance = parts(spec, focus, new, old, target)
    total = build(distance=spec, focus=focus, mix=0.3)(new, old, target).total
    torch.testing.assert_close(total, 0.7 * ce.mean() + 0.3 * (weights * distance).mean())


def test_mix_has_the_direction_of_its_weight():
    new, old, target = make()
    mixed = torch.autograd.grad(build(loss="ldi", mix=0.8)(new, old, target).total, new.logits)[0]
    added = torch.autograd.grad(build(loss="ldi", weight=4.0)(new, old, target).total, new.logits)[0]
    torch.testing.assert_close(mixed, added * 0.2)


@pytest.mark.parametrize("spec", params(DISTANCE_CASES), ids=case_id)
@pytest.mark.parametrize(
    "silent", [{"weight": 0.0}, {"mix": 0.0}, {"focus": {"name": "old_correct", "base": 0, "scale": 0}}], ids=str
)
def test_weight_zero_leaves_the_gradient_of_the_cross_entropy(spec, silent):
    new, old, target = make()
    total = build(distance=spec, **silent)(new, old, target).total
    ours = torch.autograd.grad(total, [new.logits, new.features], allow_unused=True)
    plain = torch.autograd.grad(functional.cross_entropy(new.logits, target), new.logits)[0]
    torch.testing.assert_close(ours[0], plain)
    assert ours[1] is None or ours[1].count_nonzero() == 0


def test_focus_weighs_each_sample_by_itself():
    # Weights of shape [N, 1] would broadcast to [N, N], whose mean is mean(weights) * mean(distance).
    new, old, target = make(64)
    terms = build(loss="l2", focus={"base": 0, "scale": 1})(new, old, target)
    chosen = old.logits.argmax(dim=1) == target
    assert 0 < int(chosen.sum()) < 64
    expected = terms.cross_entropy.mean() + terms.distance[chosen].sum() / 64
    torch.testing.assert_close(terms.total, expected)
    assert not torch.isclose(terms.total, terms.cross_entropy.mean() + terms.focus.mean() * terms.distance.mean())


def test_an_unfocused_sample_gets_the_gradient_of_cross_entropy_alone():
    new, old, target = make(64)
    total = build(loss="l2", focus={"base": 0, "scale": 5})(new, old, target).total
    ours = torch.autograd.grad(total, new.logits)[0]
    plain = torch.autograd.grad(functional.cross_entropy(new.logits, target), new.logits)[0]
    same = torch.isclose(ours, plain).all(dim=1)
    assert same.equal(old.logits.argmax(dim=1) != target)


def test_a_focus_or_distance_of_another_shape_is_refused():
    new, old, target = make()

    class Column(LDI):
        def per_sample(self, new, old, target):
            return super().per_sample(new, old, target)[:, None]

    with pytest.raises(ValueError, match=r"should all be \[N\]"):
        Objective(Column(), FOCUSES.build({"name": "all"}), weight=1.0)(new, old, target)


@pytest.mark.parametrize("loss", ["none", "kl"])
def test_label_smoothing_is_that_of_torch(loss):
    new, old, target = make()
    terms = build(loss=loss, label_smoothing=0.2, **({} if loss == "none" else {"weight": 0.0}))(new, old, target)
    torch.testing.assert_close(terms.total, functional.cross_entropy(new.logits, target, label_smoothing=0.2))


def test_auxiliary_heads_add_their_cross_entropy():
    new, old, target = make()
    aux = tuple(make(seed=seed)[0].logits for seed in (5, 6))
    terms = build(loss="l2")(new._replace(aux=aux), old, target)
    heads = [functional.cross_entropy(z, target, reduction="none") for z in (new.logits, *aux)]
    torch.testing.assert_close(terms.cross_entropy, sum(heads))
    torch.testing.assert_close(terms.distance, build(loss="l2")(new, old, target).distance)
    terms.total.backward()
    assert all(z.grad is not None for z in aux)


def test_half_precision_under_autocast_gives_float32_terms():
    new, old, target = make()
    for name in PRESETS:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            terms = build(loss=name)(cast(new, torch.bfloat16), cast(old, torch.float16), target)
        assert {t.dtype for t in terms} == {torch.float32}, name
        assert all(bool(torch.isfinite(t).all()) for t in terms), name


def test_loss_none_is_cross_entropy_and_needs_no_teacher():
    new, _, target = make()
    terms = build(loss="none")(new._replace(features=None), None, target)
    torch.testing.assert_close(terms.total, functional.cross_entropy(new.logits, target))
    assert terms.distance.count_nonzero() == 0
    assert terms.focus.equal(torch.ones(12))


def test_naive_is_a_weighted_cross_entropy():
    new, old, target = make()
    ce = functional.cross_entropy(new.logits, target, reduction="none")
    chosen = (old.logits.argmax(dim=1) == target).float()
    torch.testing.assert_close(build(loss="naive")(new, old, target).total, ((1 + 5 * chosen) * ce).mean())


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"none"}))
def test_a_missing_teacher_is_said(name):
    new, _, target = make()
    with pytest.raises(PctError, match="needs a teacher"):
        build(loss=name)(new, None, target)


def test_an_empty_batch_is_refused():
    new, old, target = make(0)
    with pytest.raises(ValueError, match="empty batch"):
        build(loss="none")(new, old, target)


def test_the_index_reaches_a_focus_that_needs_it():
    new, old, target = make(3)
    objective = build(loss="l2", focus={"name": "likelihood", "weights": [1.0, 2.0, 3.0, 4.0]})
    assert objective.needs_index
    terms = objective(new, old, target, index=torch.tensor([2, 0, 3]))
    assert terms.focus.tolist() == [3.0, 1.0, 4.0]
    assert not build(loss="l2").needs_index
    plain = build(loss="l2")
    assert plain(new, old, target, index=torch.tensor([2, 0, 3])).total.equal(plain(new, old, target).total)


def test_a_parameter_alone_changes_the_preset():
    objective = build(loss="ldi", distance={"margin": 0.2}, focus={"base": 2})
    assert (objective.distance.margin, objective.distance.p, objective.mix) == (0.2, 2.0, 0.5)
    assert objective.focus.base == 2


def test_the_preset_s_own_name_merges_too():
    objective = build(loss="cna", distance={"name": "cna", "top_k": 4})
    assert (objective.distance.top_k, objective.distance.temperature) == (4, PRESETS["cna"]["distance"]["temperature"])
    objective = build(loss="kl", focus={"name": "old_correct", "scale": 1})
    assert (objective.focus.base, objective.focus.scale) == (1.0, 1.0)


def test_another_name_replaces_and_keeps_nothing_of_the_preset():
    objective = build(loss="kl", distance={"name": "ldi", "p": 1}, focus={"name": "neg_flip"})
    assert objective.distance == LDI(p=1)
    assert objective.focus == FOCUSES.build({"name": "neg_flip"})
    assert (objective.weight, objective.mix) == (1.0, None)


def test_weight_replaces_mix_and_mix_replaces_weight():
    assert (build(loss="cna", weight=2).weight, build(loss="cna", weight=2).mix) == (2, None)
    assert (build(loss="kl", mix=0.2).weight, build(loss="kl", mix=0.2).mix) == (None, 0.2)
    assert (build(loss="kl", weight=0).weight, build(loss="ldi", mix=0).mix) == (0, 0)


def test_a_distance_of_one_s_own_starts_from_weight_one_and_every_sample():
    objective = build(distance={"name": "l2"})
    assert (objective.weight, objective.mix) == (1.0, None)
    assert objective.focus == FOCUSES.build({"name": "all"})


def test_building_does_not_change_the_presets():
    before = repr(PRESETS)
    build(loss="cna", distance={"top_k": 3}, focus={"scale": 9}, weight=1)
    assert repr(PRESETS) == before


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"loss": "kll"}, "Unknown loss 'kll': choose one of kl,"),
        ({"loss": "none", "weight": 1.0}, "has no distance"),
        ({"loss": "none", "focus": {"name": "all"}}, "has no distance"),
        ({"loss": "none", "distance": {"margin": 1}}, "objective.distance needs a 'name'"),
        ({"loss": "kl", "distance": {"name": "kll"}}, "Unknown distance 'kll'"),
        ({"loss": "kl", "distance": {"margin": 1}}, "Unknown parameter of distance kl 'margin'"),
        ({"loss": "kl", "focus": {"name": "old"}}, "Unknown focus 'old'"),
        ({"loss": "kl", "weight": float("inf")}, "finite"),
    ],
)
def test_a_section_that_fits_nothing_says_what_to_do(section, message):
    with pytest.raises(PctError, match=message):
        build(**section)


def test_weight_and_mix_together_are_refused():
    with pytest.raises(PctError, match="not both"):
        build_objective(ObjectiveConfig.model_construct(loss="kl", weight=1.0, mix=0.5, distance=None, focus=None))
    everyone = FOCUSES.build({"name": "all"})
    with pytest.raises(ValueError, match="either weight or mix"):
        Objective(LDI(), everyone, weight=1.0, mix=0.5)
    with pytest.raises(ValueError, match="either weight or mix"):
        Objective(LDI(), everyone)
    with pytest.raises(ValueError, match="without a distance"):
        Objective(weight=1.0)


@pytest.mark.parametrize(
    "wrong",
    [{"mix": 1.5}, {"mix": -0.1}, {"mix": math.nan}, {"weight": -1.0}, {"weight": math.inf}, {"weight": math.nan}],
)
def test_a_share_or_weight_out_of_its_range_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} should be"):
        Objective(LDI(), **wrong)


@pytest.mark.parametrize("smoothing", [1.0, -0.1, math.nan])
def test_smoothing_out_of_its_range_is_refused(smoothing):
    with pytest.raises(ValueError, match="label_smoothing should be"):
        Objective(label_smoothing=smoothing)
