"""One example of a table, against numpy on the arrays that the table was made of."""

from __future__ import annotations

import numpy as np
import pytest

from pct_mlops.predictions import Predictions, single

NUM, CLASSES = 40, 7


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    return rng.integers(0, CLASSES, NUM), rng.normal(size=(NUM, CLASSES)), rng.normal(size=(NUM, 5))


@pytest.fixture(params=["memory", "file"])
def table(arrays, request, tmp_path):
    labels, logits, features = arrays
    ids = [f"id '{i}" for i in range(NUM)]
    names = [str(i) for i in range(CLASSES)]
    made = Predictions.from_arrays(ids, labels, logits, class_names=names, features=features)
    return made if request.param == "memory" else made.save(tmp_path / "t.parquet")


def test_the_row_of_an_example(table, arrays):
    labels, logits, _ = arrays
    found = single.prediction_of(table, "id '7")

    assert (found.label, found.prediction) == (labels[7], logits[7].argmax())
    assert found.confidence >= found.label_confidence
    assert single.prediction_of(table, "nowhere") is None


def test_the_rows_of_all_examples_give_the_same(table):
    every = single.every_prediction(table)

    for sample_id in ("id '0", "id '7", f"id '{NUM - 1}", "nowhere"):
        assert single.prediction_in(every, sample_id) == single.prediction_of(table, sample_id)


def test_the_likeliest_classes_are_softmax_of_the_logits(table, arrays):
    logits = arrays[1][7].astype(np.float32).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum()

    found = single.top_classes(table, "id '7")

    assert [index for index, _ in found] == list(np.argsort(-shares)[:5])
    np.testing.assert_allclose([share for _, share in found], np.sort(shares)[::-1][:5], rtol=1e-12)
    assert single.top_classes(table, "nowhere") is None


def test_the_nearest_are_those_of_the_smallest_cosine_distance(table, arrays):
    features = arrays[2] / np.linalg.norm(arrays[2], axis=1, keepdims=True)
    distances = 1 - features @ features[7]
    order = [i for i in np.argsort(distances) if i != 7][:4]

    found = single.nearest(table, "id '7", 4)

    assert [item.sample_id for item in found] == [f"id '{i}" for i in order]
    np.testing.assert_allclose([item.distance for item in found], distances[order], atol=1e-6)
    assert [item.label for item in found] == [arrays[0][i] for i in order]
    assert single.nearest(table, "nowhere") is None


def test_what_is_not_stored_or_too_much_is_none(arrays, table, monkeypatch):
    labels, logits, _ = arrays
    names = [str(i) for i in range(CLASSES)]
    bare = Predictions.from_arrays(range_ids(), labels, logits, class_names=names, keep_logits=False)

    assert single.top_classes(bare, "0") is None
    assert single.nearest(bare, "0") is None
    monkeypatch.setattr(single, "MAX_FEATURES", NUM * 5 - 1)
    assert single.nearest(table, "id '7") is None


def test_an_example_without_features_of_any_length_is_near_to_nothing(arrays):
    labels, logits, features = arrays
    features = features.copy()
    features[:3] = 0
    names = [str(i) for i in range(CLASSES)]
    table = Predictions.from_arrays(range_ids(), labels, logits, class_names=names, features=features)

    assert single.nearest(table, "0") == []
    assert not {"0", "1", "2"} & {item.sample_id for item in single.nearest(table, "5", NUM)}


def range_ids():
    return [str(i) for i in range(NUM)]
