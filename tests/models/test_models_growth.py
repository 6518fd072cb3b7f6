"""Function-preserving growth: the larger model gives the same logits, and its replicas part from each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.ops import StochasticDepth

from pct_mlops.config import PctError
from pct_mlops.models import Architecture, Classifier, build_model, grow_classifier, model_names, save_classifier
from pct_mlops.models.growth.channels import ChannelGroups, channel_map, spread_weight
from pct_mlops.models.small_resnet import DEPTHS
from pct_mlops.models.torchvision_zoo import torchvision_residual_names

TOLERANCE = 1e-5  # of the scale of the logits
CLASSES = tuple("abcdefg")
# How an architecture's fields differ from the defaults below; kwargs are those of model.kwargs.
FIELDS = ("class_names", "embedding_dim", "classifier", "temperature", "aux_eval")


def record(name: str, size: int = 12, channels: int = 3, **options: Any) -> Architecture:
    fields = {key: options.pop(key) for key in FIELDS if key in options}
    return Architecture(
        name=name,
        kwargs=options,
        image_shape=(channels, size, size),
        mean=(0.4, 0.5, 0.6)[:channels],
        std=(0.2, 0.3, 0.4)[:channels],
        **{"class_names": CLASSES, **fields},
    )


def images(model: Classifier, num: int = 6) -> torch.Tensor:
    return torch.rand(num, *model.architecture.image_shape, generator=torch.Generator().manual_seed(2))


def trained(architecture: Architecture, seed: int = 0) -> Classifier:
    """Build a model whose norms have weights, biases and statistics of their own, as after a training."""
    torch.manual_seed(seed)
    model = build_model(architecture).train()
    with torch.no_grad():
        model(images(model, 8))
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.3, 0.3)
    return model


def grown(source: Classifier, architecture: Architecture, seed: int = 1) -> Classifier:
    torch.manual_seed(seed)
    model = build_model(architecture)
    grow_classifier(model, source)
    return model


def difference(old: Classifier, new: Classifier, *, training: bool) -> float:
    """Largest difference of logits on the classes that both know, over the largest logit. float64 in training.

    BatchNorm over few values is ill-conditioned, so in training float32 shows its rounding and not the growth's.
    """
    data = images(old)
    if training:
        old, new, data = old.double(), new.double(), data.double()
    with torch.no_grad():
        one, other = old.train(training)(data), new.train(training)(data)
    if training:
        old.float(), new.float()
    names, known = new.architecture.class_names, old.architecture.class_names
    shared = [name for name in known if name in names]
    before = one.logits[:, [known.index(name) for name in shared]]
    after = other.logits[:, [names.index(name) for name in shared]]
    assert before.abs().max() > 1e-3
    return float((before - after).abs().max() / before.abs().max())


def assert_same_function(old: Classifier, new: Classifier, *, in_training: bool = True) -> None:
    assert difference(old, new, training=False) < TOLERANCE
    if in_training:
        assert difference(old, new, training=True) < TOLERANCE


@settings(deadline=None, max_examples=12)
@given(
    widths=st.tuples(st.integers(1, 6), st.integers(0, 7)),
    blocks=st.sampled_from([("small_resnet8", "small_resnet8"), ("small_resnet8", "small_resnet20")]),
    stride=st.integers(1, 2),
    channels=st.sampled_from([1, 3]),
    embedding=st.sampled_from([(None, None), (None, 28), (5, 5), (5, 9)]),
    seed=st.integers(0, 99),
)
def test_a_wider_and_deeper_model_computes_the_same(widths, blocks, stride, channels, embedding, seed) -> None:
    width, more = widths
    old = record(blocks[0], 8, channels, width=width, stem_stride=stride, embedding_dim=embedding[0])
    new = record(blocks[1], 8, channels, width=width + more, stem_stride=stride, embedding_dim=embedding[1])
    source = trained(old, seed)
    assert_same_function(source, grown(source, new, seed + 1))


@pytest.mark.parametrize(("old", "new"), [(4, 8), (8, 16), (8, 24), (1, 2), (2, 8), (16, 32), (8, 8)])
def test_group_norm_keeps_its_groups(old: int, new: int) -> None:
    source = trained(record("small_resnet8", width=old, norm="group"))
    model = grown(source, record("small_resnet14", width=new, norm="group"))
    assert_same_function(source, model)
    alone = model.eval()(images(model)[:1]).logits
    torch.testing.assert_close(alone, source.eval()(images(model)[:1]).logits, rtol=0, atol=1e-4)


def eight(size: int = 12, **options: Any) -> Architecture:
    return record("small_resnet8", size, width=4, **options)


# Old, new, and whether they compute the same in training mode too.
VARIANTS = [
    (
        record("aux_small_resnet8", 32, width=4, aux_eval="avg"),
        record("aux_small_resnet14", 32, width=6, aux_eval="avg"),
        False,
    ),
    (record("aux_small_resnet8", 32, width=4), record("small_resnet14", 32, width=6), True),
    (eight(32), record("aux_small_resnet14", 32, width=6), True),
    (record("mb_small_resnet8", width=4, aux_eval="max"), record("mb_small_resnet8", width=6, aux_eval="max"), True),
    (eight(), record("small_resnet14_stodepth", width=6), False),
    (record("small_resnet8_stodepth", width=4), record("small_resnet14", width=6), False),
    (eight(classifier="cosine"), record("small_resnet20", width=4, classifier="cosine"), True),
    (eight(classifier="cosine"), record("small_resnet14", width=6, classifier="cosine", embedding_dim=16), True),
]


@pytest.mark.parametrize(("old", "new", "in_training"), VARIANTS)
def test_heads_and_variants(old: Architecture, new: Architecture, in_training: bool) -> None:
    source = trained(old)
    assert_same_function(source, grown(source, new), in_training=in_training)


def test_classes_are_matched_by_name_and_new_ones_are_fresh() -> None:
    source = trained(record("small_resnet8", width=4))
    names = ("x", *reversed(CLASSES[1:]), "y")
    torch.manual_seed(7)
    model = build_model(record("small_resnet8", width=6, class_names=names))
    before = model.head.weight.detach().clone()
    grow_classifier(model, source)
    assert_same_function(source, model)
    fresh = [names.index("x"), names.index("y")]
    assert torch.equal(model.head.weight[fresh], before[fresh])


def test_without_heads_they_stay_and_the_features_grow() -> None:
    source = trained(record("small_resnet8", width=4))
    torch.manual_seed(7)
    model = build_model(record("small_resnet8", width=6, classifier="cosine"))
    before = model.head.weight.detach().clone()
    grow_classifier(model, source, with_heads=False)
    assert torch.equal(model.head.weight, before)
    old, new = (part.eval()(images(part)).features for part in (source, model))
    torch.testing.assert_close(new[:, : old.shape[1]], old, rtol=1e-4, atol=1e-5)


def test_the_normalisation_of_the_source_comes_with_its_weights(tmp_path) -> None:
    source = trained(record("small_resnet8", width=4))
    other = record("small_resnet8", width=6).model_copy(update={"mean": (0.1,) * 3, "std": (0.9,) * 3})
    model = grown(source, other)
    assert_same_function(source, model)
    assert model.architecture.mean == pytest.approx(source.architecture.mean)
    save_classifier(model, tmp_path)


LIGHT = [("resnet18", "resnet34"), ("resnet18_stodepth", "aux_resnet34")]
HEAVY = [
    ("resnet50", "resnet101"),
    ("resnet101", "resnet152"),
    ("resnet50", "wide_resnet50_2"),
    ("resnet50", "wide_resnet101_2"),
    ("wide_resnet50_2", "wide_resnet101_2"),
    ("resnext50_32x4d", "resnext101_32x8d"),
    ("resnext50_32x4d", "resnext101_64x4d"),
]


@pytest.mark.parametrize(("old", "new"), [*LIGHT, *(pytest.param(*pair, marks=pytest.mark.thorough) for pair in HEAVY)])
def test_torchvision_s_residual_networks_grow(old: str, new: str) -> None:
    source = trained(record(old, 64 if "aux" in new else 32))
    model = grown(source, record(new, 64 if "aux" in new else 32))
    assert_same_function(source, model, in_training="stodepth" not in old)


# A source for every residual network: the smallest of torchvision's that can become it.
SMALLEST = {
    **dict.fromkeys(("resnet18", "resnet34"), "resnet18"),
    **dict.fromkeys(("resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"), "resnet50"),
    **dict.fromkeys(("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"), "resnext50_32x4d"),
}


@pytest.mark.parametrize("base", DEPTHS)
def test_every_small_resnet_grows_from_a_narrow_one(base: str) -> None:
    source = trained(record(base, 8, width=2))
    for name in (base, f"mb_{base}", f"{base}_stodepth"):
        model = grown(source, record(name, 8, width=3))
        assert difference(source, model, training=False) < TOLERANCE, name


@pytest.mark.thorough
@pytest.mark.parametrize("base", torchvision_residual_names())
def test_every_residual_network_of_torchvision_grows(base: str) -> None:
    """Fail for a network that torchvision adds, until it has a source or is known to have none."""
    source = trained(record(SMALLEST[base], 32))
    for name in (base, f"mb_{base}", f"{base}_stodepth"):
        assert difference(source, grown(source, record(name, 32)), training=False) < TOLERANCE, name


REFUSED = [
    (record("small_resnet14", width=4), record("small_resnet8", width=8), "stage 1 has 1 block(s) instead of 2"),
    (record("small_resnet8", width=8), record("small_resnet8", width=6), "in the stem, 6 channels cannot hold"),
    (record("small_resnet8", width=4), record("small_resnet18", width=8), "it has 4 stages instead of 3"),
    (record("small_resnet8", width=4), record("small_resnet8", width=4, stem_stride=2), "stride 2 instead of 1"),
    (record("small_resnet8", 12, 1, width=4), record("small_resnet8", width=4), "3 channel(s) instead of 1"),
    (record("small_resnet8", width=8), record("small_resnet8", width=8, norm="group"), "group norm instead of batch"),
    (record("small_resnet8", width=16, norm="group"), record("small_resnet8", width=24, norm="group"), "multiple"),
    (record("small_resnet8", width=4), record("resnet18", 32), "are built differently"),
    (record("resnet18", 32), record("resnet50", 32), "stage 1 has bottlenecks instead of basic blocks"),
    (record("small_resnet8", 32, width=4), record("alexnet", 64), "only small_resnets and torchvision's ResNets can"),
    (
        record("small_resnet8", width=4, classifier="cosine"),
        record("small_resnet8", width=6, classifier="cosine"),
        "set model.embedding_dim=16, or model.new_head=true",
    ),
    (
        record("small_resnet8", width=4, classifier="cosine"),
        record("small_resnet8", width=4, classifier="cosine", temperature=0.1),
        "set model.temperature=0.05",
    ),
    (
        record("small_resnet8", width=4),
        record("small_resnet8", width=4, classifier="cosine"),
        "its classifier is cosine instead of linear: set model.new_head=true",
    ),
    (record("small_resnet8", width=4, embedding_dim=6), record("small_resnet8", width=6), "model.embedding_dim to 6"),
    (
        record("small_resnet8", width=4, embedding_dim=6),
        record("small_resnet8", width=6, embedding_dim=5),
        "model.embedding_dim should be 6 or more",
    ),
    (
        record("mb_small_resnet8", width=4, aux_eval="avg"),
        record("mb_small_resnet8", width=6),
        "is evaluated with model.aux_eval=avg",
    ),
    (
        record("mb_small_resnet8", width=4, aux_eval="avg"),
        record("aux_small_resnet8", 32, width=6, aux_eval="avg"),
        "is evaluated with model.aux_eval=avg",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "reason"), REFUSED)
def test_what_cannot_grow_is_said_in_one_sentence_and_changes_nothing(old, new, reason: str) -> None:
    source = trained(old)
    model = build_model(new)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(PctError, match="cannot grow into a ") as error:
        grow_classifier(model, source)
    assert reason in str(error.value)
    assert str(error.value).count(". ") == 0
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_dense_network_does_not_become_a_grouped_one() -> None:
    old, new = (build_model(record(name, 32)) for name in ("resnet50", "resnext50_32x4d"))
    with pytest.raises(PctError, match=r"stage 1, 32 group\(s\) of 4 channels cannot hold"):
        grow_classifier(new, old)


def test_replicas_part_with_the_first_step() -> None:
    """Show that shares are unequal: equal ones give equal gradients, and the wide model stays a narrow one."""
    source = trained(record("small_resnet8", width=4))
    model = grown(source, record("small_resnet14", width=8)).train()
    weights = {key: value for key, value in model.named_parameters() if key.endswith("conv1.weight")}
    twins = {
        key: _twins(value)
        for key, value in weights.items()
        if key.startswith(("backbone.layers.3", "backbone.layers.5"))
    }
    assert all(len(pairs) for pairs in twins.values())
    data, optimizer = images(model, 16), torch.optim.SGD(model.parameters(), lr=0.1)
    cross_entropy(model(data).logits, torch.arange(16) % len(CLASSES)).backward()
    optimizer.step()
    for key, pairs in twins.items():
        for one, other in pairs:
            a, b = weights[key][one].detach().flatten(), weights[key][other].detach().flatten()
            assert (a - b).norm() > 1e-3 * a.norm(), key
            grad = weights[key].grad.flatten(1)
            cosine = torch.nn.functional.cosine_similarity(grad[one], grad[other], dim=0)
            assert cosine < 0.9999, "replicas should learn different things, and not one of them faster"
    inserted = [layer.weight for key, layer in model.named_modules() if key == "backbone.layers.4.bn2"]
    assert inserted[0].abs().max() > 0, "an inserted block learns"


def _twins(weight: torch.Tensor) -> list[tuple[int, int]]:
    """Replicas of one channel: pairs of outputs whose weights have the same totals over all inputs."""
    narrow = weight.shape[0] // 2
    totals = weight.detach().sum(dim=1)
    return [
        (one, other)
        for one in range(narrow)
        for other in range(narrow, 2 * narrow)
        if torch.allclose(totals[one], totals[other], atol=1e-6)
    ]


def test_growth_is_the_same_for_the_same_generator_and_leaves_torch_s_own_alone() -> None:
    source = trained(record("small_resnet8", width=4))
    models = []
    for seed in (3, 3, 4):
        torch.manual_seed(0)
        model = build_model(record("small_resnet8", width=6))
        before = torch.get_rng_state()
        grow_classifier(model, source, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(torch.get_rng_state(), before)
        models.append(model.state_dict())
    assert all(torch.equal(value, models[1][key]) for key, value in models[0].items())
    assert not torch.equal(models[0]["head.weight"], models[2]["head.weight"])


@given(
    size=st.integers(1, 6),
    groups=st.tuples(st.integers(1, 4), st.integers(0, 3)),
    more=st.integers(0, 9),
    seed=st.integers(0, 9),
)
def test_a_channel_map_covers_every_group_evenly(size, groups, more, seed) -> None:
    old, new = ChannelGroups(size * groups[0], groups[0]), ChannelGroups((size + more) * sum(groups), sum(groups))
    found = channel_map(old, new, torch.Generator().manual_seed(seed)).view(new.num_groups, -1)
    for group, sources in enumerate(found):
        counts = torch.bincount(sources, minlength=old.num_channels)
        own = counts[(group % old.num_groups) * size :][:size]
        assert int(own.sum()) == size + more, "only channels of its own group"
        assert int(own.min()) >= 1
        assert int(own.max() - own.min()) <= 1


@given(seed=st.integers(0, 50))
def test_shares_of_a_channel_add_up_to_its_weight_and_differ(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    inputs, outputs = (channel_map(ChannelGroups(3), ChannelGroups(8), generator) for _ in range(2))
    weight = torch.randn(3, 3, 2, generator=generator)
    wide = spread_weight(weight, outputs, inputs, 1, generator)
    totals = torch.zeros(8, 3, 2).index_add_(1, inputs, wide)
    torch.testing.assert_close(totals, weight[outputs])
    shares = wide / weight[outputs][:, inputs]
    assert (shares > 0).all()
    replicas = shares[0, inputs == 0, 0]
    assert len(replicas.unique()) == len(replicas)


def test_stochastic_depth_of_the_larger_model_is_its_own() -> None:
    source = trained(record("small_resnet8", width=4))
    model = grown(source, record("small_resnet14_stodepth", width=4))
    assert [part.p for part in model.modules() if isinstance(part, StochasticDepth)][-1] == 0.5


def test_every_other_architecture_refuses_to_grow() -> None:
    residual = {*DEPTHS, *torchvision_residual_names()}
    others = [name for name in ("alexnet", "vgg11_bn", "densenet121", "mobilenet_v2") if name in model_names()]
    assert others
    assert not residual & set(others)
    for name in others:
        with torch.device("meta"):
            model = build_model(record(name, 64))
        with pytest.raises(PctError, match="only small_resnets and torchvision's ResNets can grow"):
            grow_classifier(model, model)
