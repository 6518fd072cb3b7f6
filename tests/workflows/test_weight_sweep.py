"""Models between two models: weights by hand, BatchNorm statistics by hand, and the rule of choice."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from pct_mlops.config import DataConfig, PctError, Recipe
from pct_mlops.data import load_data
from pct_mlops.models import Architecture, build_model
from pct_mlops.reports import CurvePoint
from pct_mlops.workflows.runtime.weight_path import WeightPath
from pct_mlops.workflows.tables.interpolate import check_shares, choose

DATA = {"name": "digits", "augment": {"crop": "none", "flip": False}, "num_workers": 0}


@pytest.fixture(scope="module")
def splits():
    torch.set_num_threads(1)
    return load_data(DataConfig(**DATA), 0)


def sweep_of(splits, norm="batch", batches=3, batch_size=32, **data):
    """A sweep between two random networks whose statistics have moved from where they started."""
    architecture = Architecture(
        name="small_resnet8",
        kwargs={"width": 8, "norm": norm},
        class_names=splits.class_names,
        image_shape=splits.image_shape,
        mean=splits.mean,
        std=splits.std,
    )
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = build_model(architecture)
        model.train()(splits.train.images(range(seed, seed + 20)).float() / 255)
        models.append(model.eval())
    recipe = Recipe(model_name="m", data={**DATA, **data}, optim={"global_batch_size": batch_size})
    return WeightPath((models[0], models[1]), recipe, splits, Accelerator(cpu=True), batches), models


@pytest.mark.parametrize("share", [0, 1])
def test_the_ends_are_the_models_themselves(splits, share):
    sweep, (old, new) = sweep_of(splits)
    state, expected = sweep.model(share).state_dict(), (old if share else new).state_dict()
    for key, value in expected.items():
        if value.is_floating_point():
            assert torch.equal(state[key], value), key


def test_every_weight_is_mixed_and_the_models_stay_as_they_are(splits):
    sweep, (old, new) = sweep_of(splits)
    before = [{key: value.clone() for key, value in model.state_dict().items()} for model in (old, new)]
    mixed = sweep.model(0.3)
    assert not mixed.training
    for key, value in mixed.named_parameters():
        expected = 0.3 * before[0][key] + 0.7 * before[1][key]
        torch.testing.assert_close(value.detach(), expected)
    for model, kept in zip((old, new), before, strict=True):
        assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())


def test_statistics_are_the_mean_over_training_batches(splits):
    sweep, _ = sweep_of(splits)
    mixed = sweep.model(0.5)
    layers = [module for module in mixed.modules() if isinstance(module, nn.BatchNorm2d)]
    inputs: list[torch.Tensor] = []
    first = layers[0].register_forward_hook(lambda module, given, output: inputs.append(given[0]))
    seen = []
    with torch.no_grad():
        for batch in sweep._train_batches():
            seen.append(batch.index)
            mixed(batch.images)
    first.remove()
    # Nothing before the first layer depends on statistics, so its inputs are what they were estimated on.
    torch.testing.assert_close(layers[0].running_mean, torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0))
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in inputs])
    torch.testing.assert_close(layers[0].running_var, variances.mean(0))
    assert all(int(layer.num_batches_tracked) == 3 for layer in layers)
    assert len(torch.cat(seen)) == 96
    again = sweep.model(0.5).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in mixed.state_dict().items()), "the same at every call"


def test_the_batches_mix_classes_although_the_data_are_sorted(splits):
    order = splits.train.labels.argsort(stable=True).numpy()
    by_class = type(splits)(**{**splits.__dict__, "train": splits.train.select(order)})
    sweep, _ = sweep_of(by_class)
    assert all(len(batch.labels.unique()) > 5 for batch in sweep._train_batches())


def test_ten_crops_are_for_predictions_and_not_for_statistics(splits):
    plain, cropped = sweep_of(splits)[0].model(0.5), sweep_of(splits, ten_crop=True)[0].model(0.5)
    expected = plain.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in cropped.state_dict().items())


@pytest.mark.parametrize(("batches", "size", "seen"), [(1000, 64, None), (2, 10_000, 1)])
def test_never_more_than_there_is(splits, batches, size, seen):
    sweep, _ = sweep_of(splits, batches=batches, batch_size=size)
    expected = len(splits.train) // 64 if seen is None else seen
    assert len(list(sweep._train_batches())) == expected


def test_models_without_batchnorm_read_no_training_data(splits, monkeypatch):
    sweep, _ = sweep_of(splits, norm="group")
    monkeypatch.setattr(sweep, "_train_batches", lambda: pytest.fail("no statistics, no data"))
    assert sweep.model(0.5).training is False


def test_the_curve_by_hand(splits):
    sweep, _ = sweep_of(splits)
    curve = sweep.curve([0.5])
    assert [point.share for point in curve] == [0, 0.5, 1]
    labels, images = splits.val.labels, splits.val.images(range(len(splits.val))).float() / 255
    right = {}
    for share in (0, 0.5, 1):
        with torch.no_grad():
            right[share] = sweep.model(share)(images).logits.argmax(1) == labels
    for point in curve:
        assert point.accuracy == pytest.approx(right[point.share].double().mean().item())
        assert point.nfr == pytest.approx((right[1] & ~right[point.share]).double().mean().item())


def points(*rows):
    return [CurvePoint(*row) for row in rows]


@pytest.mark.parametrize(
    ("curve", "tolerance", "share"),
    [
        # Fewest flips within the tolerance, on its edge included.
        (points((0, 0.90, 0.03), (0.3, 0.91, 0.02), (0.6, 0.898, 0.01), (0.9, 0.89, 0.001)), 0.002, 0.6),
        (points((0, 0.90, 0.03), (0.3, 0.91, 0.02), (0.6, 0.898, 0.01)), 0.001, 0.3),
        # Nothing is good enough: new stays.
        (points((0, 0.90, 0.03), (0.5, 0.50, 0.00)), 0.1, 0),
        # As many flips: the more accurate, then the one with less of old.
        (points((0, 0.90, 0.03), (0.4, 0.91, 0.01), (0.5, 0.92, 0.01)), 0.0, 0.5),
        (points((0, 0.90, 0.01), (0.4, 0.90, 0.01)), 0.0, 0),
        # An old model as accurate as the new one has no flips at all.
        (points((0, 0.90, 0.03), (1, 0.90, 0.0)), 0.0, 1),
    ],
)
def test_the_choice(curve, tolerance, share):
    assert choose(curve, tolerance).share == share
    assert choose(curve[::-1], tolerance).share == share


@pytest.mark.parametrize("shares", [[], [-0.1], [0.5, 1.01], [float("nan")]])
def test_impossible_shares(shares):
    with pytest.raises(PctError, match="from 0 to 1"):
        check_shares(shares)
