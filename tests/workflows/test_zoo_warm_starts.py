"""A start from production's weights, for every architecture of the zoo that fits into a small machine."""

from __future__ import annotations

import pytest
import torch
import torchvision

from pct_mlops.models import Architecture, build_model, model_names
from pct_mlops.workflows.training.initial_weights import warm_start

LARGEST = 150_000_000  # weights; three of the larger ones fill the memory of a small machine
SIZES = {"inception_v3": 299}
OLD, NEW = ("a", "b", "c"), ("c", "d", "a", "b")


def build(name, classes):
    size = 28 if "small_resnet" in name else SIZES.get(name, 224)
    shape = (3, size, size)
    with_norm = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    return build_model(Architecture(name=name, class_names=classes, image_shape=shape, **with_norm))


def names_that_fit():
    """The zoo without its largest models, whose blocks are those of a smaller sibling."""
    published = set(torchvision.models.list_models(module=torchvision.models))

    def num_weights(name):
        return torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"] if name in published else 0

    return [name for name in model_names() if num_weights(name) <= LARGEST]


@pytest.mark.thorough
@pytest.mark.parametrize("name", names_that_fit())
def test_every_architecture_starts_from_its_own_weights(name):
    torch.manual_seed(0)
    source, same, more = build(name, OLD), build(name, OLD), build(name, NEW)
    fresh = more.head.weight.detach().clone()
    warm_start(same, source, "shoes/1")
    warm_start(more, source, "shoes/1")
    theirs, mine, grown = source.state_dict(), same.state_dict(), more.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    backbone = [key for key in theirs if key.startswith("backbone.")]
    assert backbone
    assert all(torch.equal(grown[key], theirs[key]) for key in backbone)
    for name_of_class in OLD:
        row = more.head.weight[NEW.index(name_of_class)]
        assert torch.equal(row, source.head.weight[OLD.index(name_of_class)])
    assert torch.equal(more.head.weight[NEW.index("d")], fresh[NEW.index("d")])
