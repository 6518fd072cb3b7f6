"""Weights that torchvision publishes, from a source that stands in for the network."""

from __future__ import annotations

import pickle
import urllib.error
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from pct_mlops.config import PctError
from pct_mlops.models import build_model, load_pretrained, load_weights_into
from pct_mlops.models.published import to_our_names

IMAGENET = tuple(torchvision.models.get_model_weights("resnet18").DEFAULT.meta["categories"])


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch):
    """`published(name, **kwargs)`: torchvision's network, whose weights are what any download gives from now on."""
    asked: list[dict] = []

    def serve(name: str, **kwargs) -> nn.Module:
        network = torchvision.models.get_model(name, weights=None, **kwargs).eval()
        monkeypatch.setattr(
            torchvision.models._api,
            "load_state_dict_from_url",
            lambda url, **options: asked.append({"url": url, **options}) or network.state_dict(),
        )
        network.asked = asked
        return network

    return serve


def fresh(architecture, name: str, size: int, class_names=None, **kwargs):
    record = architecture(name, size, 3, **kwargs)
    return build_model(record.model_copy(update={"class_names": class_names or record.class_names}))


def test_backbone_and_head_come_when_the_classes_are_the_weights_own(architecture, published) -> None:
    network = published("mobilenet_v3_small")
    model = fresh(architecture, "mobilenet_v3_small", 32, IMAGENET).eval()
    assert load_pretrained(model, "DEFAULT") is True
    # The images are normalised as torchvision says, not as the data set's statistics were.
    images = torch.rand(2, 3, 32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = network((images - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    torch.testing.assert_close(model(images).logits, expected)
    assert model.architecture.mean == (0.485, 0.456, 0.406)
    assert model.architecture.std == (0.229, 0.224, 0.225)
    # Tensors only, checked against their published hash.
    asked = network.asked[0]
    assert asked.pop("url").rpartition("/")[2].startswith("mobilenet_v3_small-")
    assert asked == {"progress": False, "check_hash": True, "map_location": "cpu", "weights_only": True}


@pytest.mark.parametrize(
    ("changes", "classes"),
    [
        ({}, tuple("abc")),
        ({}, (*IMAGENET[1:], IMAGENET[0])),
        ({"classifier": "cosine"}, IMAGENET),
        ({"embedding_dim": 12}, IMAGENET),
    ],
    ids=["other count", "other order", "cosine", "embedding"],
)
def test_only_the_backbone_comes_when_the_head_does_not_fit(architecture, published, changes, classes) -> None:
    network = published("shufflenet_v2_x0_5")
    record = architecture("shufflenet_v2_x0_5", 32).model_copy(update={"class_names": classes, **changes})
    model = build_model(record)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert load_pretrained(model, "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1") is False
    after, theirs = model.state_dict(), network.state_dict()
    assert torch.equal(after["backbone.conv1.0.weight"], theirs["conv1.0.weight"])
    assert torch.equal(after["backbone.conv5.1.running_var"], theirs["conv5.1.running_var"])
    for key in ("head.weight", "head.bias", "embedding.weight"):
        assert key not in after or torch.equal(after[key], before[key])


@pytest.mark.parametrize("prefix", ["aux_{}", "mb_{}", "{}_stodepth"])
def test_variants_start_from_the_plain_networks_weights(architecture, published, prefix: str) -> None:
    network = published("resnet18")
    model = fresh(architecture, prefix.format("resnet18"), 32, IMAGENET).eval()
    others = {key: value.clone() for key, value in model.aux_heads.state_dict().items()}
    assert load_pretrained(model, "IMAGENET1K_V1") is True
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = network((images - model.mean) / model.std)
        torch.testing.assert_close(model(images).logits, expected)
    assert all(torch.equal(value, others[key]) for key, value in model.aux_heads.state_dict().items())


def test_googlenet_sees_images_as_its_weights_were_trained(architecture, published) -> None:
    # torchvision's published GoogLeNet normalises twice; the file brings auxiliary classifiers that stay away here.
    network = published("googlenet", transform_input=True, init_weights=False)
    model = fresh(architecture, "googlenet", 64, IMAGENET).eval()
    assert load_pretrained(model, "DEFAULT") is True
    assert model.architecture.mean == (0.5, 0.5, 0.5)
    images = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = network((images - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        torch.testing.assert_close(model(images).logits, expected)


def test_squeezenet_keeps_a_head_of_its_own(architecture, published) -> None:
    network = published("squeezenet1_1")
    model = fresh(architecture, "squeezenet1_1", 32, IMAGENET)
    assert load_pretrained(model, "DEFAULT") is False
    assert torch.equal(model.backbone.features[0].weight, network.features[0].weight)


@pytest.mark.parametrize(
    ("name", "size", "old"),
    [
        # As the published files of both spell it.
        ("densenet121", 32, lambda key: key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.")),
        ("vit_b_32", 224, lambda key: key.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2.")),
    ],
)
def test_parts_that_had_other_names_are_found(architecture, name: str, size: int, old) -> None:
    with torch.device("meta"):
        model = fresh(architecture, name, size)
        state = torchvision.models.get_model(name, num_classes=10).state_dict()
    spelt = {old(key) if "denselayer" in key or "mlp" in key else key: value for key, value in state.items()}
    assert set(spelt) != set(state)
    assert set(to_our_names(model, spelt)) == set(model.state_dict())
    load_weights_into(model, to_our_names(model, spelt), "published")


@pytest.mark.parametrize(
    ("name", "weights", "says"),
    [
        (
            "resnet50",
            "IMAGENET1K_V7",
            r"^There are no weights 'IMAGENET1K_V7' of resnet50: choose one of IMAGENET1K_V1, ",
        ),
        ("mb_resnet50", "best", r"^There are no weights 'best' of mb_resnet50: .*DEFAULT\.$"),
        ("small_resnet8", "DEFAULT", r"^There are no published weights of small_resnet8: leave model\.weights out"),
        ("aux_small_resnet8", "DEFAULT", r"^There are no published weights of aux_small_resnet8"),
    ],
)
def test_weights_that_do_not_exist_are_named(architecture, name: str, weights: str, says: str) -> None:
    with torch.device("meta"):
        model = fresh(architecture, name, 32)
    with pytest.raises(PctError, match=says) as raised:
        load_pretrained(model, weights)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("Name or service not known"),
        RuntimeError('invalid hash value (expected "f37072fd", got "00")'),
        pickle.UnpicklingError("Weights only load failed.\nsecond line"),
        EOFError("Ran out of input"),
    ],
)
def test_without_a_network_it_says_what_to_do(
    architecture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: Exception
) -> None:
    def fail(*args, **kwargs):
        raise failure

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fail)
    with torch.device("meta"):
        model = fresh(architecture, "resnet18", 32)
    with pytest.raises(
        PctError, match=r"^The weights IMAGENET1K_V1 of resnet18 cannot be fetched \(.+\): download "
    ) as e:
        load_pretrained(model, "DEFAULT")
    message = str(e.value)
    assert "\n" not in message
    assert f"resnet18-f37072fd.pth on a machine with network and put it into {tmp_path}/hub/checkpoints" in message
    assert message.endswith("or leave model.weights out to train from scratch.")


def test_weights_of_another_size_are_refused(architecture, published) -> None:
    published("shufflenet_v2_x1_0")
    model = fresh(architecture, "shufflenet_v2_x0_5", 32)
    with pytest.raises(
        PctError, match=r"The file of ShuffleNet.* does not hold .*size mismatch for backbone.*: set model"
    ):
        load_pretrained(model, "DEFAULT")
