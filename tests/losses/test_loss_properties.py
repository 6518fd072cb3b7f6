"""What must hold of every registered distance and focus, whatever it computes."""

from __future__ import annotations

import pytest
import torch
from loss_cases import DISTANCE_CASES, FOCUS_CASES, built, case_id, first, make, params
from torch.utils._python_dispatch import TorchDispatchMode

from pct_mlops.config import PctError
from pct_mlops.losses import DISTANCES, FOCUSES
from pct_mlops.testing import DISTANCE_CHECKS, FOCUS_CHECKS


@pytest.mark.parametrize("check", DISTANCE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("spec", params(DISTANCE_CASES), ids=case_id)
def test_every_distance_keeps_the_contract(spec, check):
    check(DISTANCES.build(spec))


@pytest.mark.parametrize("check", FOCUS_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("spec", params(FOCUS_CASES), ids=case_id)
def test_every_focus_keeps_the_contract(spec, check):
    check(FOCUSES.build(spec))


def test_what_a_part_lacks_is_said_under_the_name_that_was_typed():
    new, old, target = make()
    for name in DISTANCES:
        distance = built(first(name), new, old)
        if distance.needs_teacher:
            with pytest.raises(PctError, match=f"{name} needs a teacher"):
                distance(new, None, target)
        if distance.needs_features:
            with pytest.raises(PctError, match=f"{name} compares features, but the old model returns none"):
                distance(new, old._replace(features=None), target)
            with pytest.raises(PctError, match="new model returns none"):
                distance(new._replace(features=None), old, target)
    for name in FOCUSES:
        focus = FOCUSES.build({"name": name, **FOCUS_CASES[name][0]})
        if focus.needs_teacher:
            with pytest.raises(PctError, match=f"{name} needs a teacher"):
                focus(new, None, target)


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


@pytest.mark.parametrize("spec", params(DISTANCE_CASES), ids=case_id)
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


@pytest.mark.parametrize("catalog", [DISTANCES, FOCUSES])
def test_every_name_has_a_summary(catalog):
    for name in catalog:
        summary = catalog.summary(name)
        assert summary.endswith((".", ")")), name
        assert len(summary) < 120, name


@pytest.mark.parametrize("key", ["base", "scale"])
@pytest.mark.parametrize("name", sorted(set(FOCUSES) - {"likelihood"}))
def test_focus_refuses_negative_weights(name, key):
    with pytest.raises(PctError, match=key):
        FOCUSES.build({"name": name, key: -1})
