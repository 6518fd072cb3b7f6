"""Flip rates on arrays and over batches: one definition, and what is undefined or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import metrics_worker
import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from pct_mlops.comparison import compare
from pct_mlops.metrics import Churn, NegativeFlipRate, PositiveFlipRate, churn, negative_flip_rate, positive_flip_rate
from pct_mlops.predictions import Predictions

RATES = {"NegativeFlipRate": negative_flip_rate, "PositiveFlipRate": positive_flip_rate, "Churn": churn}


def draw(num_examples=200, num_classes=4, seed=0):
    generator = np.random.default_rng(seed)
    old, new = generator.normal(size=(2, num_examples, num_classes)).astype(np.float32)
    return old, new, generator.integers(num_classes, size=num_examples)


def plain(old, new, target):
    """All three rates by their names."""
    return {
        "NegativeFlipRate": negative_flip_rate(old, new, target),
        "PositiveFlipRate": positive_flip_rate(old, new, target),
        "Churn": churn(old, new),
    }


def test_the_rates_are_those_of_a_comparison_of_tables():
    old, new, target = draw()
    names = [str(i) for i in range(4)]
    ids = [str(i) for i in range(len(target))]
    tables = [Predictions.from_arrays(ids, target, logits, class_names=names) for logits in (old, new)]
    comparison = compare(*tables)
    expected = {name: comparison.estimate(key).value for name, key in zip(RATES, ("nfr", "pfr", "churn"), strict=True)}
    assert plain(old, new, target) == pytest.approx(expected)
    assert len(set(expected.values())) == 3, "three rates that could be told apart"


@pytest.mark.parametrize(
    "to",
    [np.asarray, torch.as_tensor, np.ndarray.tolist, lambda a: torch.as_tensor(a).requires_grad_(a.dtype.kind == "f")],
    ids=["numpy", "torch", "list", "with gradient"],
)
def test_scores_and_indices_of_any_kind_of_array_give_the_same(to):
    old, new, target = draw()
    expected = plain(old, new, target)
    assert plain(to(old), to(new), to(target)) == expected
    indices = old.argmax(axis=1), new.argmax(axis=1)
    assert plain(to(indices[0]), to(indices[1]), to(target)) == expected
    assert plain(to(indices[0]), to(new), to(target.astype(np.int32))) == expected


def test_scores_of_half_precision_are_taken():
    old, new, target = (torch.as_tensor(part) for part in draw())
    half = old.bfloat16(), new.bfloat16()
    assert plain(*half, target) == plain(half[0].float(), half[1].float(), target)


BAD = {
    "no examples": (([], [], []), "no examples is undefined"),
    "no scores": ((np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, int)), "no examples is undefined"),
    "other length": (([0, 1], [0, 1, 1], [0, 1]), "2 of old, 3 of new, 2 of target"),
    "probabilities of one class": (([0.2, 0.9], [0, 1], [0, 1]), "old should be class indices .* or scores"),
    "other classes": ((np.eye(2), np.eye(3)[:2], [0, 1]), r"of the same C, but they have \[2, 3\]"),
    "target beyond the scores": ((np.eye(2), np.eye(2), [0, 2]), "target should be classes 0 to 1"),
    "ignored target": (([0, 1], [0, 1], [0, -100]), "target should be classes from 0, but one is -100"),
    "ignored prediction": (([0, 1], [-1, 1], [0, 1]), "new should be classes from 0, but one is -1"),
    "one-hot target": ((np.eye(2), np.eye(2), np.eye(2)), "target should be class indices"),
    "names": ((["cat"], ["dog"], ["cat"]), "old should be class indices .* or scores"),
    "a score that is NaN": ((np.array([[np.nan, 1.0]]), np.eye(2)[:1], [0]), r"old holds a score .* \(NaN\)"),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_what_has_no_rate_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        negative_flip_rate(*given)


BAD_BATCHES = {
    "other length": (([0, 1], [0, 1, 1], [0, 1]), "of the same"),
    "floats": (([0.2, 0.9], [0, 1], [0, 1]), "old should be class indices"),
    "float target": (([0, 1], [0, 1], [0.0, 1.0]), "of the same"),
    "ignored target": (([0, 1], [0, 1], [0, -100]), "target should be classes from 0"),
    "ignored prediction": (([0, 1], [-1, 1], [0, 1]), "new should be classes from 0"),
    "a score that is NaN": (([[float("nan"), 1.0]], [[0.0, 1.0]], [0]), r"\(NaN\)"),
}


@pytest.mark.parametrize(("given", "message"), BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_a_batch_that_has_no_rate_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        NegativeFlipRate().update(*map(torch.tensor, given))


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_a_metric_without_examples_is_undefined():
    with pytest.raises(ValueError, match="no examples is undefined"):
        Churn().compute()


def test_metrics_add_up_over_batches_and_start_again():
    old, new, target = (torch.as_tensor(part) for part in draw())
    # The first batch has as many negative flips as positive ones and as changes: a collection that took equal counts
    # for equal metrics would confuse them from then on.
    first = torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0, 0])
    metrics = MetricCollection([NegativeFlipRate(), PositiveFlipRate(), Churn()])
    metrics.update(*first)
    for batch in zip(old.split(64), new.split(64), target.split(64), strict=True):
        metrics.update(*batch)
    labels = old.argmax(dim=1), new.argmax(dim=1), target
    together = [torch.cat(parts) for parts in zip(first, labels, strict=True)]
    assert {name: float(value) for name, value in metrics.compute().items()} == pytest.approx(plain(*together))
    metrics.reset()
    values = metrics(old, new, target)
    assert {name: float(value) for name, value in values.items()} == pytest.approx(plain(old, new, target))


@pytest.mark.slow
def test_two_processes_count_each_example_once(tmp_path):
    done = subprocess.run(
        [sys.executable, metrics_worker.__file__, (tmp_path / "rendezvous").as_uri()],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    expected = plain(*metrics_worker.examples())
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert printed == [pytest.approx(expected)] * 2


WITHOUT = """
import sys
sys.modules["torchmetrics"] = None
import pct_mlops.metrics as metrics
assert metrics.negative_flip_rate([0], [1], [0]) == 1.0
heavy = [name for name in ("torch", "mlflow", "pyarrow", "duckdb", "pydantic") if name in sys.modules]
assert not heavy, heavy
try:
    metrics.NegativeFlipRate
except ImportError as error:
    print(error)
"""


def test_the_functions_need_neither_torch_nor_torchmetrics():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "NegativeFlipRate needs torchmetrics: install it with `pip install 'pct-mlops[metrics]"
    )
