"""Old heads in new models, frozen parts, weights between two models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pct_mlops.config import PctError
from pct_mlops.models import (
    batchnorm_layers,
    build_model,
    fold_old_head,
    freeze_backbone,
    interpolate_weights,
    load_classifier,
    load_weights_into,
    reset_batchnorm,
    reset_head,
    save_classifier,
    use_old_head,
)

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def made(architecture, name: str = "small_resnet8", width: int = 8, **changes):
    model = build_model(architecture(name, 8, 1, width=width).model_copy(update=changes)).train()
    for _ in range(2):
        model(torch.rand(8, 1, 8, 8))
    return model


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("bias", [True, False])
def test_the_folded_head_is_the_formula(architecture, tmp_path: Path, alpha: float, bias: bool) -> None:
    model = made(architecture, dropout=0.2).eval()
    old_head = nn.Linear(16, 10, bias=bias)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_old_head(model, old_head, alpha).eval()
    with torch.no_grad():
        features = model(IMAGES).features
        expected = (1 - alpha) * model.head(features) + alpha * old_head(features[:, :16])
        torch.testing.assert_close(folded(IMAGES).logits, expected)
    # The old weights are in it: the new head's share taken off, what remains is the old head and zeros.
    rest = folded.head.weight - (1 - alpha) * model.head.weight
    torch.testing.assert_close(rest[:, :16], alpha * old_head.weight)
    assert torch.equal(rest[:, 16:], torch.zeros(10, 16))
    # A copy: the model itself is as it was, and the folded one is a plain classifier on disk.
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    save_classifier(folded, tmp_path)
    torch.testing.assert_close(load_classifier(tmp_path).eval()(IMAGES).logits, expected)


def test_training_with_the_old_head_alone(architecture) -> None:
    model, old_head = made(architecture), nn.Linear(16, 10)
    use_old_head(model, old_head)
    output = model(IMAGES)
    torch.testing.assert_close(output.logits, old_head(output.features[:, :16]))
    output.logits.square().sum().backward()
    assert not any(parameter.requires_grad for parameter in model.head.parameters())
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())
    # The old head itself is neither shared nor changed.
    assert old_head.weight.grad is None
    assert old_head.weight.requires_grad


@pytest.mark.parametrize("change", [lambda m, h: fold_old_head(m, h, 0.5), use_old_head], ids=["fold", "use"])
def test_heads_that_do_not_go_together_are_refused(architecture, change) -> None:
    with pytest.raises(PctError, match=r"^Only linear heads can be mixed: set model\.classifier=linear"):
        change(made(architecture, classifier="cosine"), nn.Linear(16, 10))
    cosine = made(architecture, classifier="cosine").head
    with pytest.raises(PctError, match=r"^Only linear heads can be mixed"):
        change(made(architecture), cosine)
    with pytest.raises(PctError, match=r"^The old head knows 7 classes and the new model 10"):
        change(made(architecture), nn.Linear(16, 7))
    with pytest.raises(
        PctError, match=r"^The old head takes 64 features and the new model has 32: .*embedding_dim=64\.$"
    ):
        change(made(architecture), nn.Linear(64, 10))


def test_a_share_is_between_zero_and_one_and_of_one_head(architecture) -> None:
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(PctError, match="choose one between 0 and 1"):
            fold_old_head(made(architecture), nn.Linear(16, 10), share)
        with pytest.raises(PctError, match="choose one between 0 and 1"):
            interpolate_weights(made(architecture), made(architecture), share)
    with pytest.raises(PctError, match=r"predicts with several: set aux_eval=main\.$"):
        fold_old_head(made(architecture, "mb_small_resnet8", aux_eval="avg"), nn.Linear(16, 10), 0.5)


@pytest.mark.parametrize("name", ["small_resnet8", "mb_small_resnet8", "aux_small_resnet8", "small_resnet8_stodepth"])
def test_a_frozen_backbone_does_not_move(architecture, name: str) -> None:
    model = made(architecture, name, embedding_dim=5, dropout=0.5)
    freeze_backbone(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([x for x in model.parameters() if x.requires_grad], 0.1, weight_decay=0.1)
    for _ in range(2):
        model.eval()
        model.train()
        output = model(torch.rand(8, 1, 8, 8))
        sum(logits.square().sum() for logits in (output.logits, *output.aux)).backward()
        optimizer.step()
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    heads = {key for key, _ in model.named_parameters() if key.startswith(("head.", "aux_heads."))}
    assert heads <= moved
    assert all(key.startswith(("head.", "aux_heads.")) for key in moved)
    # Nothing is drawn in the backbone, while the dropout before the head is at work.
    assert model.training
    assert torch.equal(model(IMAGES).features, model(IMAGES).features)
    assert not torch.equal(model(IMAGES).logits, model(IMAGES).logits)
    assert not any(part.training for part in model.backbone.modules())


def test_freezing_keeps_the_mode_and_an_old_head_frozen(architecture) -> None:
    model = made(architecture).eval()
    use_old_head(model, nn.Linear(32, 10))
    freeze_backbone(model)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", ["small_resnet8", "mb_small_resnet8", "aux_small_resnet8"])
def test_a_new_head_is_drawn_and_nothing_else(architecture, name: str) -> None:
    model = made(architecture, name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(5)
    reset_head(model)
    once = {key: value.clone() for key, value in model.state_dict().items()}
    assert torch.equal(once["backbone.layers.0.weight"], before["backbone.layers.0.weight"])
    assert not torch.equal(once["head.weight"], before["head.weight"])
    assert {key.split(".")[0] for key in once if not torch.equal(once[key], before[key])} <= {"head", "aux_heads"}
    torch.manual_seed(5)
    reset_head(model)
    assert all(torch.equal(value, once[key]) for key, value in model.state_dict().items())
    # As wide as any new linear layer's: uniform within 1 / sqrt(D).
    assert model.head.weight.abs().max() <= 32**-0.5


def test_weights_without_heads_go_between_class_counts(architecture) -> None:
    old, new = made(architecture), made(architecture, class_names=("a", "b", "c"))
    head = new.head.weight.clone()
    with pytest.raises(PctError, match=r"size mismatch for head\.weight"):
        load_weights_into(new, old.state_dict(), "old")
    load_weights_into(new, old.state_dict(), "old", with_heads=False)
    assert torch.equal(new.head.weight, head)
    torch.testing.assert_close(new.eval()(IMAGES).features, old.eval()(IMAGES).features)


def test_normalisation_comes_with_the_weights(architecture) -> None:
    old, new = made(architecture, mean=(0.1,), std=(0.7,)).eval(), made(architecture)
    with pytest.raises(PctError, match=r"differ in mean \(old \[0\.1.*\], new \[0\.4.*\]\); std "):
        interpolate_weights(old, new, 0.5)
    load_weights_into(new, old.state_dict(), "old")
    torch.testing.assert_close(new.eval()(IMAGES).logits, old(IMAGES).logits)
    # The record says so too, to the accuracy of the tensors.
    assert new.architecture.mean == pytest.approx((0.1,), abs=1e-7)
    assert new.architecture.std == pytest.approx((0.7,), abs=1e-7)
    assert torch.equal(interpolate_weights(old, new, 0.5).mean, old.mean)


@pytest.mark.parametrize("a", [0.0, 0.25, 1.0])
def test_interpolation_is_the_formula_for_every_number(architecture, a: float) -> None:
    old, new = made(architecture, dropout=0.1), made(architecture)
    new(IMAGES)
    mixed = interpolate_weights(old, new, a)
    one, other = old.state_dict(), new.state_dict()
    for key, value in mixed.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, a * one[key] + (1 - a) * other[key])
        else:
            assert torch.equal(value, other[key])
    # Exact at both ends and where both agree; a copy of neither.
    ends = {0.0: other, 1.0: one}
    if a in ends:
        assert all(torch.equal(x, ends[a][key]) for key, x in mixed.state_dict().items() if x.is_floating_point())
    assert torch.equal(mixed.mean, new.mean)
    assert mixed.head.weight.data_ptr() not in (old.head.weight.data_ptr(), new.head.weight.data_ptr())
    assert mixed.architecture == new.architecture
    assert torch.equal(other["head.weight"], new.head.weight)


def test_only_one_architecture_can_be_interpolated(architecture) -> None:
    old = made(architecture)
    with pytest.raises(PctError, match=r"differ in kwargs \(old \{'width': 8\}, new \{'width': 4\}\): train the new"):
        interpolate_weights(old, made(architecture, width=4), 0.5)
    with pytest.raises(PctError, match=r"differ in name \(old small_resnet8, new mb_small_resnet8\): "):
        interpolate_weights(old, made(architecture, "mb_small_resnet8"), 0.5)
    with pytest.raises(PctError, match=r"differ in class_names \(old .*embedding_dim \(old None, new 4\)"):
        interpolate_weights(old, made(architecture, embedding_dim=4, class_names=("a", "b")), 0.5)


def test_batchnorm_statistics_become_plain_means(architecture) -> None:
    model = made(architecture)
    layers = batchnorm_layers(model)
    assert len(layers) == sum(isinstance(part, nn.BatchNorm2d) for part in model.modules()) > 5
    first, batches = model.backbone.layers, [torch.rand(n, 1, 8, 8) for n in (3, 5, 4)]
    reset_batchnorm(model)
    assert all(torch.equal(layer.running_mean, torch.zeros_like(layer.running_mean)) for layer in layers)
    model.eval()
    for layer in layers:
        layer.train()
    with torch.no_grad():
        for images in batches:
            model(images)
        maps = [first[0]((images - model.mean) / model.std) for images in batches]
    means = torch.stack([found.mean(dim=(0, 2, 3)) for found in maps])
    torch.testing.assert_close(first[1].running_mean, means.mean(dim=0))
    variances = torch.stack([found.var(dim=(0, 2, 3)) for found in maps])
    torch.testing.assert_close(first[1].running_var, variances.mean(dim=0))


def test_batchnorm_of_heads_counts_only_where_they_answer(architecture) -> None:
    plain = len(batchnorm_layers(made(architecture)))
    assert len(batchnorm_layers(made(architecture, "aux_small_resnet8"))) == plain
    assert len(batchnorm_layers(made(architecture, "aux_small_resnet8", aux_eval="max"))) == plain + 2
    model = build_model(architecture("small_resnet8", 8, 1, width=8, norm="group"))
    assert batchnorm_layers(model) == []
    reset_batchnorm(model)
