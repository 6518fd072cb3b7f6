"""Auxiliary heads, three heads and stochastic depth: what they compute, and that they survive disk and export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pct_mlops.config import PctError
from pct_mlops.models import LogitsOnly, build_model, load_classifier, model_names, save_classifier, summary

FAMILIES = ("aux_small_resnet8", "mb_small_resnet8", "small_resnet8_stodepth", "small_resnet8")


def made(architecture, name: str, *, size: int = 8, channels: int = 1, **changes):
    """A small model of the family; `changes` are fields of its architecture."""
    record = architecture(name, size, channels, width=8)
    return build_model(record.model_copy(update=changes))


def used(model):
    """The same after BatchNorm has seen a few batches."""
    model.train()
    for _ in range(2):
        model(torch.rand(8, *model.architecture.image_shape))
    return model.eval()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("resnet18", "torchvision"),
        ("inception_v3", "torchvision, made for 299 pixels"),
        ("small_resnet14", "small images"),
        ("aux_small_resnet14", "small images, auxiliary heads"),
        ("mb_resnet50", "torchvision, three heads"),
        ("wide_resnet50_2_stodepth", "torchvision, stochastic depth"),
        ("resnet18_StoDepth_lineardecay", "torchvision, stochastic depth"),
    ],
)
def test_every_name_has_a_line(name: str, line: str) -> None:
    assert summary(name) == line


def test_names_come_once_and_in_order() -> None:
    assert model_names() == sorted(set(model_names()))
    with pytest.raises(PctError, match=r"^Unknown architecture 'aux_resnet19'"):
        summary("aux_resnet19")


@pytest.mark.parametrize("name", ["aux_small_resnet8", "mb_small_resnet8"])
def test_each_head_learns_for_itself(architecture, name: str) -> None:
    model = made(architecture, name)
    output = model(torch.rand(4, 1, 8, 8))
    assert [head.shape for head in output.aux] == [(4, 10), (4, 10)]
    target = torch.tensor([0, 3, 5, 9])
    cross_entropy(output.aux[1], target).backward(retain_graph=True)
    # The last auxiliary head sees all of the network, and says nothing through the other heads.
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())
    assert all(parameter.grad is None for parameter in model.head.parameters())
    (cross_entropy(output.logits, target) + cross_entropy(output.aux[0], target)).backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


def test_three_heads_look_at_the_same_features(architecture) -> None:
    model = made(architecture, "mb_small_resnet8")
    output = model(torch.rand(4, 1, 8, 8))
    heads = [model.head, *model.aux_heads]
    assert [type(head) for head in heads] == [nn.Linear] * 3
    for head, logits in zip(heads, (output.logits, *output.aux), strict=True):
        torch.testing.assert_close(logits, output.features @ head.weight.T + head.bias)
    assert not torch.equal(heads[0].weight, heads[1].weight)


def test_auxiliary_classifiers_sit_after_the_last_two_stages(architecture) -> None:
    model = made(architecture, "aux_small_resnet8", aux_eval="max").eval()
    images = torch.rand(3, 1, 8, 8)
    values = (images - model.mean) / model.std
    # Stem: convolution, norm, ReLU; then one block a stage; pool and flatten.
    maps = []
    for index, layer in enumerate(model.backbone.layers):
        values = layer(values)
        if index in (4, 5):
            maps.append(values)
    assert [tuple(found.shape) for found in maps] == [(3, 16, 4, 4), (3, 32, 2, 2)]
    by_hand = []
    for found, head in zip(maps, model.aux_heads, strict=True):
        pooled = nn.functional.adaptive_avg_pool2d(found, 4)
        hidden = torch.relu(head.conv.bn(head.conv.conv(pooled))).flatten(1)
        assert hidden.shape == (3, 128 * 16)
        by_hand.append(head.fc2(torch.relu(head.fc1(hidden))))
    heads = torch.stack([model.head(values), *by_hand])
    torch.testing.assert_close(model(images).logits, heads.max(dim=0).values)


def test_the_large_residual_network_gives_the_maps_of_layers_3_and_4(architecture) -> None:
    model = build_model(architecture("aux_resnet18", 33)).eval()
    seen = {}
    for name in ("layer3", "layer4"):
        part = getattr(model.backbone, name)
        part.register_forward_hook(lambda module, given, result, name=name: seen.setdefault(name, result))
    with torch.no_grad():
        images = torch.rand(1, 3, 33, 33)
        features, third, fourth = model.backbone((images - model.mean) / model.std)
    assert torch.equal(third, seen["layer3"])
    assert torch.equal(fourth, seen["layer4"])
    assert third.shape[1:] == (256, 3, 3)
    torch.testing.assert_close(features, fourth.mean(dim=(2, 3)))


@pytest.mark.parametrize("name", ["aux_small_resnet8", "mb_small_resnet8"])
def test_evaluation_makes_one_answer_of_all_heads(architecture, name: str) -> None:
    images = torch.rand(5, 1, 8, 8)
    torch.manual_seed(2)
    main = used(made(architecture, name))
    answers = {}
    for how in ("main", "avg", "max"):
        model = made(architecture, name, aux_eval=how).eval()
        model.load_state_dict(main.state_dict())
        output = model(images)
        assert output.aux == ()
        answers[how] = output.logits
    # The heads one by one, from what they are given.
    given = []
    for head in model.aux_heads:
        head.register_forward_hook(lambda module, values, logits: given.append(logits))
    model(images)
    heads = torch.stack([model.head(model(images).features), *given[:2]])
    torch.testing.assert_close(answers["main"], heads[0])
    torch.testing.assert_close(answers["avg"], (heads[0] + heads[1] + heads[2]) / 3)
    torch.testing.assert_close(answers["max"], heads.max(dim=0).values)


@pytest.mark.parametrize("name", ["small_resnet8", "small_resnet8_stodepth"])
def test_one_head_cannot_be_averaged(architecture, name: str) -> None:
    with pytest.raises(PctError, match=rf"^{name} has one head only: leave model\.aux_eval out, or choose"):
        made(architecture, name, aux_eval="avg")


def test_group_norm_keeps_auxiliary_heads_from_the_rest_of_the_batch(architecture) -> None:
    images = torch.rand(6, 1, 8, 8)
    for norm, same in (("group", True), ("batch", False)):
        # Without dropout: the noise would differ.
        record = architecture("aux_small_resnet8", 8, 1, width=8, norm=norm, dropout_aux=0.0)
        model = build_model(record).train()
        alone, together = model(images[:3]).aux, model(images).aux
        for one, other in zip(alone, together, strict=True):
            assert torch.allclose(one, other[:3], atol=1e-5) is same


@pytest.mark.parametrize(("name", "size", "num_blocks"), [("small_resnet20", 8, 9), ("resnet18", 33, 8)])
def test_survival_falls_from_one_to_a_half(architecture, name: str, size: int, num_blocks: int) -> None:
    with torch.device("meta"):
        model = build_model(architecture(f"{name}_stodepth", size))
        plain = build_model(architecture(name, size))
    drops = [part.p for part in model.modules() if type(part).__name__ == "StochasticDepth"]
    # Eight equal steps for nine blocks: 0, 1/16, ..., 1/2.
    torch.testing.assert_close(torch.tensor(drops), torch.linspace(0, 0.5, num_blocks))
    # Names of weights are the plain network's, so that its files fit.
    assert list(model.state_dict()) == list(plain.state_dict())


def test_a_block_is_skipped_for_some_examples_and_scaled_for_the_others(architecture) -> None:
    model = made(architecture, "small_resnet8_stodepth").eval()
    block = model.backbone.layers[5]
    maps = torch.rand(400, 16, 4, 4)
    shortcut = block.downsample(maps)
    branch = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(maps)))))
    torch.testing.assert_close(block(maps), torch.relu(shortcut + branch))
    block.depth.train()
    out = block(maps).detach()
    skipped = torch.isclose(out, torch.relu(shortcut), atol=1e-6).flatten(1).all(dim=1)
    doubled = torch.isclose(out, torch.relu(shortcut + 2 * branch), atol=1e-5).flatten(1).all(dim=1)
    assert torch.equal(skipped, ~doubled)
    # Survival 0.5 for the last block: 400 draws stay within five standard deviations of 200.
    assert 150 < int(skipped.sum()) < 250


def test_bottleneck_blocks_compute_what_torchvision_computes(architecture) -> None:
    from torchvision.models.resnet import Bottleneck

    from pct_mlops.models.residual import StochasticBlock

    shortcut = nn.Sequential(nn.Conv2d(6, 16, 1, stride=2, bias=False), nn.BatchNorm2d(16))
    for block in (Bottleneck(6, 4, stride=2, downsample=shortcut), Bottleneck(16, 4)):
        maps = torch.rand(3, block.conv1.in_channels, 6, 6)
        torch.testing.assert_close(StochasticBlock(block, 0.5).eval()(maps), block.eval()(maps))
        torch.testing.assert_close(StochasticBlock(block, 1.0).train()(maps), block.train()(maps))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_survives_disk_and_export(architecture, tmp_path: Path, name: str) -> None:
    several = name.startswith(("aux_", "mb_"))
    changes = {"embedding_dim": 6, "dropout": 0.3, "classifier": "cosine", "temperature": 0.1}
    model = used(made(architecture, name, **changes, aux_eval="avg" if several else "main"))
    save_classifier(model, tmp_path)
    back = load_classifier(tmp_path).eval()
    assert back.architecture == model.architecture
    images = torch.rand(5, 1, 8, 8)
    assert torch.equal(back(images).logits, model(images).logits)
    batch = torch.export.Dim("batch")
    graph = torch.export.export(LogitsOnly(back), (images[:2],), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(graph(images), model(images).logits)


def test_records_from_before_these_options_still_load(architecture, tmp_path: Path) -> None:
    model = used(made(architecture, "small_resnet8"))
    save_classifier(model, tmp_path)
    record = tmp_path / "architecture.json"
    old = {"name", "kwargs", "class_names", "image_shape", "mean", "std"}
    record.write_text(json.dumps({key: value for key, value in json.loads(record.read_text()).items() if key in old}))
    images = torch.rand(3, 1, 8, 8)
    back = load_classifier(tmp_path).eval()
    assert torch.equal(back(images).logits, model(images).logits)
    assert back.architecture == model.architecture


def test_features_are_the_embedding_before_dropout(architecture) -> None:
    model = made(architecture, "small_resnet8", embedding_dim=5, dropout=0.5)
    assert model.num_features == 5
    images = torch.rand(64, 1, 8, 8)
    output = model(images)
    assert output.features.shape == (64, 5)
    # The head saw what was dropped; the features are whole.
    assert not torch.allclose(output.logits, model.head(output.features), atol=1e-3)
    kept = nn.Dropout(0.5)
    torch.manual_seed(4)
    expected = model.head(kept(output.features))
    torch.manual_seed(4)
    torch.testing.assert_close(model(images).logits, expected)
    model.eval()
    pooled = model.backbone((images - model.mean) / model.std)
    by_hand = pooled @ model.embedding.weight.T + model.embedding.bias
    torch.testing.assert_close(model(images).features, by_hand)
    torch.testing.assert_close(model(images).logits, model.head(by_hand))


def test_the_networks_own_dropout_does_not_reach_the_features(architecture) -> None:
    model = build_model(architecture("squeezenet1_1", 32))
    images = torch.rand(2, 3, 32, 32)
    assert model.dropout.p == 0.5
    assert torch.equal(model(images).features, model(images).features)
    assert not torch.equal(model(images).logits, model(images).logits)
    with torch.device("meta"):
        assert build_model(architecture("mobilenet_v3_small", 64)).dropout.p == 0.2
        own = architecture("mobilenet_v3_small", 64).model_copy(update={"dropout": 0.4})
        assert build_model(own).dropout.p == 0.4
        assert isinstance(build_model(architecture("resnet18", 64)).dropout, nn.Identity)


def test_the_cosine_classifier_is_a_cosine(architecture) -> None:
    model = made(architecture, "mb_small_resnet8", classifier="cosine", temperature=0.2)
    output = model(torch.rand(4, 1, 8, 8))
    for head, logits in zip((model.head, *model.aux_heads), (output.logits, *output.aux), strict=True):
        for row, features in enumerate(output.features):
            cosines = [features @ weight / (features.norm() * weight.norm()) for weight in head.weight]
            torch.testing.assert_close(logits[row], torch.stack(cosines) / 0.2)
    assert output.logits.abs().max() <= 1 / 0.2
    output.logits.sum().backward()
    assert torch.isfinite(model.head.weight.grad).all()


@pytest.mark.parametrize(("name", "num_aux", "width"), [("googlenet", 2, 1024), ("inception_v3", 1, 2048)])
def test_inception_networks_bring_their_own_heads(architecture, name: str, num_aux: int, width: int) -> None:
    import torchvision

    with torch.device("meta"):
        record = architecture(name, 299, 3, aux_logits=True).model_copy(update={"aux_eval": "avg"})
        model = build_model(record)
        images = torch.empty(2, 3, 299, 299, device="meta")
        output = model(images)
        assert [tuple(logits.shape) for logits in output.aux] == [(2, 10)] * num_aux
        assert output.features.shape == (2, width)
        assert model.eval()(images).aux == ()
        # Parts are in the mode that was set, though the maps come out in both.
        assert not any(part.training for part in model.modules() if list(part.parameters(recurse=False)))
        theirs = torchvision.models.get_model(name, num_classes=10, aux_logits=True, init_weights=False)
    assert sum(x.numel() for x in model.parameters()) == sum(x.numel() for x in theirs.parameters())


def test_googlenet_computes_what_torchvision_computes(architecture) -> None:
    import torchvision

    from pct_mlops.models import load_weights_into
    from pct_mlops.models.published import to_our_names

    theirs = torchvision.models.googlenet(num_classes=10, aux_logits=True, init_weights=False, dropout=0.0)
    record = architecture("googlenet", 64, 3, aux_logits=True, dropout=0.0)
    images = torch.rand(2, 3, 64, 64)
    for how in ("main", "avg"):
        model = build_model(record.model_copy(update={"aux_eval": how})).eval()
        load_weights_into(model, to_our_names(model, theirs.state_dict()), "torchvision's")
        with torch.no_grad():
            normal = (images - model.mean) / model.std
            expected = theirs.eval()(normal)
            if how == "avg":
                theirs.training = True  # only this flag: it says whether the auxiliary logits come out
                expected = torch.stack(list(theirs(normal))).mean(dim=0)
            torch.testing.assert_close(model(images).logits, expected)
