"""The focuses that are no function of one sample's outputs: shuffled and likelihood."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import make

from pct_mlops.config import PctError
from pct_mlops.losses import FOCUSES, align_weights


def shuffled(**parameters):
    return FOCUSES.build({"name": "shuffled", **parameters})


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), of=st.sampled_from(["old_correct", "neg_flip", "new_incorrect", "all"]))
def test_shuffled_keeps_the_weights_of_each_class(seed, of):
    new, old, target = make(40, 4, seed=seed)
    original = FOCUSES.build({"name": of, "base": 0.5, "scale": 2})(new, old, target)
    permuted = shuffled(of={"name": of}, base=0.5, scale=2, seed=seed)(new, old, target)
    for label in range(4):
        assert permuted[target == label].sort().values.equal(original[target == label].sort().values)


def test_shuffled_moves_the_weights():
    new, old, target = make(200, 4)
    original = FOCUSES.build({"name": "old_correct"})(new, old, target)
    permuted = shuffled()(new, old, target)
    assert 20 < int((permuted != original).sum()) < 180


def test_shuffled_depends_on_seed_and_batch_and_not_on_the_number_of_calls():
    new, old, target = make(200, 4)
    focus = shuffled()
    first = focus(new, old, target)
    assert focus(new, old, target).equal(first)
    assert shuffled()(new, old, target).equal(first)
    assert not shuffled(seed=1)(new, old, target).equal(first)


def test_shuffled_permutes_alike_whatever_the_logits_when_mask_and_classes_agree():
    new, old, target = make(50, 4)
    assert shuffled()(new, old._replace(logits=2 * old.logits), target).equal(shuffled()(new, old, target))


def test_shuffled_is_uniform_within_a_class():
    # One weighted sample of four in one class: over seeds, each place should get it about a quarter of the time.
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    output = make(4, 2)[0]._replace(logits=logits)
    target = torch.zeros(4, dtype=torch.int64)
    places = sum(shuffled(base=0, scale=1, seed=seed)(output, output, target) for seed in range(400))
    assert places.sum() == 400
    assert places.min() > 65
    assert places.max() < 135


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ({"name": "old_correct", "scale": 2}, "beside 'of'"),
        ({"name": "shuffled"}, "no condition of its own"),
        ({"name": "likelihood", "weights": [1.0]}, "no condition of its own"),
        ({"name": "old_corect"}, "choose one of old_correct"),
        ("old_correct", "name: old_correct"),
    ],
)
def test_shuffled_refuses_what_it_cannot_shuffle(of, message):
    with pytest.raises(PctError, match=message):
        shuffled(of=of)


def test_shuffled_needs_a_teacher_where_its_focus_does():
    new, old, target = make(40, 4)
    alone = shuffled(of={"name": "new_incorrect"})
    assert alone(new, None, target).equal(alone(new, old, target))
    with pytest.raises(PctError, match="shuffled needs a teacher"):
        shuffled()(new, None, target)


def test_likelihood_reads_each_sample_by_its_index():
    new, old, target = make(3)
    focus = FOCUSES.build({"name": "likelihood", "weights": [0.0, 1.0, 2.0, 3.0]})
    assert focus.needs_index
    assert focus(new, old, target, torch.tensor([3, 0, 2])).tolist() == [3.0, 0.0, 2.0]


def test_likelihood_needs_an_index_of_the_batch():
    new, old, target = make(3)
    focus = FOCUSES.build({"name": "likelihood", "weights": torch.ones(9)})
    for index in (None, torch.tensor([0]), torch.tensor([[0], [1], [2]]), torch.ones(3)):
        with pytest.raises(ValueError, match="needs index"):
            focus(new, old, target, index)
    with pytest.raises(IndexError):
        focus(new, old, target, torch.tensor([0, 1, 9]))


@pytest.mark.parametrize("weights", [[1.0, -1.0], [float("nan")], [[1.0]], "weights.csv", {"a": 1.0}, None])
def test_likelihood_refuses_what_are_no_weights(weights):
    with pytest.raises(PctError, match="training example"):
        FOCUSES.build({"name": "likelihood", "weights": weights})


def test_weights_are_aligned_by_sample_id():
    table = {"b": 2.0, "a": 1.0, "unused": 9.0}
    assert align_weights(table, ["a", "b"]) == [1.0, 2.0]
    with pytest.raises(PctError, match="lacks 2 of 3 training examples, the first is 'c'"):
        align_weights(table, ["c", "a", "d"])
