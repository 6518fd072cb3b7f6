"""Losses over plain logits, by name, with defaults; and targets that are no classes."""

from __future__ import annotations

import pytest
import torch
from loss_cases import DISTANCE_CASES, FOCUS_CASES, bound, built, case_id, first, make, params
from torch.nn import functional

from pct_mlops.config import ObjectiveConfig, PctError
from pct_mlops.losses import (
    DISTANCES,
    FOCUSES,
    LDI,
    PRESETS,
    AllExamples,
    Objective,
    OldCorrect,
    build_distance,
    build_focus,
    build_objective,
)
from pct_mlops.losses.distance import check_targets

ON_LOGITS = [spec for spec in params(DISTANCE_CASES) if not built(spec).needs_features]
FOCUSES_HERE = [spec for spec in params(FOCUS_CASES) if spec["name"] != "likelihood"]


@pytest.mark.parametrize("spec", ON_LOGITS, ids=case_id)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_distances_take_plain_logits_of_any_precision(spec, dtype):
    new, old, target = make()
    logits = new.logits.detach().to(dtype), old.logits.detach().to(dtype)
    value = built(spec)(*logits, target)
    wrapped = built(spec)(new._replace(logits=logits[0]), old._replace(logits=logits[1]), target)
    assert value.equal(wrapped)
    assert value.dtype == torch.float32
    assert bool(torch.isfinite(value).all())


@pytest.mark.parametrize("spec", FOCUSES_HERE, ids=case_id)
def test_focuses_take_plain_logits(spec):
    new, old, target = make()
    focus = FOCUSES.build(spec)
    assert focus(new.logits, old.logits, target).equal(focus(new, old, target))


def test_distances_on_features_ask_for_them_when_given_logits():
    new, old, target = make()
    with pytest.raises(PctError, match="compares features, but the new model returns none"):
        DISTANCES.build({"name": "cna"})(new.logits, old.logits, target)


def test_the_objective_takes_plain_logits_and_sends_gradients_to_the_new_ones_alone():
    new, old, target = make()
    objective = build_objective("kl")
    terms = objective(new.logits, old.logits, target)
    assert terms.total.equal(objective(new, old, target).total)
    terms.total.backward()
    assert new.logits.grad is not None
    assert old.logits.grad is None


@pytest.mark.parametrize("given", [[[0.1, 0.9]], {"logits": torch.zeros(1, 2)}, (torch.zeros(1, 2),)])
def test_what_is_no_output_is_refused(given):
    with pytest.raises(TypeError, match=r"give a ModelOutput or a tensor of logits \[N, C\], not (list|dict|tuple)"):
        LDI()(given, torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_objectives_are_built_by_the_preset_s_name(name):
    assert build_objective(name) == build_objective({"loss": name}) == build_objective(ObjectiveConfig(loss=name))


def test_a_name_or_key_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(PctError, match="Unknown loss 'lid': choose one of ldi"):
        build_objective("lid")
    with pytest.raises(PctError, match=r"objective: unknown key 'wieght' \(did you mean .*weight"):
        build_objective({"loss": "ldi", "wieght": 2})
    with pytest.raises(PctError, match="Unknown parameter of distance ldi 'margins': choose one of margin"):
        build_distance("ldi", margins=1)
    with pytest.raises(PctError, match="Unknown focus 'old_corect': choose one of old_correct"):
        build_focus("old_corect")


def test_parts_are_built_by_name_with_parameters():
    assert build_distance("ldi", margin=0.2) == build_distance({"name": "ldi", "margin": 0.2}) == LDI(margin=0.2)
    assert build_distance({"name": "ldi", "margin": 0.2}, margin=0.3) == LDI(margin=0.3)
    assert build_focus("old_correct", scale=2) == OldCorrect(scale=2)


def test_an_objective_without_a_focus_weighs_every_example_the_same():
    new, old, target = make()
    objective = Objective(LDI(), mix=0.5)
    assert objective.focus == AllExamples()
    assert objective == Objective(LDI(), AllExamples(), mix=0.5)
    ce = functional.cross_entropy(new.logits, target)
    expected = 0.5 * ce + 0.5 * LDI()(new.logits, old.logits, target).mean()
    torch.testing.assert_close(objective(new.logits, old.logits, target).total, expected)
    assert bound(objective).focus == AllExamples()


@pytest.mark.parametrize(("wrong", "advice"), [(-100, "ignore_index"), (-2, "ignore_index"), (7, "more classes")])
def test_targets_that_are_no_classes_are_refused(wrong, advice):
    new, old, target = make()
    target[3] = wrong
    for name in DISTANCES:
        with pytest.raises(ValueError, match=f"classes 0 to 6, or -1 .* one is {wrong}: .*{advice}"):
            built(first(name))(new, old, target)
    for spec in FOCUSES_HERE:
        with pytest.raises(ValueError, match=f"classes 0 to 6, or -1 .* one is {wrong}: .*{advice}"):
            FOCUSES.build(spec)(new, old, target)
    for name in PRESETS:
        with pytest.raises(ValueError, match=f"classes 0 to 6, but one is {wrong}: .*{advice}"):
            bound(build_objective(name))(new, old, target)


def test_the_objective_leaves_nobody_out_in_silence():
    new, _, target = make()
    target[3] = -1
    with pytest.raises(ValueError, match="classes 0 to 6, but one is -1"):
        build_objective("none")(new.logits, None, target)


def test_targets_are_not_looked_at_where_that_would_wait_for_a_device():
    # Tensors of the device "meta" hold no values: whoever looks at one of them fails.
    check_targets(torch.zeros(4, dtype=torch.int64, device="meta"), 3, part_optional=False)


def test_no_target_is_one_to_pass_over_where_nobody_looks_at_values():
    """As on a GPU: the check is left out, and -100 must reach torch's own assertion."""
    new, _, target = make()
    target[3] = -100
    with pytest.raises(IndexError, match="out of bounds"):
        build_objective("none")._ce(new, target)
