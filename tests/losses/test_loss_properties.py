"""What must hold of every registered distance and focus, whatever it computes."""

from __future__ import annotations

import pytest
import torch
from loss_cases import DISTANCE_CASES, FOCUS_CASES, built, case_id, cast, first, make, params, take
from torch.utils._python_dispatch import TorchDispatchMode

from pct_mlops.config import PctError
from pct_mlops.losses import DISTANCES, FOCUSES

each_distance = pytest.mark.parametrize("spec", params(DISTANCE_CASES), ids=case_id)
each_focus = pytest.mark.parametrize("spec", params(FOCUS_CASES), ids=case_id)


def weigh(spec, new, old, target, index=None):
    focus = FOCUSES.build(spec)
    if not focus.needs_index:
        return focus(new, old, target)
    return focus(new, old, target, torch.arange(len(target)) if index is None else index)


@each_distance
def test_distance_is_one_finite_number_per_sample(spec):
    new, old, target = make()
    value = built(spec, new, old)(new, old, target)
    assert value.shape == (12,)
    assert value.dtype == torch.float32
    assert bool(torch.isfinite(value).all())
    assert bool((value >= -1e-5).all())
    assert float(value.detach().sum()) > 0, "a distance that is zero on different models teaches nothing"


@each_distance
def test_distance_of_a_model_to_itself(spec):
    new, _, target = make()
    distance = built(spec, new, new)
    value = distance(new, new, target)
    if distance.zero_at_equality:
        torch.testing.assert_close(value, torch.zeros(12), rtol=0, atol=1e-6)
    gradients = torch.autograd.grad(value.sum(), [new.logits, new.features], allow_unused=True)
    for gradient in gradients:
        assert gradient is None or bool(torch.isfinite(gradient).all())
        if distance.zero_at_equality and gradient is not None:
            torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-4)


@each_distance
def test_distance_follows_a_permutation_of_the_batch(spec):
    new, old, target = make()
    distance, order = built(spec, new, old), torch.randperm(12, generator=torch.Generator().manual_seed(1))
    moved = distance(take(new, order), take(old, order), target[order])
    torch.testing.assert_close(moved, distance(new, old, target)[order], rtol=1e-4, atol=1e-4)


@each_distance
def test_distance_sends_gradient_to_the_new_model_only(spec):
    new, old, target = make()
    built(spec, new, old)(new, old, target).sum().backward()
    reached = [t.grad for t in (new.logits, new.features) if t.grad is not None]
    assert reached
    assert all(bool(torch.isfinite(gradient).all()) for gradient in reached)
    assert sum(float(gradient.abs().sum()) for gradient in reached) > 0
    assert old.logits.grad is None
    assert old.features.grad is None


@each_distance
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_distance_of_half_precision_outputs_is_computed_in_float32(spec, dtype):
    new, old, target = make()
    new, old = cast(new, dtype), cast(old, dtype)
    distance = built(spec, new, old)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = distance(new, old, target)
    assert value.dtype == torch.float32
    expected = distance(cast(new, torch.float32), cast(old, torch.float32), target)
    torch.testing.assert_close(value, expected, rtol=0, atol=0)


@each_distance
def test_distance_stays_finite_at_the_ends_of_half_precision(spec):
    new, old, target = make()
    # Logits up to 3,000 and features up to 20,000, in opposite directions: their squares overflow float16.
    new = new._replace(logits=(new.logits.sign() * 3e3).half(), features=(new.features.sign() * 2e4).half())
    old = old._replace(logits=(old.logits.sign() * -3e3).half(), features=(old.features.sign() * -2e4).half())
    if spec.get("relative_margin"):
        old = old._replace(logits=old.logits.abs())
    distance = built(spec, new, old)
    assert bool(torch.isfinite(distance(new, old, target)).all())
    # Gradients on the same numbers in float32: a slope of 10^10 is right there, and infinite in float16.
    new = cast(new, torch.float32)
    gradients = torch.autograd.grad(distance(new, old, target).sum(), [new.logits, new.features], allow_unused=True)
    assert all(gradient is None or bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_distance_of_one_sample_and_two_classes():
    new, old, target = make(1, 2)
    for spec in params(DISTANCE_CASES):
        if (spec.get("top_k") or 0) <= 2 or spec["name"] == "cna":
            value = built(spec, new, old)(new, old, target)
            assert value.shape == (1,), spec
            assert bool(torch.isfinite(value).all()), spec


wrong_shapes = {
    "other classes": lambda new, old, y: (new, old._replace(logits=old.logits[:, :-1]), y),
    "one class broadcasts": lambda new, old, y: (new, old._replace(logits=old.logits[:, :1]), y),
    "other batch": lambda new, old, y: (new, take(old, torch.arange(5)), y),
    "one row broadcasts": lambda new, old, y: (new, take(old, torch.arange(1)), y),
    "targets as a column": lambda new, old, y: (new, old, y[:, None]),
    "too few targets": lambda new, old, y: (new, old, y[:3]),
    "targets as floats": lambda new, old, y: (new, old, y.float()),
    "logits of pixels": lambda new, old, y: (new._replace(logits=new.logits[..., None]), old, y),
    "auxiliary logits": lambda new, old, y: (new._replace(aux=(new.logits[:, :2],)), old, y),
}


@pytest.mark.parametrize("spoil", wrong_shapes.values(), ids=wrong_shapes)
@pytest.mark.parametrize("name", sorted(DISTANCES))
def test_distance_refuses_unequal_shapes(name, spoil):
    with pytest.raises(ValueError, match=r"should be|but old logits are"):
        built(first(name))(*spoil(*make()))


@pytest.mark.parametrize("spoil", wrong_shapes.values(), ids=wrong_shapes)
@pytest.mark.parametrize("name", sorted(FOCUSES))
def test_focus_refuses_unequal_shapes(name, spoil):
    with pytest.raises(ValueError, match=r"should be|but old logits are"):
        weigh({"name": name, **FOCUS_CASES[name][0]}, *spoil(*make()), index=torch.arange(12))


@pytest.mark.parametrize("name", sorted(DISTANCES))
def test_distance_says_what_it_lacks(name):
    new, old, target = make()
    distance = built(first(name), new, old)
    if distance.needs_teacher:
        with pytest.raises(PctError, match=f"{name} needs a teacher"):
            distance(new, None, target)
    else:
        assert distance(new, None, target).shape == (12,)
    bare_new, bare_old = new._replace(features=None), old._replace(features=None)
    if distance.needs_features:
        with pytest.raises(PctError, match="old model returns none"):
            distance(new, bare_old, target)
        with pytest.raises(PctError, match="new model returns none"):
            distance(bare_new, old, target)
        with pytest.raises(ValueError, match="features should be"):
            distance(new, old._replace(features=old.features[:4]), target)
    else:
        assert distance(bare_new, bare_old, target).shape == (12,)


bad_parameters = [
    {"name": "kl", "temperature": 0},
    {"name": "kl", "temperature": float("nan")},
    {"name": "ldi", "margin": -0.1},
    {"name": "ldi", "p": 0.5},
    {"name": "ldi", "top_k": 0},
    {"name": "cna", "temperature": -1},
    {"name": "cna", "top_k": 0},
    {"name": "cna", "summation": "both"},
    {"name": "l2", "temperature": 1},
    {"name": "bct", "alpha": 0.5, "single_head": True},
    {"name": "renyi", "alpha": 0},
    {"name": "renyi", "alpha": -1},
    {"name": "renyi", "alpha": 1},
    {"name": "renyi", "alpha": 1.001},
    {"name": "renyi", "alpha": float("inf")},
    {"name": "rce", "two_heads": "perhaps"},
    {"name": "fa", "margin": -0.1},
    {"name": "fa", "margin": float("nan")},
    {"name": "rp", "dim_out": 0},
    {"name": "rp", "dim_out": 2.5},
    {"name": "bct", "alpha": 1.1},
    {"name": "bct", "alpha": -0.1},
    {"name": "sum", "terms": []},
    {"name": "sum", "terms": "ldi+cna"},
    {"name": "sum", "terms": ["ldi"]},
    {"name": "sum", "terms": [{"weight": 1}]},
    {"name": "sum", "terms": [{"distance": "ldi"}]},
    {"name": "sum", "terms": [{"distance": {"name": "l2"}, "scale": 1}]},
    {"name": "sum", "terms": [{"distance": {"name": "l2"}, "weight": -1}]},
    {"name": "sum", "terms": [{"distance": {"name": "l2"}, "weight": "1"}]},
    {"name": "sum", "terms": [{"distance": {"name": "l2"}, "weight": float("nan")}]},
    {"name": "sum", "terms": [{"distance": {"name": "l2"}, "weight": True}]},
]


@pytest.mark.parametrize("spec", bad_parameters, ids=case_id)
def test_distance_refuses_bad_parameters(spec):
    key = next(key for key in spec if key != "name")
    with pytest.raises(PctError, match=key) as caught:
        DISTANCES.build(spec)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message


class Operations(TorchDispatchMode):
    """Counts what runs, and remembers the largest tensor that comes out of it."""

    def __init__(self):
        super().__init__()
        self.count, self.largest = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.count += 1
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, torch.Tensor):
                self.largest = max(self.largest, part.numel())
        return result


@each_distance
def test_distance_has_no_loop_over_samples_and_no_cube(spec):
    counts = []
    for num_samples, num_classes in ((24, 7), (60, 30)):
        new, old, target = make(num_samples, num_classes, 20)
        distance = built(spec, new, old)
        with Operations() as seen:
            distance(new, old, target).sum().backward()
        counts.append(seen.count)
        widest = max(num_samples, num_classes, 20, spec.get("dim_out", 128) if spec["name"] == "rp" else 0)
        assert seen.largest <= num_samples * widest
    assert counts[0] == counts[1]


@each_distance
def test_a_sample_that_takes_no_part_counts_nothing(spec):
    """With target -1: value and gradient 0, and to everybody else as if it were not in the batch."""
    new, old, target = make()
    out = torch.arange(12) % 3 == 1
    distance = built(spec, new, old)
    value = distance(new, old, target.masked_fill(out, -1))
    assert value[out].count_nonzero() == 0
    kept = (~out).nonzero()[:, 0]
    torch.testing.assert_close(value[kept], distance(take(new, kept), take(old, kept), target[kept]))
    gradients = torch.autograd.grad(value.sum(), [new.logits, new.features], allow_unused=True)
    for gradient in gradients:
        assert gradient is None or bool(torch.isfinite(gradient).all())
        assert gradient is None or gradient[out].count_nonzero() == 0


@each_distance
def test_a_batch_of_which_nobody_takes_part_is_zero(spec):
    new, old, _ = make()
    # Not even on the way: who looks for the origin of a NaN with anomaly detection should not be sent here.
    with torch.autograd.set_detect_anomaly(True):
        value = built(spec, new, old)(new, old, torch.full((12,), -1))
        gradients = torch.autograd.grad(value.sum(), [new.logits, new.features], allow_unused=True)
    assert value.tolist() == [0.0] * 12
    for gradient in gradients:
        assert gradient is None or gradient.count_nonzero() == 0
        assert gradient is None or not bool(gradient.isnan().any())


@pytest.mark.parametrize("catalog", [DISTANCES, FOCUSES])
def test_every_name_has_a_summary(catalog):
    for name in catalog:
        summary = catalog.summary(name)
        assert summary.endswith((".", ")")), name
        assert len(summary) < 120, name


@each_focus
def test_focus_is_one_weight_per_sample_without_gradient(spec):
    new, old, target = make()
    weights = weigh(spec, cast(new, torch.float16), cast(old, torch.bfloat16), target)
    assert weights.shape == (12,)
    assert weights.dtype == torch.float32
    assert bool((weights >= 0).all())
    assert not weights.requires_grad


@each_focus
def test_focus_follows_a_permutation_of_the_batch(spec):
    new, old, target = make()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    moved = weigh(spec, take(new, order), take(old, order), target[order], order)
    weights = weigh(spec, new, old, target)
    if spec["name"] == "shuffled":
        # The permutation is random, so only each class's own weights must stay.
        for label in target.unique():
            assert moved[target[order] == label].sort().values.equal(weights[target == label].sort().values)
    else:
        assert moved.equal(weights[order])


@pytest.mark.parametrize("name", sorted(FOCUSES))
def test_focus_says_what_it_lacks(name):
    new, _, target = make()
    spec = {"name": name, **FOCUS_CASES[name][0]}
    if FOCUSES.build(spec).needs_teacher:
        with pytest.raises(PctError, match=f"{name} needs a teacher"):
            weigh(spec, new, None, target)
    else:
        assert weigh(spec, new, None, target).shape == (12,)


@pytest.mark.parametrize("key", ["base", "scale"])
@pytest.mark.parametrize("name", sorted(set(FOCUSES) - {"likelihood"}))
def test_focus_refuses_negative_weights(name, key):
    with pytest.raises(PctError, match=key):
        FOCUSES.build({"name": name, key: -1})
