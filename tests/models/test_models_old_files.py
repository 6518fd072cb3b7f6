"""Files of weights that other programs wrote: wrappers, safetensors, class order, and what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from pct_mlops.config import PctError
from pct_mlops.models import build_model, read_checkpoint, reorder_classes
from pct_mlops.models.wrappers import unwrapped

NAME, SIZE = "shufflenet_v2_x0_5", 32


def theirs(num_classes: int = 10) -> nn.Module:
    network = torchvision.models.get_model(NAME, weights=None, num_classes=num_classes).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
    return network


class Holder(nn.Module):
    """A Lightning module, as its state dict shows it: the network, the old one, and a loss with weights."""

    def __init__(self, network: nn.Module, old: nn.Module) -> None:
        super().__init__()
        self.model, self.old, self.criterion = network, old, nn.CrossEntropyLoss(weight=torch.ones(10))


def renamed(change):
    return lambda network: {change(key): value for key, value in network.state_dict().items()}


WRAPPED = {
    "module": renamed(lambda key: f"module.{key}"),
    "compiled": renamed(lambda key: f"_orig_mod.{key}"),
    "lightning": renamed(lambda key: f"model.{key}"),
    "parallel and compiled": renamed(lambda key: f"module._orig_mod.{key}"),
    "all": renamed(lambda key: f"model._orig_mod.module.{key}"),
    "parts compiled": renamed(lambda key: key.replace("stage2.", "stage2._orig_mod.")),
    "averaged": lambda network: AveragedModel(network).state_dict(),
    "with others beside it": lambda network: Holder(network, theirs()).state_dict(),
}


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize("file", ["old.pth.tar", "old.safetensors"])
def test_what_wraps_a_network_is_taken_off(architecture, tmp_path: Path, how: str, file: str) -> None:
    network = theirs()
    state = {key: value.clone() for key, value in WRAPPED[how](network).items()}
    if file.endswith(".safetensors"):
        save_file(state, tmp_path / file)
    else:
        torch.save({"state_dict": state, "epoch": 3}, tmp_path / file)
    model = read_checkpoint(tmp_path / file, architecture(NAME, SIZE)).eval()
    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        torch.testing.assert_close(model(images).logits, network((images - model.mean) / model.std))


def test_a_part_that_is_really_called_model_keeps_its_name() -> None:
    state = {"model.conv.weight": torch.zeros(1), "model.conv.bias": torch.ones(1)}

    def below_backbone(found):
        return {f"backbone.{key}": value for key, value in found.items()}

    own = {f"backbone.{key}" for key in state}
    assert unwrapped(state, own, below_backbone).keys() == own
    assert unwrapped({f"module.{key}": value for key, value in state.items()}, own, below_backbone).keys() == own


def test_another_prefix_is_shown_with_the_first_names(architecture, tmp_path: Path) -> None:
    torch.save({f"encoder.{key}": value for key, value in theirs().state_dict().items()}, tmp_path / "old.pt")
    with pytest.raises(PctError) as caught:
        read_checkpoint(tmp_path / "old.pt", architecture(NAME, SIZE))
    assert (
        "old.pt begin with 'encoder.' (encoder.conv1.0.weight, encoder.conv1.1.weight, encoder.conv1.1.bias, ...)"
        in (str(caught.value))
    )
    assert "save the state dict of the network inside" in str(caught.value)


def test_another_number_of_classes_asks_for_their_names(architecture, tmp_path: Path) -> None:
    torch.save(theirs(12).state_dict(), tmp_path / "old.pt")
    with pytest.raises(PctError, match=r"has outputs for 12 classes, and 10 class names are known: .*teacher\.classes"):
        read_checkpoint(tmp_path / "old.pt", architecture(NAME, SIZE))
    read_checkpoint(tmp_path / "old.pt", architecture(NAME, SIZE), with_heads=False)


def test_weights_that_no_network_can_take_are_refused(architecture, tmp_path: Path) -> None:
    file, record = tmp_path / "old.pt", architecture(NAME, SIZE)
    state = dict(theirs().state_dict())
    state["fc.weight"] = state["fc.weight"].clone()
    state["fc.weight"][3, 5] = torch.nan
    torch.save(state, file)
    with pytest.raises(PctError, match=r"not finite numbers \(NaN or infinite, first in fc\.weight\)"):
        read_checkpoint(file, record)
    state["fc.weight"] = torch.zeros(10, 1024).to_sparse()
    torch.save(state, file)
    with pytest.raises(PctError, match=r"holds fc\.weight in a form that cannot be loaded"):
        read_checkpoint(file, record)


def test_a_file_larger_than_the_free_memory_is_not_read(architecture, tmp_path: Path) -> None:
    for name in ("old.pt", "old.safetensors"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 1 << 42)  # sparse: it takes no space
        with pytest.raises(PctError, match=r"has 4,398\.0 GB, and [\d,.]+ GB of memory are free: save its state_dict"):
            read_checkpoint(tmp_path / name, architecture(NAME, SIZE))


@pytest.mark.parametrize("content", [b"", b"\x08", b"no tensors", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"])
def test_broken_safetensors_are_one_sentence(architecture, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "old.safetensors").write_bytes(content)
    with pytest.raises(PctError, match=r"is not a checkpoint that can be read|holds no state dict") as caught:
        read_checkpoint(tmp_path / "old.safetensors", architecture(NAME, SIZE))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["small_resnet8", "mb_resnet18", "aux_resnet18"])
@pytest.mark.parametrize("classifier", ["linear", "cosine"])
def test_classes_are_reordered_in_all_heads(architecture, name: str, classifier: str) -> None:
    kwargs = {"width": 4} if name == "small_resnet8" else {}
    record = architecture(name, SIZE, **kwargs).model_copy(update={"classifier": classifier})
    if name != "small_resnet8":
        record = record.model_copy(update={"aux_eval": "avg"})
    model, names = build_model(record).eval(), record.class_names
    images, order = torch.rand(2, 3, SIZE, SIZE), [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    with torch.no_grad():
        before = model(images).logits
        reorder_classes(model, [names[place] for place in order])
        torch.testing.assert_close(model(images).logits, before[:, order])
    assert model.architecture.class_names == tuple(names[place] for place in order)
    with pytest.raises(PctError, match="only among themselves"):
        reorder_classes(model, [*names[:9], "zebra"])
