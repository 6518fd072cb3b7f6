from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_tables import CLASSES, pair_of_counts, table

from pct_mlops.errors import NotComparableError, PctError
from pct_mlops.predictions import Predictions


def test_rates_of_a_hand_made_pair():
    old, new = pair_of_counts(5, 2, 3, 10)
    assert (old.accuracy(), new.accuracy()) == (7 / 20, 8 / 20)
    assert (new.nfr(old), new.pfr(old)) == (2 / 20, 3 / 20)
    assert (old.nfr(new), old.pfr(new)) == (3 / 20, 2 / 20)


def test_rows_are_joined_by_id_not_by_place():
    labels = [0, 1, 2, 0, 1]
    old = table(labels, [0, 1, 2, 1, 1])
    order = [4, 2, 0, 3, 1]
    new = table([labels[i] for i in order], [[0, 0, 2, 0, 1][i] for i in order], ids=[f"test/{i}" for i in order])
    assert new.nfr(old) == 1 / 5
    assert new.pfr(old) == 1 / 5
    rows = {row[0]: row[1:4] for row in new.pairs(old).fetchall()}
    assert rows == {
        "test/0": (0, 0, 0),
        "test/1": (1, 1, 0),
        "test/2": (2, 2, 2),
        "test/3": (0, 1, 0),
        "test/4": (1, 1, 1),
    }


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=30))
def test_pfr_minus_nfr_is_the_gain_in_accuracy(rows):
    labels, before, after = zip(*rows, strict=True)
    old, new = table(labels, before), table(labels, after)
    assert new.pfr(old) - new.nfr(old) == pytest.approx(new.accuracy() - old.accuracy(), abs=1e-12)


def test_slice_columns_come_along_whatever_they_are_called():
    name = 'x"; DROP TABLE old_table; --'
    old = table([0, 1], [0, 1], slices={"site": ["a", "b"], "camera": ["old", "old"]})
    new = table([0, 1], [0, 1], slices={name: ["'", "\\"], "Camera": ["day", "night"]})
    pairs = new.pairs(old)
    assert pairs.columns[-3:] == [name, "Camera", "site"]
    assert sorted(pairs.fetchall())[0][-3:] == ("'", "day", "a")


def _differ(old, new):
    with pytest.raises(NotComparableError, match="not comparable") as error:
        new.pairs(old)
    return str(error.value)


def test_other_examples():
    text = _differ(table([0] * 6, [0] * 6), table([0] * 2, [0] * 2, ids=["test/0", "x"]))
    assert "5 examples only in the old table (test/1, test/2, test/3 and 2 more)" in text
    assert "1 example only in the new table (x)" in text


def test_other_labels():
    text = _differ(table([0, 1, 2], [0] * 3), table([0, 2, 2], [0] * 3))
    assert "1 example with another label (test/1: dog became owl)" in text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat", "dog", "fox"), "only in the old table: owl; class names only in the new table: fox"),
        (("dog", "cat", "owl"), "another order (first at index 0)"),
        (("cat", "dog", "owl", "owl"), "another order (first at index 3)"),
    ],
)
def test_other_classes(names, message):
    assert message in _differ(table([0], [0]), table([0], [0], class_names=names))


def test_an_altered_file_is_not_excused_by_its_digest(tmp_path):
    old = table([0, 1], [0, 1])
    forged = table([0, 2], [0, 1])
    forged.info = dataclasses.replace(forged.info, digest=old.info.digest)
    assert "1 example with another label" in _differ(old, forged.save(tmp_path / "f.parquet"))
    other_digest = table([0, 1], [0, 1])
    other_digest.info = dataclasses.replace(other_digest.info, digest="0" * 64)
    assert "one file was altered" in _differ(old, other_digest)


def _logits(seed, num=50):
    return np.random.default_rng(seed).normal(size=(num, 3)).astype(np.float32)


def _from_logits(logits, order=None, **info):
    order = np.arange(len(logits)) if order is None else order
    return Predictions.from_arrays([f"{i}" for i in order], order % 3, logits[order], class_names=CLASSES, **info)


def test_sum_is_the_mean_of_all_members_however_nested(tmp_path):
    logits = [_logits(seed) for seed in range(3)]
    order = np.random.default_rng(9).permutation(50)
    one, two, three = _from_logits(logits[0]), _from_logits(logits[1], order), _from_logits(logits[2])
    expected = _from_logits(np.mean(logits, axis=0))
    for total in (one + two + three, one + (two + three)):
        assert total.info.num_members == 3
        assert total.info.digest == one.info.digest
        saved = total.save(tmp_path / "sum.parquet")
        saved.verify()
        rows = saved.pairs(expected).fetchall()
        assert all(row[2] == row[3] and row[4] == pytest.approx(row[5], abs=1e-6) for row in rows)
        assert all(row[6] == pytest.approx(row[7], abs=1e-6) for row in rows)


def test_sum_keeps_slices_and_needs_logits():
    sliced = _from_logits(_logits(1), slices={"camera": ["day"] * 50})
    assert (sliced + sliced).info.slices == ("camera",)
    with pytest.raises(PctError, match="holds no logits"):
        _ = sliced + _from_logits(_logits(2), keep_logits=False)
