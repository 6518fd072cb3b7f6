"""Every architecture by its name: shapes on the meta device for all, real numbers for a few."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from accelerate import init_empty_weights
from torch.nn.functional import cross_entropy

from pct_mlops.config import PctError
from pct_mlops.models import build_model, model_names
from pct_mlops.models.torchvision_zoo import LARGE_INPUT, names


@contextmanager
def no_memory(name: str) -> Iterator[None]:
    """Weights without values: nothing is allocated or computed, only shapes."""
    # RegNet's constructor computes its widths with tensors and reads them, which the meta device cannot do.
    with init_empty_weights(include_buffers=False) if name.startswith("regnet") else torch.device("meta"):
        yield


def test_torchvision_offers_what_is_known_to_work() -> None:
    assert {"resnet50", "vit_b_16", "swin_t", "convnext_tiny", "regnet_y_400mf", "maxvit_t"} <= set(names())
    assert len(names()) >= 80
    assert set(names()) <= set(model_names())


@pytest.mark.parametrize("name", model_names())
def test_every_name_gives_logits_and_features(architecture, name: str) -> None:
    size = 28 if name.startswith("small_") else LARGE_INPUT.get(name, 224)
    with no_memory(name):
        model = build_model(architecture(name, size)).to("meta")
    output = model(torch.empty(2, 3, size, size, device="meta"))
    assert output.logits.shape == (2, 10)
    assert output.features.shape == (2, model.head.in_features)
    assert output.aux == ()
    # Nothing of the thousand ImageNet classes is left behind.
    assert not any(1000 in parameter.shape for key, parameter in model.named_parameters() if "gamma" not in key)
    assert model.training


@pytest.mark.parametrize(
    ("name", "size", "channels", "kwargs"),
    [
        ("small_resnet8", 28, 1, {"width": 8}),
        ("small_resnet8", 28, 1, {"width": 8, "norm": "group"}),
        ("small_resnet14", 16, 3, {"width": 4, "stem_stride": 2}),
        ("resnet18", 64, 3, {}),
        ("mobilenet_v3_small", 64, 3, {}),
        ("squeezenet1_1", 64, 3, {}),
    ],
)
def test_gradients_reach_every_parameter(architecture, name: str, size: int, channels: int, kwargs: dict) -> None:
    model = build_model(architecture(name, size, channels, **kwargs))
    output = model(torch.rand(4, channels, size, size))
    assert output.logits.shape == (4, 10)
    assert torch.isfinite(output.logits).all()
    torch.testing.assert_close(output.logits, model.head(output.features))
    cross_entropy(output.logits, torch.tensor([0, 3, 5, 9])).backward()
    without = [key for key, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_group_norm_does_not_look_at_the_rest_of_the_batch(architecture) -> None:
    images = torch.rand(6, 1, 12, 12)
    for norm, same in (("group", True), ("batch", False)):
        model = build_model(architecture("small_resnet8", 12, 1, width=8, norm=norm)).train()
        alone, together = model(images[:3]).logits, model(images).logits[:3]
        assert torch.allclose(alone, together, atol=1e-5) is same


@pytest.mark.parametrize(
    ("name", "size", "channels", "kwargs", "says"),
    [
        ("smal_resnet8", 28, 1, {}, r"^Unknown architecture 'smal_resnet8': choose one of small_resnet8, "),
        ("resnet_50", 64, 3, {}, r"choose one of resnet50, "),
        ("resnet18", 28, 1, {}, r"^resnet18 takes colour images, but the data set has 1 channel: use a small_resnet"),
        ("small_resnet8", 28, 1, {"norm": "layer"}, r"Invalid model\.kwargs for small_resnet8 .*norm \(batch or group"),
        ("small_resnet8", 28, 1, {"wdth": 8}, r"'wdth'.*it takes width"),
        ("small_resnet8", 28, 1, {"width": 0}, r"width and stem_stride should be 1 or more"),
        ("small_resnet8", 28, 1, {"stem_stride": 0}, r"width and stem_stride should be 1 or more"),
        ("small_resnet8", 28, 1, {"width": 12, "norm": "group"}, r"divisible"),
        ("resnet18", 64, 3, {"foo": 1}, r"Invalid model\.kwargs for resnet18 .*'foo'"),
        ("resnet18", 64, 3, {"norm_layer": "group"}, r"Invalid model\.kwargs for resnet18 .*not callable"),
        ("resnet50", 64, 3, {"replace_stride_with_dilation": [1]}, r"Invalid model\.kwargs for resnet50"),
        ("googlenet", 64, 3, {"aux_logits": True}, r"without its auxiliary heads: leave aux_logits out"),
        ("alexnet", 28, 3, {}, r"^alexnet does not take images of 28x28 .*set data\.image_size .*made for 224\.$"),
        ("vit_b_32", 64, 3, {}, r"^vit_b_32 does not take images of 64x64 .*Expected 224"),
    ],
)
def test_what_cannot_be_built_says_what_to_do(
    architecture, name: str, size: int, channels: int, kwargs: dict, says: str
) -> None:
    with pytest.raises(PctError, match=says), torch.device("meta"):
        build_model(architecture(name, size, channels, **kwargs))


def test_looking_at_the_image_size_draws_no_random_numbers(architecture) -> None:
    # Initial weights follow from the seed alone; a look at shapes must not move the generator or the statistics.
    torch.manual_seed(3)
    model = build_model(architecture("mobilenet_v3_small", 64))
    after = torch.rand(1)
    torch.manual_seed(3)
    import torchvision

    network = torchvision.models.mobilenet_v3_small()
    network.classifier[-1] = torch.nn.Identity()
    torch.nn.Linear(model.head.in_features, 10)
    assert torch.equal(after, torch.rand(1))
    for one, other in zip(model.backbone.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(one, other)
