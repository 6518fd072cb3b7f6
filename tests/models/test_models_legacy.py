"""Checkpoints of the research code: read as tensors, under torchvision's names, and never executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.googlenet import InceptionAux

from pct_mlops.config import PctError
from pct_mlops.models import build_model, read_checkpoint, save_classifier

NAME, SIZE = "shufflenet_v2_x0_5", 32


def theirs(name: str = NAME, **kwargs: Any) -> nn.Module:
    """torchvision's network of ten classes whose BatchNorm has seen something."""
    network = torchvision.models.get_model(name, weights=None, num_classes=10, **kwargs)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.running_var, 0.8, 1.2)
    return network.eval()


def same_logits(model: nn.Module, network: nn.Module, size: int = SIZE) -> None:
    images = torch.rand(2, 3, size, size)
    with torch.no_grad():
        expected = network((images - model.mean) / model.std)
        torch.testing.assert_close(model.eval()(images).logits, expected)


def whole(network: nn.Module) -> dict[str, Any]:
    """All that the research code writes beside the weights; numpy numbers among them."""
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    return {
        "epoch": 90,
        "arch": NAME,
        "state_dict": network.state_dict(),
        "best_acc1": torch.tensor(69.8),
        "best_nfr": np.float64(2.5),
        "seen": np.int64(3),
        "optimizer": optimizer.state_dict(),
    }


@pytest.mark.parametrize("file", ["model_best.pth.tar", "model.pt"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: network.state_dict(),
        whole,
        lambda network: {"state_dict": {f"module.{key}": value for key, value in network.state_dict().items()}},
        lambda network: nn.DataParallel(network).state_dict(),
        lambda network: {"model": network.state_dict()},
    ],
    ids=["bare", "whole", "module", "parallel", "model"],
)
def test_a_checkpoint_becomes_the_same_function(architecture, tmp_path: Path, file: str, wrap) -> None:
    network = theirs()
    torch.save(wrap(network), tmp_path / file)
    model = read_checkpoint(tmp_path / file, architecture(NAME, SIZE))
    same_logits(model, network)
    # Normalisation is the record's, whatever the file.
    torch.testing.assert_close(model.mean.flatten(), torch.tensor([0.4, 0.5, 0.6]))


def test_files_of_the_first_formats_and_without_counters_are_read(architecture, tmp_path: Path) -> None:
    network = theirs()
    state = {key: value for key, value in network.state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "old.pth.tar", _use_new_zipfile_serialization=False)
    same_logits(read_checkpoint(tmp_path / "old.pth.tar", architecture(NAME, SIZE)), network)


@pytest.mark.parametrize(
    ("name", "size", "kwargs"),
    [
        ("mobilenet_v3_small", 32, {}),
        ("mnasnet0_5", 32, {}),
        ("densenet121", 32, {}),
        ("googlenet", 64, {"init_weights": False}),
    ],
)
def test_every_layout_of_torchvision_fits(architecture, tmp_path: Path, name: str, size: int, kwargs: dict) -> None:
    network = theirs(name, **kwargs)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "model.pth.tar")
    same_logits(read_checkpoint(tmp_path / "model.pth.tar", architecture(name, size)), network, size)


def test_a_state_dict_of_ours_is_read_too(architecture, tmp_path: Path) -> None:
    model = build_model(architecture("small_resnet8", 8, 1, width=4))
    torch.save(model.state_dict(), tmp_path / "ours.pt")
    back = read_checkpoint(tmp_path / "ours.pt", model.architecture)
    assert all(torch.equal(value, back.state_dict()[key]) for key, value in model.state_dict().items())


class Embedded(nn.Module):
    """The research code's resnet18 with feat_dim and its L2-normalised classifier, as its state dict has them."""

    def __init__(self) -> None:
        super().__init__()
        network = theirs("resnet18")
        network.feat = nn.Linear(512, 7)
        network.fc = nn.Linear(7, 10, bias=False)
        self.network = network

    def forward(self, images):
        network = self.network
        maps = network.maxpool(torch.relu(network.bn1(network.conv1(images))))
        maps = network.layer4(network.layer3(network.layer2(network.layer1(maps))))
        features = network.feat(maps.mean(dim=(2, 3)))
        cosines = network.fc(features / features.norm(dim=1, keepdim=True)) / network.fc.weight.norm(dim=1)
        return cosines / 0.01


def test_embedding_and_cosine_classifier_of_the_research_code(architecture, tmp_path: Path) -> None:
    embedded = Embedded().eval()
    torch.save({"state_dict": embedded.network.state_dict()}, tmp_path / "model.pth.tar")
    changes = {"embedding_dim": 7, "classifier": "cosine", "temperature": 0.01}
    record = architecture("resnet18", SIZE).model_copy(update=changes)
    same_logits(read_checkpoint(tmp_path / "model.pth.tar", record), embedded)


@pytest.mark.parametrize("kind", ["aux", "mb"])
def test_several_heads_of_the_research_code(architecture, tmp_path: Path, kind: str) -> None:
    network = theirs("resnet18")
    state = network.state_dict()
    if kind == "aux":
        heads = {"aux3": InceptionAux(256, 10), "aux4": InceptionAux(512, 10)}
    else:
        heads = {"fc1": nn.Linear(512, 10), "fc2": nn.Linear(512, 10)}
    more = {f"{name}.{key}": value for name, head in heads.items() for key, value in head.state_dict().items()}
    file = tmp_path / "model.pth.tar"
    torch.save({"state_dict": {**state, **more}}, file)
    record = architecture(f"{kind}_resnet18", SIZE)
    for how in ("main", "avg"):
        model = read_checkpoint(file, record.model_copy(update={"aux_eval": how}))
        for head, ours in zip(heads.values(), model.aux_heads, strict=True):
            assert all(torch.equal(value, ours.state_dict()[key]) for key, value in head.state_dict().items())
    # Heads that have no part in the answer may be absent; others may not.
    torch.save({"state_dict": state}, file)
    same_logits(read_checkpoint(file, record), network)
    with pytest.raises(PctError, match=r"missing aux_heads\.0"):
        read_checkpoint(file, record.model_copy(update={"aux_eval": "avg"}))


class ScaledBlock(nn.Module):
    """The research code's block in evaluation: the branch times its survival, plus the shortcut."""

    def __init__(self, block: nn.Module, survival: float) -> None:
        super().__init__()
        self.block, self.survival = block, survival

    def forward(self, maps):
        block = self.block
        branch = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(maps)))))
        return torch.relu(self.survival * branch + (block.downsample(maps) if block.downsample else maps))


def test_stochastic_depth_of_the_research_code_keeps_its_logits(architecture, tmp_path: Path) -> None:
    network = theirs("resnet18")
    file = tmp_path / "model.pth.tar"
    torch.save({"arch": "resnet18_StoDepth_lineardecay", "state_dict": network.state_dict()}, file)
    bare = tmp_path / "bare.pth.tar"
    torch.save(network.state_dict(), bare)
    blocks = [
        (layer, place) for layer in (network.layer1, network.layer2, network.layer3, network.layer4) for place in (0, 1)
    ]
    # A file of the plain network, or of torchvision's own stochastic depth, is taken as it is.
    same_logits(read_checkpoint(bare, architecture("resnet18_stodepth", SIZE)), network)
    for (layer, place), survival in zip(blocks, torch.linspace(1, 0.5, 8).tolist(), strict=True):
        layer[place] = ScaledBlock(layer[place], survival)
    same_logits(read_checkpoint(file, architecture("resnet18_stodepth", SIZE)), network)
    # A bare state dict names nothing: the spelling that was asked for says whose it is.
    same = read_checkpoint(bare, architecture("resnet18_StoDepth_lineardecay", SIZE))
    same_logits(same, network)
    save_classifier(same, tmp_path / "saved")
    from pct_mlops.models import load_classifier

    same_logits(load_classifier(tmp_path / "saved"), network)


def test_what_does_not_fit_is_listed(architecture, tmp_path: Path) -> None:
    file = tmp_path / "model.pth.tar"
    torch.save({"arch": "resnet18", "state_dict": theirs("resnet18").state_dict()}, file)
    with pytest.raises(PctError) as raised:
        read_checkpoint(file, architecture("shufflenet_v2_x0_5", SIZE))
    message = str(raised.value)
    assert message.startswith(f"{file} (it says that it is of resnet18) does not hold the weights of its shufflenet")
    assert "missing backbone.conv1.0.weight, backbone.conv1.1.weight, " in message
    assert "unexpected backbone.conv1.weight, " in message
    assert message.count(" more;") + message.count(" more)") >= 2
    assert message.endswith(": name the architecture that the file was trained with.")
    assert "\n" not in message
    record = architecture("resnet18", SIZE).model_copy(update={"class_names": ("a", "b", "c")})
    with pytest.raises(PctError, match=r" has outputs for 10 classes, and 3 class names are known: list its classes, "):
        read_checkpoint(file, record)


class Payload:
    """What a malicious file would carry."""

    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize(
    "content", [lambda: {"state_dict": Payload()}, theirs, lambda: {"state_dict": {}, "args": Path("a")}]
)
def test_a_payload_is_refused_and_not_executed(
    architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content(), "evil.pth.tar")
    with pytest.raises(
        PctError, match=r"^evil\.pth\.tar holds more than tensors \([\w.]+\), .*save its state_dict alone"
    ):
        read_checkpoint("evil.pth.tar", architecture(NAME, SIZE))
    Path("plain.pt").write_bytes(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(PctError, match=r"^plain\.pt "):
        read_checkpoint("plain.pt", architecture(NAME, SIZE))
    assert not Path("executed").exists()


def test_damaged_files_are_named(architecture, tmp_path: Path) -> None:
    file = tmp_path / "model.pth.tar"
    torch.save(theirs().state_dict(), file)
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], content[:7], b"", b"no checkpoint at all", b"\x80\x02"):
        file.write_bytes(damaged)
        with pytest.raises(PctError, match=r" is not a checkpoint that can be read \(.+\): copy it again") as raised:
            read_checkpoint(file, architecture(NAME, SIZE))
        assert "\n" not in str(raised.value)
    with pytest.raises(
        PctError, match=r"^There is no file .*nowhere\.pt: give the path of a \.pth\.tar, \.pt or \.safetensors file\.$"
    ):
        read_checkpoint(tmp_path / "nowhere.pt", architecture(NAME, SIZE))
    with pytest.raises(PctError, match=r" is not a checkpoint that can be read"):
        read_checkpoint(tmp_path, architecture(NAME, SIZE))


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {}}, {"epoch": 3}, torch.zeros(3)])
def test_a_file_without_weights_says_so(architecture, tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(PctError, match=r" holds no state dict: save model\.state_dict\(\)"):
        read_checkpoint(tmp_path / "model.pt", architecture(NAME, SIZE))


def test_squeezenet_is_refused(architecture, tmp_path: Path) -> None:
    torch.save(theirs("squeezenet1_1").state_dict(), tmp_path / "model.pt")
    with pytest.raises(PctError, match=r"cannot become a squeezenet1_1 here, .*import its predictions\.$"):
        read_checkpoint(tmp_path / "model.pt", architecture("squeezenet1_1", SIZE))
