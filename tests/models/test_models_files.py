"""Classifiers on disk, what is inside them, and what is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pct_mlops.config import PctError
from pct_mlops.models import LogitsOnly, ModelOutput, build_model, classifier_from_bytes, load_classifier
from pct_mlops.models import save_classifier as save


def trained(architecture, **kwargs):
    """A model whose BatchNorm statistics are no longer those of a new one."""
    model = build_model(architecture("small_resnet8", 12, 3, width=8, **kwargs))
    for _ in range(3):
        model(torch.rand(8, 3, 12, 12))
    return model


def test_what_is_saved_comes_back_bit_for_bit(architecture, tmp_path: Path) -> None:
    # Channels last, as training leaves it: the file must not depend on the memory format.
    model = trained(architecture).to(memory_format=torch.channels_last)
    save(model, tmp_path / "a" / "b")
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["architecture.json", "model.safetensors"]
    back = load_classifier(tmp_path / "a" / "b")
    assert back.architecture == model.architecture
    assert list(back.state_dict()) == list(model.state_dict())
    for key, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[key], value), key
    images = torch.rand(4, 3, 12, 12)
    torch.testing.assert_close(back.eval()(images).logits, model.eval()(images).logits)


def test_normalisation_is_inside_the_model(architecture) -> None:
    model = trained(architecture).eval()
    images = torch.rand(4, 3, 12, 12)
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.4])
    by_hand = torch.stack([(image - mean[:, None, None]) / std[:, None, None] for image in images])
    torch.testing.assert_close(model(images).features, model.backbone(by_hand))
    assert not torch.allclose(model(images).features, model.backbone(images), atol=1e-3)
    # Statistics travel with the weights but are not trained.
    assert {"mean", "std"} <= set(model.state_dict())
    assert not {"mean", "std"} & {key for key, _ in model.named_parameters()}


def test_what_is_served_is_a_plain_tensor(architecture) -> None:
    model = trained(architecture).eval()
    images = torch.rand(2, 3, 12, 12)
    output = model(images)
    assert isinstance(output, ModelOutput)
    assert torch.equal(LogitsOnly(model)(images), output.logits)


def test_a_damaged_file_of_weights_is_named(architecture, tmp_path: Path) -> None:
    save(trained(architecture), tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:5], b"", b"\x80\x04not safetensors"):
        weights.write_bytes(content)
        with pytest.raises(PctError, match=rf"^{tmp_path} does not hold the weights of its small_resnet8 \(.+\): use"):
            load_classifier(tmp_path)


def test_weights_of_another_model_are_refused(architecture, tmp_path: Path) -> None:
    save(trained(architecture), tmp_path / "one")
    save(build_model(architecture("small_resnet8", 12, 3, width=4)), tmp_path / "other")
    foreign = (tmp_path / "other" / "model.safetensors").read_bytes()
    record = (tmp_path / "one" / "architecture.json").read_bytes()
    # The sentence says which weight does not fit, not just that something did not load.
    with pytest.raises(PctError, match=r"^models:/x/3 does not hold the weights .*size mismatch for backbone"):
        classifier_from_bytes(record, foreign, "models:/x/3")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[:20], "is not JSON"),
        (lambda text: "[]", "should hold"),
        (lambda text: "", "is not JSON"),
        (lambda text: text.replace("small_resnet8", "small_resnet9"), "Unknown architecture 'small_resnet9'"),
        (lambda text: text.replace('"class_names"', '"classes"'), "unknown key 'classes'"),
        (lambda text: json.dumps({**json.loads(text), "class_names": ["one"]}), "class_names"),
        (lambda text: json.dumps({**json.loads(text), "kwargs": {"widht": 8}}), "widht"),
    ],
)
def test_a_wrong_architecture_record_is_named(architecture, tmp_path: Path, change, says: str) -> None:
    save(trained(architecture), tmp_path)
    record = tmp_path / "architecture.json"
    record.write_text(change(record.read_text()))
    with pytest.raises(PctError, match=says) as raised:
        load_classifier(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_record_that_is_no_text_is_named(architecture, tmp_path: Path) -> None:
    save(trained(architecture), tmp_path)
    (tmp_path / "architecture.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PctError, match="is not JSON"):
        load_classifier(tmp_path)


def test_a_folder_without_a_classifier_says_so(tmp_path: Path) -> None:
    with pytest.raises(PctError, match="does not hold a classifier"):
        load_classifier(tmp_path / "nowhere")
