from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pytest
from prediction_tables import CLASSES, pair_of_counts, table

from pct_mlops.comparison import KINDS, SORTS, FlipCell, FlipCounts, compare
from pct_mlops.config import PctError
from pct_mlops.predictions import Predictions, digest_of

#          0  1  2  3  4  5  6  7
LABELS = [0, 0, 0, 0, 1, 1, 1, 2]
BEFORE = [0, 0, 0, 1, 1, 0, 2, 0]
AFTER_ = [0, 1, 2, 0, 2, 2, 2, 1]
# both right 0; negative 1, 2, 4; positive 3; both wrong 5 (changed), 6 (same), 7 (changed)


@pytest.fixture(scope="module")
def comparison():
    order = np.random.default_rng(0).permutation(8)
    sharpness = np.array([1, 1, 2, 2, 3, 3, 4, 4.0])
    new = table(
        [LABELS[i] for i in order],
        [AFTER_[i] for i in order],
        ids=[f"test/{i}" for i in order],
        sharpness=sharpness[order],
        model_version="2",
    )
    return compare(table(LABELS, BEFORE), new)


def test_counts_overall_and_per_class(comparison):
    assert comparison.counts == FlipCounts(1, 3, 1, 3)
    assert comparison.counts.total == 8
    assert [part.counts for part in comparison.classes()] == [
        FlipCounts(1, 2, 1, 0),
        FlipCounts(0, 1, 0, 2),
        FlipCounts(0, 0, 0, 1),
    ]
    assert [(part.index, part.name) for part in comparison.classes()] == list(enumerate(CLASSES))
    assert (comparison.old.model_version, comparison.new.model_version) == ("1", "2")


def test_estimates(comparison):
    nfr = comparison.estimate("nfr")
    assert (nfr.value, nfr.numerator, nfr.denominator, nfr.confidence) == (3 / 8, 3, 8, 0.95)
    assert comparison.estimate("class_nfr", class_index=0).value == 0.5
    assert comparison.estimate("churn").value == 6 / 8
    assert comparison.estimate("nfr_mc").value == 5 / 8
    assert comparison.estimate("nfr", class_index=2).value == 0.0
    assert comparison.estimate("btc", class_index=2).value is None
    assert comparison.estimate("nfr", scale=100).upper < nfr.upper


def test_class_without_examples_is_undefined():
    comparison = compare(*pair_of_counts(1, 1, 1, 1))
    empty = comparison.estimate("class_nfr", class_index=1)
    assert (empty.value, empty.lower, empty.upper, empty.denominator) == (None, None, None, 0)


def test_fractional_and_graded_flips():
    def sure(share):  # the winner's logit that gives it this softmax probability among three classes
        return float(np.log(2 * share / (1 - share)))

    # Target confidence: 0.8 -> 0.1 (far), 0.4 -> 0.3 (exactly 0.1: little), 0.5 -> 0.25 (neither).
    old = table([0, 0, 0], [0, 0, 0], sharpness=np.array([sure(0.8), sure(0.4), sure(0.5)]))
    new = table([0, 0, 0], [1, 1, 1], sharpness=np.array([sure(0.8), sure(0.4), sure(0.5)]), model_version="2")
    comparison = compare(old, new)
    assert [comparison.num_flips(type_=number) for number in (1, 2)] == [1, 1]
    assert comparison.estimate("type_1_flips").numerator == 1
    assert comparison.estimate("type_2_flips").numerator == 1
    expected = ((0.8 - 0.1) + (0.4 - 0.3) + (0.5 - 0.25)) / 3
    assert comparison.estimate("fractional_nfr").value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "class_nfr"}, "say which"),
        ({"name": "nfr", "class_index": 3}, "There is no class 3"),
        ({"name": "nfr", "class_index": -1}, "There is no class -1"),
        ({"name": "nfr", "confidence": 1.0}, "between 0 and 1"),
        ({"name": "nfr", "confidence": float("nan")}, "between 0 and 1"),
        ({"name": "nope"}, "Unknown metric"),
    ],
)
def test_impossible_estimates(comparison, arguments, message):
    with pytest.raises(PctError, match=message):
        comparison.estimate(**arguments)


def test_flip_matrix(comparison):
    assert comparison.flip_matrix() == [FlipCell(0, 1, 1), FlipCell(0, 2, 1), FlipCell(1, 2, 1)]


def _ids(rows):
    return [row.sample_id[-1] for row in rows]


def test_flips_by_kind(comparison):
    for kind, expected in {"negative": "124", "positive": "3", "both_wrong": "57", "all": "123457"}.items():
        rows = comparison.flips(kind, sort="sample_id")
        assert _ids(rows) == list(expected)
        assert comparison.num_flips(kind) == len(expected)
        assert kind == "all" or {row.kind for row in rows} == {kind}


def test_flips_filters_and_pages(comparison):
    assert _ids(comparison.flips("negative", target=0, new_prediction=2)) == ["2"]
    assert _ids(comparison.flips("all", old_prediction=0, sort="sample_id")) == ["1", "2", "5", "7"]
    assert comparison.num_flips("all", old_prediction=0) == 4
    assert comparison.flips("negative", target=99) == []
    for sort in SORTS:
        whole = comparison.flips("all", sort=sort)
        pages = [row for offset in range(0, 8, 2) for row in comparison.flips("all", sort=sort, limit=2, offset=offset)]
        assert pages == whole


def test_flips_start_with_the_greatest_loss(comparison):
    rows = comparison.flips("negative")
    lost = [row.old_label_confidence - row.new_label_confidence for row in rows]
    assert lost == sorted(lost, reverse=True)
    assert _ids(rows) == ["4", "2", "1"]
    first = rows[0]
    assert (first.label, first.old_prediction, first.new_prediction) == (1, 1, 2)
    assert first.old_confidence == first.old_label_confidence > first.new_label_confidence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "bad"}, "Unknown kind of flip 'bad'"),
        ({"sort": "sample_id; DROP TABLE changed"}, "Unknown order of flips"),
        ({"limit": 0}, "1 to 10,000"),
        ({"limit": 10_001}, "1 to 10,000"),
        ({"offset": -1}, "1 to 10,000"),
    ],
)
def test_impossible_pages(comparison, arguments, message):
    with pytest.raises(PctError, match=message):
        comparison.flips(**arguments)


def test_hostile_names_stay_data():
    names = ("'; DROP TABLE cells; --", 'a"b', "{0}\n[red]%s")
    old = table(
        [0, 1, 2], [0, 1, 2], ids=["' OR 1=1", 'x"', "$label"], class_names=names, slices={'k"; --': ["'", "", None]}
    )
    new = table([0, 1, 2], [1, 1, 1], ids=["' OR 1=1", 'x"', "$label"], class_names=names, model_version="2")
    comparison = compare(old, new)
    assert [part.name for part in comparison.classes()] == list(names)
    assert {row.sample_id for row in comparison.flips()} == {"' OR 1=1", "$label"}
    assert comparison.counts.negative_flips == 2


def test_not_comparable_tables_raise():
    with pytest.raises(PctError, match="not comparable"):
        compare(table([0, 1], [0, 1]), table([0, 2], [0, 1]))


def test_threads_may_share_a_comparison(comparison):
    expected = {kind: comparison.flips(kind) for kind in KINDS}

    def work(_):
        for kind in list(KINDS) * 5:
            assert comparison.flips(kind) == expected[kind]
            assert comparison.num_flips(kind) == len(expected[kind])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))


def _large(path, num, shift, version):
    """A table made by DuckDB alone: no row passes through Python."""
    select = f"""
        SELECT 'test/' || i AS sample_id, (i % 3)::INT AS label,
               CASE WHEN (i * 7919 + {shift}) % 100 < 10 THEN (i + 1) % 3 ELSE i % 3 END::INT AS prediction,
               0.75::FLOAT AS confidence,
               CASE WHEN prediction = label THEN 0.75 ELSE 0.125 END::FLOAT AS label_confidence
        FROM range({num}) AS t(i)"""
    with duckdb.connect() as connection:
        pairs = connection.sql(f"SELECT sample_id, label FROM ({select}) ORDER BY sample_id")
        meta = {
            "schema_version": "1",
            "class_names": json.dumps(CLASSES),
            "num_examples": str(num),
            "num_members": "1",
            "model_name": "big",
            "model_version": version,
            "model_uri": "",
            "dataset": "",
            "split": "test",
            "preprocessing": "",
            "digest": digest_of(pairs.to_arrow_reader(50_000), CLASSES),
        }
        entries = ", ".join(f"'pct.{key}': '{value}'" for key, value in meta.items())
        connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet, KV_METADATA {{{entries}}})").fetchall()
    return Predictions.load(path)


@pytest.mark.timeout(60)
def test_a_million_rows_are_compared_out_of_core(tmp_path):
    num = 1_000_000
    old, new = _large(tmp_path / "old.parquet", num, 0, "1"), _large(tmp_path / "new.parquet", num, 95, "2")
    comparison = compare(old, new)
    page = comparison.flips(limit=10, offset=100)
    # Wrong where the residue is below 10 (old), or below 10 after a shift by 95 (new): they share residues 5 to 9.
    assert comparison.counts == FlipCounts(850_000, 50_000, 50_000, 50_000)
    assert len(page) == 10


def test_a_table_that_repeats_every_confidence_is_a_copy_whatever_it_is_called():
    """Two models never agree on every confidence; where all confidences are one number they say nothing."""
    labels, answers, sharpness = [0, 0, 1], [0, 1, 1], np.array([3.0, 2.0, 1.0])
    old = table(labels, answers, sharpness=sharpness)
    assert compare(old, table(labels, answers, sharpness=sharpness, model_name="zoo", model_version="9")).is_copy
    nearly = table(labels, answers, sharpness=sharpness + np.array([0, 0, 1e-3]), model_version="2")
    assert not compare(old, nearly).is_copy
    assert not compare(old, table(labels, [0, 1, 2], sharpness=sharpness, model_version="2")).is_copy
    assert not compare(*(table(labels, answers, model_version=version) for version in ("1", "2"))).is_copy
