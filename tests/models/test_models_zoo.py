"""Every architecture by its name: shapes on the meta device for all, real numbers for a few."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from accelerate import init_empty_weights
from torch.nn.functional import cross_entropy
from torchvision.ops import StochasticDepth

from pct_mlops.config import PctError
from pct_mlops.models import build_model, load_weights_into, model_names
from pct_mlops.models.torchvision_zoo import LARGE_INPUT, torchvision_names


@contextmanager
def no_memory(name: str) -> Iterator[None]:
    """Weights without values: nothing is allocated or computed, only shapes."""
    # RegNet's constructor computes its widths with tensors and reads them, which the meta device cannot do.
    with init_empty_weights(include_buffers=False) if name.startswith("regnet") else torch.device("meta"):
        yield


def test_torchvision_offers_what_is_known_to_work() -> None:
    assert {"resnet50", "vit_b_16", "swin_t", "convnext_tiny", "regnet_y_400mf", "maxvit_t"} <= set(torchvision_names())
    assert len(torchvision_names()) >= 80
    assert set(torchvision_names()) <= set(model_names())


# The architectures of the research code under its own names ("swin" alone is a family of torchvision's now).
ORIGINAL = {
    "alexnet": ["alexnet"],
    "vgg11..19(_bn)": [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")],
    "resnet18..152": [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)],
    "resnext": ["resnext50_32x4d", "resnext101_32x8d"],
    "wide_resnet": ["wide_resnet50_2", "wide_resnet101_2"],
    "densenet": ["densenet121", "densenet161", "densenet169", "densenet201"],
    "inception": ["googlenet", "inception_v3"],
    "mnasnet0_5..1_3": ["mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"],
    "mobilenet_v2": ["mobilenet_v2"],
    "shufflenet_v2_x0_5..x2_0": [f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")],
    "squeezenet": ["squeezenet1_0", "squeezenet1_1"],
    "swin": ["swin_t", "swin_s", "swin_b"],
    "ResNets for small images": ["small_resnet14", "small_resnet18"],
    "aux_resnet18..152": [f"aux_resnet{depth}" for depth in (18, 34, 50, 101, 152)],
    "mb_resnet18..152": [f"mb_resnet{depth}" for depth in (18, 34, 50, 101, 152)],
    "stochastic depth": [f"resnet{depth}_StoDepth_lineardecay" for depth in (18, 34, 50, 101, 152)],
}


@pytest.mark.parametrize("row", ORIGINAL)
def test_every_architecture_of_the_research_code_has_its_place(architecture, row: str) -> None:
    for name in ORIGINAL[row]:
        ours = name.replace("_StoDepth_lineardecay", "_stodepth")
        # Each of our names is built, and its outputs are looked at, in the test below; here the other spelling too.
        assert ours in model_names(), name
        if name != ours:
            with torch.device("meta"):
                model = build_model(architecture(name, 64))
            assert model.architecture.name == name
            assert [part.p for part in model.modules() if isinstance(part, StochasticDepth)][-1] == 0.5


# Variants of the wide networks are resnet50's with other numbers: one of each kind stands for all.
WIDE_VARIANT = re.compile(r"(aux|mb)_(resnext|wide_).*|(resnext|wide_).*_stodepth")
NAMES = [name for name in model_names() if not WIDE_VARIANT.fullmatch(name)]


@pytest.mark.parametrize("name", [*NAMES, "aux_resnext50_32x4d", "mb_wide_resnet50_2", "wide_resnet50_2_stodepth"])
def test_every_name_gives_logits_and_features(architecture, name: str) -> None:
    size = 28 if "small_resnet" in name else LARGE_INPUT.get(name, 224)
    with no_memory(name):
        model = build_model(architecture(name, size)).to("meta")
    output = model(torch.empty(2, 3, size, size, device="meta"))
    assert output.logits.shape == (2, 10)
    assert output.features.shape == (2, model.head.in_features)
    if name.startswith(("aux_", "mb_")):
        assert [logits.shape for logits in output.aux] == [(2, 10), (2, 10)]
    else:
        assert output.aux == ()
    # Nothing of the thousand ImageNet classes is left behind.
    assert not any(1000 in parameter.shape for key, parameter in model.named_parameters() if "gamma" not in key)
    assert model.training
    # Weights come back by their names alone, which is all that a file of tensors keeps.
    load_weights_into(model, dict(model.state_dict()), "itself")


@pytest.mark.parametrize(
    ("name", "size", "channels", "kwargs"),
    [
        ("small_resnet8", 28, 1, {"width": 8}),
        ("small_resnet8", 28, 1, {"width": 8, "norm": "group"}),
        ("small_resnet14", 16, 3, {"width": 8, "stem_stride": 2}),
        ("resnet18", 64, 3, {}),
        # Without the dropout of their own between features and head.
        ("mobilenet_v3_small", 64, 3, {"dropout": 0.0}),
        ("squeezenet1_1", 64, 3, {"dropout": 0.0}),
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
        ("resnet18", 64, 3, {"aux_logits": True}, r"Invalid model\.kwargs for resnet18 .*'aux_logits'"),
        ("inception_v3", 224, 3, {"aux_logits": True}, r"does not take images of 224x224 .*made for 299\.$"),
        ("aux_squeezenet1_1", 64, 3, {}, r"^Unknown architecture 'aux_squeezenet1_1': choose one of "),
        ("vgg11_stodepth", 64, 3, {}, r"^Unknown architecture 'vgg11_stodepth': choose one of "),
        ("mb_aux_resnet18", 64, 3, {}, r"^Unknown architecture 'mb_aux_resnet18': choose one of aux_resnet18, "),
        (
            "aux_small_resnet8",
            8,
            1,
            {"dropout_aux": 2},
            r"Invalid model\.kwargs for aux_small_resnet8 .*dropout_aux and",
        ),
        ("mb_resnet18", 64, 1, {}, r"^mb_resnet18 takes colour images"),
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
