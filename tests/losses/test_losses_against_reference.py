"""Every registered distance and focus against its independent numpy reference."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import DISTANCE_CASES, FOCUS_CASES, built, case_id, first, make, params
from loss_reference import DISTANCE_REFERENCES, FOCUS_REFERENCES, FOCUSES_TESTED_APART

from pct_mlops.losses import DISTANCES, FOCUSES


def drawn(distance):
    """Weights and biases of what a bound distance owns, as its reference takes them; nothing where it owns nothing."""
    projections, head = (getattr(distance, name, None) for name in ("_projections", "_old_head"))
    layers = ([] if projections is None else [projections.new, projections.old]) + ([] if head is None else [head])
    pairs = [(layer.weight, layer.bias) for layer in layers]
    numbers = [tuple(None if t is None else t.detach().double().numpy() for t in pair) for pair in pairs]
    return [numbers] if numbers else []


def expected_distance(spec, new, old, target):
    arrays = [t.detach().double().numpy() for t in (new.logits, old.logits, new.features, old.features)]
    parameters = {key: value for key, value in spec.items() if key != "name"}
    reference = DISTANCE_REFERENCES[spec["name"]]
    return np.array(reference(*arrays, target.numpy(), *drawn(built(spec, new, old)), **parameters))


def check(spec, new, old, target):
    value = built(spec, new, old)(new, old, target).detach().numpy()
    np.testing.assert_allclose(value, expected_distance(spec, new, old, target), rtol=2e-4, atol=2e-5)


def test_every_registered_distance_has_a_reference_and_cases():
    assert set(DISTANCES) - set(DISTANCE_REFERENCES) == set(), "write their numpy reference in loss_reference.py"
    assert set(DISTANCES) - set(DISTANCE_CASES) == set(), "write their cases in loss_cases.py"
    assert set(DISTANCE_REFERENCES) | set(DISTANCE_CASES) == set(DISTANCES), "a reference or case of nothing"


def test_every_registered_focus_has_a_reference_and_cases():
    covered = set(FOCUS_REFERENCES) | FOCUSES_TESTED_APART
    assert set(FOCUSES) - covered == set(), "write their numpy reference in loss_reference.py"
    assert set(FOCUSES) - set(FOCUS_CASES) == set(), "write their cases in loss_cases.py"
    assert covered | set(FOCUS_CASES) == set(FOCUSES), "a reference or case of nothing"


@pytest.mark.parametrize(("catalog", "cases"), [(DISTANCES, DISTANCE_CASES), (FOCUSES, FOCUS_CASES)])
def test_every_parameter_has_a_case(catalog, cases):
    forgotten = [
        f"{name}.{parameter.name}"
        for name in catalog
        for parameter in inspect.signature(catalog[name]).parameters.values()
        if not any(parameter.name in case and case[parameter.name] != parameter.default for case in cases[name])
    ]
    assert forgotten == [], "give each a value other than its default in loss_cases.py"


@pytest.mark.parametrize("name", sorted(DISTANCE_REFERENCES))
def test_defaults_are_those_of_the_reference(name):
    ours = inspect.signature(DISTANCES[name]).parameters
    reference = inspect.signature(DISTANCE_REFERENCES[name]).parameters
    written = {key: p.default for key, p in reference.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    required = {key for key, default in written.items() if default is inspect.Parameter.empty}
    assert {key for key, p in ours.items() if p.default is inspect.Parameter.empty} == required
    distance = DISTANCES.build(first(name))
    assert {key: getattr(distance, key) for key in set(ours) - required} == {
        key: default for key, default in written.items() if key not in required
    }
    assert set(ours) == set(written)


@pytest.mark.parametrize("spec", params(DISTANCE_CASES), ids=case_id)
@pytest.mark.parametrize("seed", [0, 1])
def test_distance_equals_reference(spec, seed):
    new, old, target = make(seed=seed)
    check(spec, new, old, target)


@pytest.mark.parametrize(
    "spec", [spec for name in ("fa", "rp", "bct") for spec in params({name: DISTANCE_CASES[name]})]
)
def test_feature_distance_of_other_widths_equals_reference(spec):
    widths = [(6, 4)] if spec["name"] == "bct" else [(6, 4), (4, 6)]
    for new_width, old_width in [] if spec.get("share") else widths:
        new, old = make(num_features=new_width)[0], make(num_features=old_width, seed=1)[1]
        check(spec, new, old, make()[2])


focuses_with_reference = [spec for spec in params(FOCUS_CASES) if spec["name"] in FOCUS_REFERENCES]


@pytest.mark.parametrize("spec", focuses_with_reference, ids=case_id)
def test_focus_equals_reference(spec):
    new, old, target = make(num_samples=60, num_classes=4)
    parameters = {key: value for key, value in spec.items() if key != "name"}
    arrays = [t.detach().numpy() for t in (new.logits, old.logits, target)]
    expected = FOCUS_REFERENCES[spec["name"]](*arrays, **parameters)
    np.testing.assert_allclose(FOCUSES.build(spec)(new, old, target).numpy(), expected)


quick = settings(max_examples=25, deadline=None, derandomize=True)


@quick
@given(seed=st.integers(0, 10**6), temperature=st.floats(0.3, 300), scale=st.floats(0.01, 20))
def test_kl_over_temperatures_and_scales(seed, temperature, scale):
    new, old, target = make(6, 5, seed=seed, scale=scale)
    check({"name": "kl", "temperature": temperature}, new, old, target)


@quick
@given(
    seed=st.integers(0, 10**6),
    margin=st.floats(0, 3),
    p=st.floats(1, 4),
    top_k=st.none() | st.integers(1, 5),
    exclude_target=st.booleans(),
    one_sided=st.booleans(),
    norm=st.booleans(),
)
def test_ldi_over_its_parameters(seed, **parameters):
    new, old, target = make(6, 5, seed=seed)
    check({"name": "ldi", **parameters}, new, old, target)


@quick
@given(
    seed=st.integers(0, 10**6),
    num_samples=st.integers(2, 9),
    top_k=st.integers(1, 10),
    temperature=st.floats(0.05, 2),
    supervised=st.booleans(),
    summation=st.sampled_from(["in", "out"]),
)
def test_cna_over_its_parameters(seed, num_samples, **parameters):
    new, old, target = make(num_samples, 3, seed=seed)
    check({"name": "cna", **parameters}, new, old, target)


@quick
@given(
    seed=st.integers(0, 10**6),
    alpha=st.floats(0.05, 0.95) | st.floats(1.05, 6),
    scale=st.floats(0.01, 3),
    reorder=st.booleans(),
)
def test_renyi_over_its_parameters(seed, scale, **parameters):
    new, old, target = make(6, 5, seed=seed, scale=scale)
    check({"name": "renyi", **parameters}, new, old, target)


@quick
@given(
    seed=st.integers(0, 10**6), num_samples=st.integers(1, 9), num_features=st.integers(1, 6), margin=st.floats(0, 9)
)
def test_fa_contrastive_over_its_parameters(seed, num_samples, num_features, margin):
    new, old, target = make(num_samples, 3, num_features, seed=seed)
    check({"name": "fa", "contrastive": True, "margin": margin}, new, old, target)


def gradient(spec, new, old, target):
    total = built(spec, new, old)(new, old, target).sum()
    part = new.features if spec["name"] in ("cna", "fa", "rp", "bct") else new.logits
    return part, torch.autograd.grad(total, part)[0].numpy()


@pytest.mark.parametrize("spec", params(DISTANCE_CASES), ids=case_id)
def test_gradient_is_the_slope_of_the_reference(spec):
    new, old, target = make(5, 4, 3)
    if spec.get("temperature") == 0.01:
        spec = {**spec, "temperature": 0.1}  # a slope over a finite step means little where the curve bends this much
    spec = {key: min(value, 4) if key == "top_k" else value for key, value in spec.items()}
    part, slope = gradient(spec, new, old, target)
    field = "features" if part is new.features else "logits"
    step = 1e-5
    for i, j in [(0, 0), (1, 2), (2, 1), (3, 2), (4, 0)]:
        ends = []
        for sign in (1, -1):
            moved = part.detach().double().clone()
            moved[i, j] += sign * step
            ends.append(expected_distance(spec, new._replace(**{field: moved}), old, target).sum())
        np.testing.assert_allclose(slope[i, j], (ends[0] - ends[1]) / (2 * step), rtol=2e-3, atol=2e-4)
