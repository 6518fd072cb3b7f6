"""Confidences are the softmax of the logits beside them, unless a file says that it rescaled them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pct_mlops.errors import TableError
from pct_mlops.predictions import Predictions, logits
from pct_mlops.predictions.scores import softmax

NUM, NAMES = 50, ("cat", "dog", "horse")


def scores(seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, scale, (NUM, len(NAMES))).astype(np.float32), rng.integers(0, len(NAMES), NUM)


def saved(path, **given):
    ids = [f"{place:02d}" for place in range(NUM)]
    return Predictions.from_arrays(sample_ids=ids, class_names=NAMES, split="test", **given).save(path)


def edited(path, column, row, change):
    """Change one value of a column, and leave the logits as they are."""
    rows = pq.read_table(path)
    values = rows[column].to_numpy().copy()
    values[row] = change(values[row])
    place = rows.schema.get_field_index(column)
    pq.write_table(rows.set_column(place, rows.schema.field(place), pa.array(values, pa.float32())), path)
    return Predictions.load(path)


@pytest.mark.parametrize("column", ["confidence", "label_confidence"])
@pytest.mark.parametrize("change", [lambda value: min(value + 0.005, value / 2 + 0.4), lambda value: value * 0.97])
def test_a_confidence_that_was_edited_is_refused(tmp_path, column, change, monkeypatch):
    values, labels = scores()
    table = saved(tmp_path / "a.parquet", labels=labels, logits=values)
    table.check_rows()
    with pytest.raises(TableError, match="has 1 rows whose confidence is not the softmax of their logits"):
        edited(table.path, column, 7, change).check_rows()
    monkeypatch.setattr(logits, "MAX_LOGITS", 10)
    with pytest.raises(TableError, match="confidence is not the softmax"):
        Predictions.load(table.path).verify()


def test_small_confidences_are_held_to_a_share_of_themselves(tmp_path):
    """Or the loss of an example that is wrong for certain could be written down at will."""
    values, labels = scores(scale=0.1)
    values[7], labels[7] = (30, 0, 0), 1
    table = saved(tmp_path / "a.parquet", labels=labels, logits=values)
    with pytest.raises(TableError, match="has 1 rows whose confidence is not the softmax"):
        edited(table.path, "label_confidence", 7, lambda value: 1e-4).check_rows()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_rounding_of_any_precision_is_allowed(tmp_path, kind, scale):
    values, labels = scores(scale=scale)
    saved(tmp_path / "logits.parquet", labels=labels, logits=values.astype(kind)).verify()
    shares = softmax(values).astype(kind)
    saved(tmp_path / "shares.parquet", labels=labels, probabilities=shares).verify()
    if kind != np.float16:  # their own rounding takes what a sum of 1 allows
        loose = (shares * (1 + 9e-4)).clip(0, 1)
        saved(tmp_path / "loose.parquet", labels=labels, probabilities=loose).verify()


def test_what_the_model_said_has_the_confidence_of_its_own_class(tmp_path):
    values, labels = scores()
    table = saved(tmp_path / "a.parquet", labels=labels, logits=values, predictions=(values.argmax(1) + 1) % 3)
    assert table.info.predictions_stated
    table.verify()
    with pytest.raises(TableError, match="confidence is not the softmax"):
        edited(table.path, "confidence", 3, lambda value: 1 - value).verify()


def test_a_file_with_rescaled_confidences_is_taken_and_says_so(tmp_path):
    """Temperature scaling beside the raw logits: every later reader sees that the file stated them."""
    values, labels = scores()
    rescaled = softmax(values / 2).max(axis=1)
    frame = pd.DataFrame(values, columns=[f"logit_{name}" for name in NAMES])
    frame.insert(0, "id", [f"{place:02d}" for place in range(NUM)])
    frame.insert(1, "label", [NAMES[label] for label in labels])
    plain = Predictions.from_frame(frame)
    assert not plain.info.confidences_stated
    stated = Predictions.from_frame(frame.assign(confidence=rescaled)).save(tmp_path / "a.parquet")
    stated.verify()
    assert stated.info.confidences_stated
    np.testing.assert_allclose(pq.read_table(stated.path)["confidence"].to_numpy(), rescaled, rtol=1e-6)
    # As digits in a text they are rounded, which states nothing.
    rounded = frame.assign(confidence=softmax(values).max(axis=1).round(4))
    assert not Predictions.from_frame(rounded).info.confidences_stated
    # The mean of two is made of logits, and its confidences with it.
    both = plain + stated
    assert not both.info.confidences_stated
    both.save(tmp_path / "mean.parquet").verify()
