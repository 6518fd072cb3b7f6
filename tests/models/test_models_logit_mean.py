"""The mean of classifiers as one classifier: its logits, its record, its exported graph, and what it refuses."""

from __future__ import annotations

import json

import pytest
import torch

from pct_mlops.config import PctError
from pct_mlops.models import (
    LOGIT_MEAN,
    Architecture,
    LogitMean,
    LogitsOnly,
    Part,
    build_model,
    interpolate_weights,
    load_classifier,
    mean_of_models,
    model_names,
    save_classifier,
)

IMAGES = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def member(seed, names="abc", width=4, **own):
    """Build a classifier with normalisation and BatchNorm statistics of its own."""
    torch.manual_seed(seed)
    record = Architecture(
        name=own.pop("name", "small_resnet8"),
        kwargs={"width": width},
        class_names=tuple(names),
        image_shape=own.pop("image_shape", (1, 8, 8)),
        mean=(0.1 * seed,),
        std=(0.2 + 0.1 * seed,),
        **own,
    )
    model = build_model(record)
    model.train()(torch.rand(20, *record.image_shape))
    return model.eval()


def parts(*models, weights=None):
    return [Part(f"m/{n}", w, m) for n, (m, w) in enumerate(zip(models, weights or [1.0] * len(models), strict=True))]


def three():
    """Build a weighted mean of unlike members, and compute its logits by hand."""
    one, two, other = member(1), member(2, "cab", aux_eval="avg", name="mb_small_resnet8"), member(3, width=8)
    with torch.no_grad():
        logits = 2 * one(IMAGES).logits + two(IMAGES).logits[:, [1, 2, 0]] + 1.5 * other(IMAGES).logits
    return mean_of_models(parts(one, two, other, weights=[2.0, 1.0, 1.5]), "abc"), logits / 4.5


def test_it_is_the_weighted_mean_and_is_rebuilt_from_its_record(tmp_path):
    mean, expected = three()
    torch.testing.assert_close(mean(IMAGES).logits, expected)
    assert mean.architecture.class_names == ("a", "b", "c")
    assert mean(IMAGES).features is None, "members of other widths have no common features"
    save_classifier(mean, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["architecture.json", "model.safetensors"]
    again = load_classifier(tmp_path)
    assert isinstance(again, LogitMean)
    assert [(part.source, part.weight) for part in again.parts] == [("m/0", 2.0), ("m/1", 1.0), ("m/2", 1.5)]
    assert torch.equal(again(IMAGES).logits, mean(IMAGES).logits)


def test_features_are_averaged_where_widths_agree():
    one, two = member(1), member(2)
    mean = mean_of_models(parts(one, two, weights=[3.0, 1.0]), "abc")
    assert mean.num_features == one.num_features
    with torch.no_grad():
        torch.testing.assert_close(mean(IMAGES).features, (3 * one(IMAGES).features + two(IMAGES).features) / 4)


def test_it_stays_in_evaluation_mode_and_has_nothing_to_train():
    mean, expected = three()
    mean.train()
    assert not any(module.training for module in mean.modules())
    assert not any(values.requires_grad for values in mean.parameters())
    torch.testing.assert_close(mean(IMAGES).logits, expected)


@pytest.mark.parametrize("number", [1, 7])
def test_the_exported_graph_takes_any_batch(number):
    mean, expected = three()
    batch = torch.export.Dim("batch")
    graph = torch.export.export(LogitsOnly(mean), (IMAGES[:2],), dynamic_shapes={"images": {0: batch}}).module()
    torch.testing.assert_close(graph(IMAGES[:number]), expected[:number], atol=1e-5, rtol=0)


def test_a_mean_of_means_holds_every_model_once():
    one, two, other = member(1), member(2), member(3)
    first = mean_of_models(parts(one, two, weights=[3.0, 1.0]), "abc")
    both = mean_of_models([Part("first", 2.0, first), Part("one", 1.0, one), Part("other", 1.0, other)], "abc")
    assert [(part.source, part.weight) for part in both.parts] == [("m/0", 2.5), ("m/1", 0.5), ("other", 1.0)]
    with torch.no_grad():
        expected = (2 * first(IMAGES).logits + one(IMAGES).logits + other(IMAGES).logits) / 4
        torch.testing.assert_close(both(IMAGES).logits, expected)


def test_members_that_do_not_fit_are_refused():
    with pytest.raises(PctError, match="m/1 lacks the class 'c', unlike another member"):
        mean_of_models(parts(member(1), member(2, "ab")), "abc")
    with pytest.raises(PctError, match="m/1 knows the class 'd', unlike another member"):
        mean_of_models(parts(member(1), member(2, "abcd")), "abc")
    with pytest.raises(PctError, match=r"m/1 takes images of shape \(1, 16, 16\) and m/0 those of \(1, 8, 8\)"):
        mean_of_models(parts(member(1), member(2, image_shape=(1, 16, 16))), "abc")
    with pytest.raises(PctError, match="All members have the weights of m/0"):
        mean_of_models(parts(member(1), member(1)), "abc")


def test_its_weights_are_not_interpolated():
    mean, _ = three()
    for pair in ((mean, member(1)), (member(1), mean), (mean, mean)):
        with pytest.raises(PctError, match=r"is the mean of 3 models, .* name two of its members \(m/0, m/1, m/2\)"):
            interpolate_weights(*pair, 0.5)


def test_it_is_no_architecture_to_train():
    assert LOGIT_MEAN not in model_names()
    record = member(1).architecture.model_copy(update={"name": LOGIT_MEAN, "kwargs": {}})
    with pytest.raises(PctError, match="members"):
        build_model(record)


@pytest.fixture
def stored(tmp_path):
    """Return a folder with a mean, and a function that changes the members of its record."""
    save_classifier(three()[0], tmp_path)
    file = tmp_path / "architecture.json"

    def change(number, key, value):
        record = json.loads(file.read_text())
        target = record["kwargs"]["members"][number]
        (target if key == "weight" else target["architecture"])[key] = value
        file.write_text(json.dumps(record))

    return tmp_path, change


def test_code_that_only_a_member_names_is_not_imported(stored):
    folder, change = stored
    change(1, "name", "antigravity:fly")
    with pytest.raises(PctError, match="names the code 'antigravity:fly', and nothing is imported"):
        load_classifier(folder)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("weight", -1, "greater than 0"),
        ("name", LOGIT_MEAN, "is a mean itself"),
        ("class_names", ["a", "b", "x"], "knows the class 'x'|lacks the class 'c'"),
        ("kwargs", {"width": 6}, "does not hold the weights of its logit_mean"),
    ],
)
def test_a_damaged_record_is_a_sentence(stored, key, value, says):
    folder, change = stored
    change(1, key, value)
    with pytest.raises(PctError, match=says):
        load_classifier(folder)
