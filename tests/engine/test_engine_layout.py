"""The layout of a network never meets the layers that oneDNN computes wrongly."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from fit_cases import make_model
from torch import nn

from pct_mlops.engine.layout import is_miscomputed, to_channels_last

TRAIN_THE_LAYER = """
import sys
import torch
from torch import nn
from pct_mlops.engine.layout import to_channels_last

torch.set_num_threads(int(sys.argv[1]))


def gradients(channels, prepare, images_format):
    torch.manual_seed(0)
    model = prepare(nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 8, 1, 2, bias=False)))
    images = torch.randn(8, 3, 8, 8).contiguous(memory_format=images_format)
    model(images).square().mean().backward()
    return [parameter.grad for parameter in model.parameters()]


for channels in range(2, 8):
    with torch.backends.mkldnn.flags(enabled=False):
        expected = gradients(channels, lambda model: model, torch.contiguous_format)
    for _ in range(20):
        found = gradients(channels, to_channels_last, torch.channels_last)
        print(max(float((a - b).norm() / b.norm()) for a, b in zip(found, expected)))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_the_affected_layer_has_the_gradients_of_the_contiguous_layout(threads):
    """In a process of its own, which the fault would end; as on a processor without AVX-512, whatever runs it."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_THE_LAYER, str(threads)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    errors = [float(line) for line in done.stdout.split()]
    assert len(errors) == 6 * 20
    assert max(errors) < 1e-5


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(2, 8, 1, 2), True),
        (nn.Conv2d(7, 8, 1, 2), True),
        (nn.Conv2d(4, 8, 1, 3), True),
        (nn.Conv2d(4, 8, 1, (1, 2)), True),
        (nn.Conv2d(4, 8, 1, (2, 1)), True),
        (nn.Conv2d(8, 16, 1, 2, groups=2), True),
        (nn.Conv2d(8, 8, 1, 2), False),
        (nn.Conv2d(4, 8, 1, 1), False),
        (nn.Conv2d(4, 8, 3, 2), False),
        (nn.Conv2d(4, 8, 2, 2), False),
        (nn.Conv2d(4, 8, (1, 3), 2), False),
        (nn.Linear(4, 8), False),
    ],
    ids=str,
)
def test_which_layers_are_affected(layer, expected):
    assert is_miscomputed(layer) is expected


def layouts_of(model, images):
    """For each convolution, whether its weight and its input arrive in a layout that torch takes for channels last."""
    found = {}

    def look(name):
        def hook(layer, inputs, output):
            tensors = (layer.weight, inputs[0])
            found[name] = [is_channels_last(tensor) for tensor in tensors]

        return hook

    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(look(name))
    model(images)
    return found


def is_channels_last(tensor):
    """As torch's convolution decides: by the strides, those of sizes of 1 included."""
    return tensor.stride(1) == 1 and tensor.stride(3) >= tensor.size(1) > 1


def test_a_network_is_channels_last_but_for_its_affected_layers():
    model = make_model(width=4)
    affected = {name for name, layer in model.named_modules() if is_miscomputed(layer)}
    assert affected
    channels = model.architecture.image_shape[0]
    images = torch.rand(4, *model.architecture.image_shape).expand(4, channels, -1, -1)
    found = layouts_of(to_channels_last(model), images.contiguous(memory_format=torch.channels_last))
    for name, (weight, images_last) in found.items():
        if name in affected:
            assert (weight, images_last) == (False, False), name
        elif model.get_submodule(name).in_channels > 1:
            assert weight, name
            assert images_last, name


def test_maps_of_one_pixel_and_of_any_layout_arrive_contiguous():
    layer = to_channels_last(nn.Sequential(nn.Conv2d(4, 8, 1, 2)))
    for size in (1, 2, 8):
        images = torch.rand(2, size, size, 4).permute(0, 3, 1, 2)
        assert list(layouts_of(layer, images).values()) == [[False, False]]


def test_a_network_that_is_laid_out_twice_copies_its_inputs_once():
    layer = nn.Conv2d(4, 8, 1, 2)
    to_channels_last(to_channels_last(layer))
    assert len(layer._forward_pre_hooks) == 1


def test_a_network_without_such_layers_is_left_alone():
    model = to_channels_last(make_model(width=8))
    assert not any(module._forward_pre_hooks for module in model.modules())
