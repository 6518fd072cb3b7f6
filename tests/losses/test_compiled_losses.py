"""torch.compile takes every objective as one graph, values and gradients included.

The focus shuffled is the exception: its permutation comes from a generator on the CPU, seeded from the batch, and no
graph can hold one; it is a control, so that costs nobody a training. Over several processes cna and contrastive fa
gather rows by torch.distributed, which breaks the graph in two.
"""

from __future__ import annotations

import pytest
import torch
from loss_cases import built, first, make

from pct_mlops.losses import DISTANCES, build_focus, build_objective


def compiled(function):
    torch._dynamo.reset()
    # aot_eager traces the backward pass too, and needs no C compiler.
    return torch.compile(function, backend="aot_eager", fullgraph=True)


def value_and_gradients(function, new, old, target):
    value = function(new, old, target)
    return value, torch.autograd.grad(value.sum(), [new.logits, new.features], allow_unused=True)


def test_every_distance_and_focus_compiles_in_one_graph():
    # All in one graph: building graphs is what takes time here. An error names the line that breaks it.
    new, old, target = make()
    distances = [built(first(name)) for name in DISTANCES]
    focuses = [build_focus(name) for name in ("all", "old_correct", "neg_flip", "new_incorrect")]

    def values(*outputs):
        return torch.stack([part(*outputs) for part in (*distances, *focuses)])

    expected = value_and_gradients(values, new, old, target)
    torch.testing.assert_close(value_and_gradients(compiled(values), new, old, target), expected)


def test_the_objective_compiles_in_one_graph():
    new, old, target = make()
    objective = build_objective("kl")

    def total(*outputs):
        return objective(*outputs).total

    expected = value_and_gradients(total, new, old, target)
    torch.testing.assert_close(value_and_gradients(compiled(total), new, old, target), expected)


def test_the_shuffled_focus_compiles_with_a_break():
    new, old, target = make()
    focus = build_focus("shuffled")
    with pytest.raises(torch._dynamo.exc.Unsupported):
        compiled(focus)(new, old, target)
    torch._dynamo.reset()
    assert torch.compile(focus, backend="eager")(new, old, target).equal(focus(new, old, target))
