"""`objective.nfr_target`: a trained model goes back towards its start until val flips no more than wanted."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_store import NAME, heard

from pct_mlops.config import PctError, Recipe
from pct_mlops.reports import CurvePoint
from pct_mlops.workflows.training.nfr_target import HALVINGS, bisect, warn_of_nothing_left, warn_of_start
from pct_mlops.workflows.training.train import train

# A high learning rate, so that one epoch moves far away from production.
FAR = ["optim.epochs=1", "optim.lr=0.3", "optim.warmup_epochs=0", "model.init=production", "objective.loss=none"]


@given(st.floats(0.001, 0.5), st.floats(0, 0.5), st.floats(0.2, 3))
def test_the_share_is_the_smallest_that_meets_the_target(target, most, power):
    def measured(share):
        return CurvePoint(share, 1 - most * share, most * (1 - share) ** power)

    found = bisect(measured, target)
    assert found[-1].nfr <= target
    assert len(found) <= HALVINGS + 2
    if most <= target:
        assert found[-1].share == 0
    else:
        exact = 1 - (target / most) ** (1 / power)
        assert exact - 1e-9 <= found[-1].share <= exact + 2**-HALVINGS + 1e-9


def test_a_target_that_even_the_start_misses_ends_there():
    found = bisect(lambda share: CurvePoint(share, 0.5, 0.3), 0.1)
    assert [point.share for point in found] == [0, 1]


def test_a_target_may_be_a_percentage(shared_store):
    for text, value in (("1.5%", 0.015), ("0.015", 0.015), ("' 50 % '", 0.5)):
        assert Recipe.read(shared_store.recipe, [f"objective.nfr_target={text}"]).objective.nfr_target == value


def by_hand(store, version):
    """NFR on val by numpy alone."""

    def right(number):
        table = pq.read_table(store.registry.predictions(store.registry.resolve(f"{NAME}/{number}"), "val"))
        order = table["sample_id"].to_numpy().argsort()
        return (table["label"].to_numpy() == table["prediction"].to_numpy())[order]

    return float((right(1) & ~right(version)).mean())


def test_versions_meet_their_targets_and_share_one_training(store):
    torch.set_num_threads(1)
    plain = train(Recipe.read(store.recipe, FAR), tracking_uri=store.uri).version
    untreated = by_hand(store, plain)
    assert untreated > 0.03, "the training should flip enough for a target to matter"
    for part in (0.6, 0.3):
        target = part * untreated
        with heard() as said:
            version = train(
                Recipe.read(store.recipe, [*FAR, f"objective.nfr_target={target}"]), tracking_uri=store.uri, resume=True
            )
        assert not any(line.startswith("epoch ") for line in said), "the training is there already"
        assert sum(line.startswith("objective.nfr_target") for line in said) == 1
        nfr = by_hand(store, version.version)
        assert nfr <= target
        metrics = store.registry.client.get_run(version.run_id).data.metrics
        assert metrics["nfr_target/val_nfr"] == pytest.approx(nfr, abs=1e-9)
        assert metrics["nfr_target/val_nfr_trained"] == pytest.approx(untreated, abs=1e-9)
        assert 0 < metrics["nfr_target/share"] < 1
    with heard() as said:
        train(Recipe.read(store.recipe, [*FAR, "objective.nfr_target=0.99"]), tracking_uri=store.uri, resume=True)
    assert any("0.0% of the start's weights" in line for line in said)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model.init=null", "objective.nfr_target=0.01"], "start from production with --set model.init=production"),
        (["objective.nfr_target=0"], "greater than 0"),
        (["objective.nfr_target=1.5"], "less than 1"),
        (["objective.nfr_target=150%"], "less than 1"),
        (["objective.nfr_target=1.5 points"], "a valid number"),
        (["objective.nfr_target=0.01", "data.val_fraction=0.3"], "has no predictions on these examples"),
    ],
)
def test_targets_that_cannot_be_met_are_said_before_training(shared_store, words, says):
    before = shared_store.state()
    with pytest.raises(PctError, match=says):
        train(Recipe.read(shared_store.recipe, [*FAR, *words]), tracking_uri=shared_store.uri)
    assert shared_store.state() == before


def test_a_start_that_misses_the_target_is_warned_of_and_trained(caplog):
    """Training alone may meet it."""
    recipe = Recipe(model_name="digits", objective={"loss": "update", "nfr_target": "1.5%"})
    warn_of_start(recipe, 0.015)
    assert caplog.messages == []
    warn_of_start(recipe, 0.2)
    assert "is 1.50%, and the weights that the training starts from flip 20.00% on val" in caplog.text


def test_a_target_that_only_the_start_meets_is_warned_of(caplog):
    warn_of_nothing_left(CurvePoint(63 / 64, 0.9, 0.001))
    assert caplog.messages == []
    warn_of_nothing_left(CurvePoint(1.0, 0.9, 0.0))
    assert "nothing of the training is left" in caplog.text
