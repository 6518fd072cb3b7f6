"""Whatever program wrote predictions, and however it spelt them: the same table, and numbers as numpy counts them."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign_frames import FORMATS, USUAL, Truth, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pct_mlops import Predictions, compare
from pct_mlops.workflows.runtime.references import open_table

PLAIN = {key: names[0] for key, names in USUAL.items()}


def opened(source, **named):
    if isinstance(source, pd.DataFrame | pa.Table | pl.DataFrame):
        return Predictions.from_frame(source, **named)
    return Predictions.from_file(source, **named)


def rows_of(table, folder):
    """The rows by id, as the saved file has them."""
    saved = table.save(folder / "rows.parquet")
    saved.verify()
    return pq.read_table(saved.path).sort_by("sample_id")


def pair(num=200, *, scores=False, names=("cat", "dog", "owl")):
    old, new = (Truth.random(np.random.default_rng(seed), num, names, scores=scores) for seed in (1, 2))
    new.label, new.ids = old.label, old.ids
    return old, new


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_counts_what_numpy_counts(tmp_path, kind, scores):
    old, new = pair(scores=scores)
    made = [
        opened(write(truth.frame(PLAIN, numbers=False, lists=False), kind, tmp_path, name))
        for name, truth in (("old", old), ("new", new))
    ]
    right = [truth.prediction == truth.label for truth in (old, new)]
    comparison = compare(*made)
    counts = (right[0] & right[1], right[0] & ~right[1], ~right[0] & right[1], ~right[0] & ~right[1])
    found = comparison.counts
    assert (found.both_right, found.negative_flips, found.positive_flips, found.both_wrong) == tuple(
        int(part.sum()) for part in counts
    )
    assert made[1].nfr(made[0]) == pytest.approx((right[0] & ~right[1]).mean())
    sure = new.probabilities.max(axis=1) if scores else new.confidence
    bins = np.ceil(sure * 15).clip(1, 15).astype(int)
    ece = sum(abs((right[1][bins == b]).sum() - sure[bins == b].sum()) for b in range(1, 16)) / len(sure)
    assert comparison.estimate("ece_new").value == pytest.approx(ece, abs=1e-6)


@st.composite
def spelt_frames(draw):
    """A truth, and two ways to write it that should make no difference."""
    scores = draw(st.booleans())
    names = draw(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6),
            min_size=2,
            max_size=5,
            unique_by=str.casefold,
        ).filter(lambda found: not any(name.isdecimal() or name.startswith("[") for name in found))
    )
    seed, num = draw(st.integers(0, 2**32)), draw(st.integers(len(names), 30))
    truth = Truth.random(np.random.default_rng(seed), num, tuple(names), scores=scores)
    ways = []
    for _ in range(2):
        spelling = {key: draw(st.sampled_from(usual)) for key, usual in USUAL.items()}
        ways.append((spelling, draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from(FORMATS))))
    return truth, ways


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spelt_frames())
def test_formats_and_spellings_make_no_difference(tmp_path_factory, case):
    truth, ways = case
    tables = []
    for spelling, numbers, lists, kind in ways:
        folder = tmp_path_factory.mktemp("way")
        source = write(truth.frame(spelling, numbers=numbers, lists=lists), kind, folder)
        table = opened(source, class_names=truth.names)
        tables.append((table.info.digest, table.info.class_names, rows_of(table, folder)))
    assert tables[0][:2] == tables[1][:2]
    assert tables[0][2].equals(tables[1][2])
    rows = tables[0][2]
    order = np.argsort(truth.ids)
    np.testing.assert_array_equal(rows["label"], truth.label[order])
    np.testing.assert_array_equal(rows["prediction"], truth.prediction[order])


def test_our_own_tables_are_opened_as_they_are(tmp_path):
    logits = np.array([[2.0, 0], [0, 3]])
    path = Predictions.from_arrays(["a", "b"], [0, 1], logits, class_names=("x", "y")).save(tmp_path / "t.parquet").path
    assert Predictions.from_file(path).path == open_table(path).path == path


def test_only_what_is_known_becomes_a_column(tmp_path):
    old, _ = pair()
    frame = old.frame(PLAIN, numbers=False, lists=False)
    full = Predictions.from_frame(frame).save(tmp_path / "full.parquet")
    bare = Predictions.from_frame(frame.drop(columns="confidence")).save(tmp_path / "bare.parquet")
    assert full.info.columns == ("sample_id", "label", "prediction", "confidence")
    assert bare.info.columns == ("sample_id", "label", "prediction")
    comparison = compare(full, bare)
    assert comparison.estimate("ece_old").value is not None
    for name in ("ece_new", "nll_old", "nll_new", "type_2_flips", "fractional_nfr"):
        assert comparison.estimate(name).value is None, name
    assert comparison.lacking("ece_new") == "the new table has no confidence"
    assert comparison.lacking("type_1_flips") == "neither table has label_confidence"
    assert comparison.lacking("nfr") == ""


def test_a_prediction_is_what_the_model_said_and_not_its_greatest_score(tmp_path):
    frame = pd.DataFrame({"id": list("abc"), "label": [0, 1, 1], "prob_no": [0.6, 0.7, 0.2], "pred": [1, 0, 1]})
    frame["prob_yes"] = 1 - frame["prob_no"]
    table = Predictions.from_frame(frame, split="test")
    assert table.info.predictions_stated
    saved = table.save(tmp_path / "stated.parquet")
    saved.verify()
    rows = pq.read_table(saved.path).sort_by("sample_id")
    assert rows["prediction"].to_pylist() == [1, 0, 1]
    assert rows["confidence"].to_pylist() == pytest.approx([0.4, 0.7, 0.8])
    assert rows["label_confidence"].to_pylist() == pytest.approx([0.6, 0.3, 0.8])
    assert Predictions.load(saved.path).info.predictions_stated


def test_classes_in_another_order_are_the_same_classes(tmp_path):
    old, new = pair(scores=True)
    straight = Predictions.from_frame(old.frame(PLAIN, numbers=False, lists=False))
    order = [2, 0, 1]
    other = new.frame(PLAIN, numbers=False, lists=False)
    other = other[[*list(other)[:3], *(f"prob_{new.names[place]}" for place in order)]]
    turned = Predictions.from_frame(other)
    assert turned.info.class_names == tuple(new.names[place] for place in order)
    same = Predictions.from_frame(new.frame(PLAIN, numbers=False, lists=False))
    assert compare(straight, turned).counts == compare(straight, same).counts
    assert compare(straight, turned).estimate("nll_old") == compare(straight, same).estimate("nll_old")
    assert turned.nfr(straight) == same.nfr(straight)
    mean = straight + turned
    mean.save(tmp_path / "mean.parquet").verify()
    expected = (np.log(old.probabilities) + np.log(new.probabilities)).argmax(axis=1) == old.label
    assert mean.accuracy() == pytest.approx(expected.mean())


def test_classes_that_only_one_model_says(tmp_path):
    frame = pd.DataFrame({"id": list("abc"), "label": [0, 1, 1], "pred": [0, 1, 1]})
    old, new = Predictions.from_frame(frame), Predictions.from_frame(frame.assign(pred=[0, 3, 1]))
    assert (old.info.class_names, new.info.class_names) == (("0", "1"), ("0", "1", "2", "3"))
    assert compare(old, new).counts.negative_flips == compare(new, old).counts.positive_flips == 1
    named = frame.assign(label=["ant", "bee", "bee"], pred=["ant", "bee", "reject"])
    old = Predictions.from_frame(named.assign(pred=named["label"]))
    assert compare(old, Predictions.from_frame(named)).new.class_names == ("ant", "bee", "reject")


def test_further_columns_are_slices_where_they_have_few_values(caplog):
    old, _ = pair()
    old.slices = {"camera": ["day", "night"] * 100, "note": [f"note {i}" for i in range(200)]}
    with caplog.at_level(logging.INFO, "pct_mlops"):
        table = Predictions.from_frame(old.frame(PLAIN, numbers=False, lists=False))
    assert table.info.slices == ("camera",)
    assert "columns left out" in caplog.text
    assert "note" in caplog.text
    assert [part.value for part in compare(table, table).slices("camera")] == ["day", "night"]


def test_columns_are_named_where_names_are_not_usual(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("key,gold,said,p_a,p_b\n1,a,b,0.25,0.75\n2,b,b,0.5,0.5\n")
    columns = {"id": "key", "label": "gold", "prediction": "said", "probabilities": "p_*"}
    table = Predictions.from_file(path, columns=columns)
    assert (table.info.class_names, table.accuracy()) == (("a", "b"), 0.5)
    assert "label_confidence" in table.info.columns


@pytest.mark.parametrize("num", [1, 2])
def test_tables_of_one_and_two_examples(tmp_path, num):
    (tmp_path / "t.csv").write_text("id,label,pred\n" + "1,a,a\n2,b,a\n"[: 6 * num])
    assert Predictions.from_file(tmp_path / "t.csv").accuracy() == 1 / num


def test_a_thousand_classes(tmp_path):
    random = np.random.default_rng(0)
    names = tuple(f"class {place}" for place in range(1000))
    truth = Truth.random(random, 1500, names, scores=True)
    for kind in ("csv", "parquet"):
        table = Predictions.from_file(write(truth.frame(PLAIN, numbers=False, lists=False), kind, tmp_path))
        assert len(table.info.class_names) == 1000
        assert table.accuracy() == (truth.prediction == truth.label).mean()


def test_labels_alone_of_a_thousand_classes_are_sorted_as_numbers(tmp_path):
    numbers = np.arange(1000)
    frame = pd.DataFrame({"id": numbers, "label": numbers, "pred": numbers[::-1]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    info = Predictions.from_file(tmp_path / "t.csv").info
    assert info.class_names == tuple(map(str, numbers))
    assert info.classes_from_data


def test_values_of_every_type_stand_for_classes(tmp_path):
    """Booleans, floats as pandas makes of integers beside gaps, categories, and text that looks like a number."""
    frame = pd.DataFrame({"id": [1, 2], "label": [True, False], "pred": [True, True]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    for table in (
        Predictions.from_frame(frame),
        *(Predictions.from_file(tmp_path / f"t.{e}") for e in ("csv", "jsonl")),
    ):
        assert table.info.class_names == ("False", "True")
    floats = pd.DataFrame({"id": [1, 2], "label": [1.0, 0.0], "pred": ["1", "0"]})
    assert Predictions.from_frame(floats).accuracy() == 1
    codes = pd.DataFrame({"id": [1, 2], "label": pd.Categorical(["007", "012"]), "pred": ["007", "007"]})
    assert Predictions.from_frame(codes).info.class_names == ("007", "012")


def test_ids_are_text_and_keep_their_zeros(tmp_path):
    (tmp_path / "t.csv").write_text("id,label,pred\n007,a,a\n7,b,a\n")
    table = Predictions.from_file(tmp_path / "t.csv").save(tmp_path / "t.parquet")
    assert sorted(pq.read_table(table.path)["sample_id"].to_pylist()) == ["007", "7"]


def test_a_converted_file_goes_with_its_handle(tmp_path):
    (tmp_path / "t.csv").write_text("id,label,pred\n1,a,a\n")
    table = Predictions.from_file(tmp_path / "t.csv")
    held = table.path
    assert held.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]
    del table
    assert not held.parent.exists()


def test_arrays_under_plural_names(tmp_path):
    """They are looked for only where the file could not be read otherwise: elsewhere they may mean something else."""
    arrays = {"sample_ids": ["1", "2"], "labels": [0, 1], "predictions": [0, 0]}
    np.savez(tmp_path / "a.npz", **arrays)
    plain = Predictions.from_file(tmp_path / "a.npz", class_names=["x", "y"])
    assert (plain.accuracy(), plain.info.slices) == (0.5, ())
    np.savez(tmp_path / "b.npz", **arrays, probabilities=[[0.9, 0.1], [0.2, 0.8]], label=[0, 1])
    other = Predictions.from_file(tmp_path / "b.npz", class_names=["x", "y"])
    assert other.accuracy() == 1, "the predictions of the probabilities, as before"
