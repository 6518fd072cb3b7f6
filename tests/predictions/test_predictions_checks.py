"""What hashes and bounded memory must not let through, and what only `verify` reads."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prediction_tables import CLASSES, table

from pct_mlops.comparison import compare
from pct_mlops.config import PctError
from pct_mlops.predictions import Predictions, pairing, sql

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))


def rewritten(path, **columns):
    """The file with other columns and the metadata that it had."""
    rows = pq.read_table(path)
    for name, values in columns.items():
        field = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values, field.type))
    pq.write_table(rows, path)
    return Predictions.load(path)


@pytest.mark.parametrize(
    ("old_ids", "new_ids"),
    [
        # As many pairs as there are rows: what is twice in one table stands for what the other lacks.
        (["x", "x", "y"], ["x", "y", "z"]),
        (["x", "y", "z"], ["x", "x", "y"]),
        (["x", "x", "y", "z"], ["y", "y", "x", "w"]),
        # The same ids as often in both: their sets do not differ.
        (["x", "x", "y"], ["x", "x", "y"]),
        (["x", "x", "x"], ["x", "x", "x"]),
    ],
)
def test_repeated_ids_do_not_cancel_out(tmp_path, old_ids, new_ids):
    made = []
    for name, ids in (("old", old_ids), ("new", new_ids)):
        path = tmp_path / f"{name}.parquet"
        table([0] * len(ids), [0] * len(ids), model_version=name).save(path)
        made.append(rewritten(path, sample_id=ids))
    with pytest.raises(PctError, match="repeated sample_ids"):
        compare(*made)
    with pytest.raises(PctError, match="repeated sample_ids"):
        made[1].nfr(made[0])


def test_labels_that_are_swapped_between_examples(tmp_path):
    old = table([0, 1, 2], [0, 1, 2])
    table([0, 1, 2], [0, 1, 2], keep_logits=False).save(tmp_path / "new.parquet")
    new = rewritten(tmp_path / "new.parquet", label=[1, 0, 2])
    with pytest.raises(PctError, match="2 examples with another label"):
        compare(old, new)


def test_pairs_are_counted_although_sums_agree(monkeypatch):
    """Were two sets of rows to have one sum, the number of pairs would give them away."""
    monkeypatch.setattr(Predictions, "check_rows", lambda self: pairing.RowHashes(0, True))
    old = table([0, 0], [0, 0], ids=["a", "b"])
    new = table([0, 0], [0, 0], ids=["a", "c"])
    new.info = dataclasses.replace(new.info, digest=old.info.digest)
    with pytest.raises(PctError, match="2 examples, of which 1 were found in both"):
        new.nfr(old)


def test_equal_hashes_of_other_ids_are_no_repetition(tmp_path, monkeypatch):
    """Ids are called repeated only when they are: a coarse hash, under which many meet, changes nothing."""
    monkeypatch.setattr(pairing, "_ROW_CHECK", pairing._ROW_CHECK.replace("hash(sample_id))", "hash(sample_id) % 2)"))
    table([0, 1, 2, 0], [0, 1, 2, 0]).save(tmp_path / "t.parquet").check_rows()
    with pytest.raises(PctError, match="1 repeated sample_ids"):
        rewritten(tmp_path / "t.parquet", sample_id=["a", "b", "c", "c"]).check_rows()


def test_ids_are_joined_where_two_have_one_hash(monkeypatch):
    """Under a coarse hash a join of hashes pairs what does not belong together, which the number of pairs tells."""
    predictions = ([0, 0, 0, 1], [0, 2, 0, 0])
    old, new = (table([0, 0, 0, 0], given) for given in predictions)
    monkeypatch.setattr(pairing, "_ON_HASHES", pairing._ON_HASHES.replace("sample_id)", "sample_id) % 2"))
    with pytest.raises(PctError, match=r"4 examples, of which (8|10|16) were found"):
        new.nfr(old)
    monkeypatch.setattr(pairing, "_ROW_CHECK", pairing._ROW_CHECK.replace("hash(sample_id))", "hash(sample_id) % 2)"))
    old, new = (table([0, 0, 0, 0], given) for given in predictions)
    assert (new.nfr(old), new.pfr(old)) == (0.25, 0.25)


def test_verify_holds_predictions_against_logits(tmp_path):
    path = tmp_path / "t.parquet"
    logits = np.array([[2, 1, 0], [1, 1, 0], [0, 0, 3]], np.float32)
    Predictions.from_arrays(["a", "b", "c"], [0, 1, 2], logits, class_names=CLASSES).save(path)
    rewritten(path, prediction=[0, 1, 2]).verify()  # among equal logits any may be the answer
    damaged = rewritten(path, prediction=[1, 0, 2])
    with pytest.raises(PctError, match="1 rows whose prediction is not where their logits are largest"):
        damaged.verify()
    rewritten(path, prediction=[0, 0, 2])
    for bad in (float("nan"), float("-inf")):
        wrong = logits.tolist()
        wrong[2][0] = bad
        with pytest.raises(PctError, match="1 rows whose prediction is not where"):
            rewritten(path, logits=wrong).verify()


@pytest.mark.parametrize(("given", "kept"), [("8GB", "8GB"), ("512 MiB", "512 MiB"), ("1.5gb", "1.5gb")])
def test_the_memory_limit_is_an_environment_variable(monkeypatch, given, kept):
    monkeypatch.setenv("PCT_MEMORY_LIMIT", given)
    assert sql.memory_limit() == kept
    duckdb.connect(config=sql.connection_config()).close()


@pytest.mark.parametrize("given", ["much", "-1GB", "0GB", "8", "80%"])
def test_a_memory_limit_that_is_none(monkeypatch, given):
    monkeypatch.setenv("PCT_MEMORY_LIMIT", given)
    with pytest.raises(PctError, match=r"write a size, for example 8GB\."):
        table([0], [0]).accuracy()


def test_memory_is_bounded_without_being_asked(monkeypatch):
    monkeypatch.delenv("PCT_MEMORY_LIMIT", raising=False)
    assert 0 < int(sql.memory_limit().removesuffix("B")) <= 2_500_000_000


@pytest.mark.parametrize("looks", [True, False])
def test_a_bar_only_where_a_person_looks(monkeypatch, looks):
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: looks, raising=False)
    with sql.connect() as connection:
        sql.show_progress(connection)
        assert sql.one(connection, "SELECT current_setting('enable_progress_bar')") == (looks,)


def test_tables_as_the_benchmark_writes_them(tmp_path):
    import gate_scale

    old, new = (Predictions.load(path) for path in gate_scale.write_tables(tmp_path, 100_000))
    old.verify()
    new.verify()
    comparison = compare(old, new)
    assert comparison.counts.total == 100_000
    assert 0.01 < comparison.counts.negative_flips / 100_000 < 0.1
    assert len(json.loads(pq.read_schema(new.path).metadata[b"pct.class_names"])) == 1000


def test_logits_of_uneven_length_are_seen(tmp_path):
    """As many in all as there should be, and each prediction where one is largest once they stand in a row."""
    path = tmp_path / "uneven.parquet"
    logits = np.array([[2, 1, 0], [2, 1, 0]], np.float32)
    Predictions.from_arrays(["a", "b"], [0, 0], logits, class_names=CLASSES).save(path)
    rows = pq.read_table(path)
    lists = pa.array([[2.0, 1.0], [0.0, 2.0, 1.0, 0.0]], pa.list_(pa.float32()))
    pq.write_table(rows.set_column(rows.schema.get_field_index("logits"), "logits", lists), path)
    with pytest.raises(PctError, match="2 rows whose prediction is not where their logits are largest"):
        Predictions.load(path).check_rows()
