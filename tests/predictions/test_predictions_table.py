from __future__ import annotations

import hashlib
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prediction_tables import CLASSES, table

from pct_mlops.errors import OutputError, PctError
from pct_mlops.predictions import Predictions


def reference_digest(pairs, class_names):
    """The documented framing, written again with plain bytes."""
    pairs = sorted((key.encode(), label) for key, label in pairs)
    parts = [
        b"".join(struct.pack("<I", len(key)) for key, _ in pairs),
        b"".join(key for key, _ in pairs),
        b"".join(struct.pack("<i", label) for _, label in pairs),
    ]
    head = b"pct-digest-1" + struct.pack("<QQ", len(pairs), len(class_names))
    for name in class_names:
        head += struct.pack("<I", len(name.encode())) + name.encode()
    return hashlib.sha256(head + b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def test_softmax_prediction_and_confidence(tmp_path):
    logits = [[0.0, np.log(3.0), 0.0], [1000.0, 0.0, 0.0]]
    made = Predictions.from_arrays(["a", "b"], [0, 1], logits, class_names=CLASSES)
    rows = pq.read_table(made.save(tmp_path / "t.parquet").path)
    assert rows["prediction"].to_pylist() == [1, 0]
    assert rows["confidence"].to_pylist() == pytest.approx([0.6, 1.0])
    assert rows["label_confidence"].to_pylist() == pytest.approx([0.2, 0.0])
    assert rows.schema.field("logits").type == pa.list_(pa.float32(), 3)
    assert rows.schema.field("label").type == pa.int32()


def test_save_and_load_keep_everything(tmp_path):
    features = np.arange(8, dtype=np.float32).reshape(4, 2)
    made = table(
        [0, 1, 2, 0],
        [0, 1, 1, 1],
        model_uri="models:/pets/1",
        dataset="zoo",
        preprocessing="p1",
        features=features,
        slices={"camera": ["day", "night", None, "day"]},
    )
    made.save(tmp_path / "deep" / "t.parquet")
    back = Predictions.load(tmp_path / "deep" / "t.parquet")
    assert back.info.digest == made.info.digest
    assert (back.info.model_uri, back.info.dataset, back.info.split) == ("models:/pets/1", "zoo", "test")
    assert back.info.class_names == CLASSES
    assert back.info.slices == ("camera",)
    assert back.accuracy() == made.accuracy() == 0.5
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["t.parquet"]
    back.verify()


@pytest.mark.parametrize(
    "name", ["it's.parquet", 'a";drop table x;--.parquet', "o[1].parquet", "what?*.parquet", "ä b.parquet"]
)
def test_paths_are_data(tmp_path, name):
    folder = tmp_path / "split=train"
    table([0, 0], [1, 1]).save(folder / "o1.parquet")
    table([0, 0], [1, 1]).save(folder / "whatever.parquet")
    saved = table([0, 1], [0, 1]).save(folder / name)
    assert saved.accuracy() == 1.0
    assert saved.pairs(saved).columns[:2] == ["sample_id", "label"]
    assert "split" not in saved.pairs(saved).columns


def test_digest_follows_its_documentation_and_ignores_order():
    ids = ["b", "a", "é/1", "z\n'", "aa"]
    labels = [1, 0, 2, 1, 0]
    made = table(labels, labels, ids=ids)
    order = [3, 1, 4, 0, 2]
    shuffled = table([labels[i] for i in order], [0] * 5, ids=[ids[i] for i in order])
    assert made.info.digest == shuffled.info.digest == reference_digest(zip(ids, labels, strict=True), CLASSES)


def test_digest_tells_apart_what_concatenation_would_not():
    digests = {
        table([0, 0], [0, 0], ids=["ab", "c"]).info.digest,
        table([0, 0], [0, 0], ids=["a", "bc"]).info.digest,
        table([0, 1], [0, 0], ids=["ab", "c"]).info.digest,
        table([0, 0], [0, 0], ids=["ab", "c"], class_names=("catd", "og", "owl")).info.digest,
        table([0, 0], [0, 0], ids=["ab", "c"], class_names=("dog", "cat", "owl")).info.digest,
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ["a", "a"]}, "'a' appears more than once"),
        ({"ids": ["a", ""]}, "empty"),
        ({"ids": ["a"]}, "2 rows of label"),
        ({"ids": [1, None]}, "empty"),
        ({"labels": [0, 3]}, "Label 3 is outside 0 to 2"),
        ({"labels": [-1, 0]}, "Label -1 is outside"),
        ({"labels": [0.0, 1.0]}, "whole numbers"),
        ({"logits": [[0, np.nan, 0], [0, 0, 0]]}, "logits of 'a' are not finite"),
        ({"logits": [[0, 0, 0], [0, 0, np.inf]]}, "logits of 'b' are not finite"),
        ({"logits": [[0, 0, 0], [0, 0, 1e300]]}, "logits of 'b' are not finite"),
        ({"logits": [[0, 0], [0, 0]]}, "2 classes, but there are 3"),
        ({"logits": [0, 1]}, "should have shape"),
        ({"ids": [], "labels": np.zeros(0, int), "logits": np.zeros((0, 3))}, "no examples"),
        ({"slices": {"Label": ["x", "y"]}}, "reserved"),
        ({"slices": {"new_right": ["x", "y"]}}, "reserved"),
        ({"slices": {"a": ["x", "y"], "A": ["x", "y"]}}, "repeated"),
        ({"slices": {"a": ["x"]}}, "1 rows of a"),
    ],
)
def test_impossible_arrays_are_refused(change, message):
    given = {"ids": ["a", "b"], "labels": [0, 1], "logits": np.zeros((2, 3)), **change}
    with pytest.raises(PctError, match=message):
        Predictions.from_arrays(
            given["ids"], given["labels"], given["logits"], class_names=CLASSES, slices=given.get("slices")
        )


@pytest.mark.parametrize("name", ["b\x1b[2J", "b\n", "\ud83d"])
def test_a_class_name_that_could_not_be_read_is_not_written(tmp_path, name):
    with pytest.raises(PctError, match="holds a control character or half of a surrogate pair"):
        table([0, 1, 2], [0, 1, 2], class_names=("a", name, "c")).save(tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_file_can_have_is_a_sentence(tmp_path):
    path = tmp_path / ("x" * 300 + ".parquet")
    with pytest.raises(PctError, match=r"cannot be read: File name too long"):
        Predictions.load(path)
    with pytest.raises(OutputError, match=r"cannot be written: .*File name too long"):
        table([0], [0]).save(path)


def _rewritten(path, change_rows=lambda rows: rows, **metadata):
    rows = pq.read_table(path)
    merged = {**rows.schema.metadata, **{f"pct.{key}".encode(): value.encode() for key, value in metadata.items()}}
    pq.write_table(change_rows(rows).replace_schema_metadata(merged), path)


def _set(column, values, kind):
    return lambda rows: rows.set_column(rows.schema.get_field_index(column), column, pa.array(values, kind))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.unlink(), "There is no prediction table"),
        (lambda p: (p.unlink(), p.mkdir()), "is a folder"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]), "cut short or damaged"),
        (lambda p: p.write_bytes(b"PAR1"), "cut short or damaged"),
        (lambda p: p.write_text("sample_id,label\n"), "not a Parquet file"),
        (lambda p: pq.write_table(pa.table({"a": [1]}), p), "no prediction metadata"),
        (lambda p: _rewritten(p, schema_version="2"), "version 2, and this program reads version 1: update"),
        (lambda p: _rewritten(p, schema_version="x"), "no prediction metadata"),
        (lambda p: _rewritten(p, class_names="[]"), "damaged metadata"),
        (lambda p: _rewritten(p, class_names="{"), "damaged metadata"),
        (lambda p: _rewritten(p, class_names="[" * 100_000), "damaged metadata"),
        (lambda p: _rewritten(p, class_names='["a", "b", "\\ud800"]'), "damaged metadata"),
        (lambda p: _rewritten(p, class_names='["a", "b", "\\u001b[31mc"]'), "damaged metadata"),
        (lambda p: _rewritten(p, schema_version="1" * 5_000), "no prediction metadata"),
        (lambda p: _rewritten(p, num_examples="9" * 5_000), "holds 3 rows but says 9{20}:"),
        (lambda p: _rewritten(p, digest="abc"), "damaged metadata"),
        (lambda p: _rewritten(p, digest="<" * 64), "damaged metadata"),
        (lambda p: _rewritten(p, num_examples="7"), "holds 3 rows but says 7"),
        (lambda p: _rewritten(p, lambda rows: rows.slice(0, 2)), "holds 2 rows but says 3"),
        (
            lambda p: _rewritten(p, lambda rows: rows.drop_columns(["label", "confidence"])),
            "lacks the column label",
        ),
        (lambda p: _rewritten(p, _set("label", [0, 1, 2], pa.int64())), "'label' has type int64"),
        (
            lambda p: _rewritten(p, lambda rows: rows.append_column("camera", pa.array([1, 2, 3]))),
            "'camera' has type int64",
        ),
        (
            lambda p: _rewritten(p, lambda rows: rows.append_column("label", rows["label"])),
            "has two columns of one name",
        ),
    ],
)
def test_damaged_files_are_refused_when_opened(tmp_path, damage, message):
    path = tmp_path / "t.parquet"
    table([0, 1, 2], [0, 1, 1]).save(path)
    damage(path)
    with pytest.raises(PctError, match=message) as error:
        Predictions.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("label", [0, 1, 3], pa.int32()), "1 labels outside 0 to 2"),
        (_set("prediction", [-1, 1, 3], pa.int32()), "2 predictions outside 0 to 2"),
        (_set("prediction", [None, 1, 2], pa.int32()), "1 predictions outside"),
        (_set("sample_id", ["test/0", "test/0", "test/2"], pa.string()), "1 repeated sample_ids"),
        (_set("sample_id", ["test/0", None, ""], pa.string()), "2 empty sample_ids"),
        (_set("confidence", [0.5, float("nan"), 0.5], pa.float32()), "1 confidences outside"),
        (_set("label_confidence", [0.5, None, 1.5], pa.float32()), "2 confidences outside"),
    ],
)
def test_impossible_rows_are_refused_before_any_comparison(tmp_path, change, message):
    path = tmp_path / "t.parquet"
    good = table([0, 1, 2], [0, 1, 1])
    good.save(path)
    _rewritten(path, change)
    with pytest.raises(PctError, match=message):
        Predictions.load(path).pairs(good)
    with pytest.raises(PctError, match=message):
        good.pairs(Predictions.load(path))


def test_names_do_not_run_in_a_terminal(tmp_path):
    path = tmp_path / "t.parquet"
    table([0, 1, 2], [0, 1, 1]).save(path)
    _rewritten(path, model_name="\x1b[31mred\n")
    assert Predictions.load(path).info.title == "\ufffd[31mred\ufffd/1"


def test_verify_notices_a_changed_label(tmp_path):
    path = tmp_path / "t.parquet"
    for keep, says in ((False, "altered after it was written"), (True, "confidence is not the softmax")):
        table([0, 1, 2], [0, 1, 1], keep_logits=keep).save(path)
        _rewritten(path, _set("label", [0, 1, 1], pa.int32()))
        with pytest.raises(PctError, match=says):
            Predictions.load(path).verify()


def test_damage_in_the_middle_is_one_sentence(tmp_path):
    path = tmp_path / "t.parquet"
    table([0] * 500, [0] * 500).save(path)
    data = bytearray(path.read_bytes())
    data[4:400] = b"\xff" * 396
    path.write_bytes(bytes(data))
    with pytest.raises(PctError, match="cannot be read"):
        Predictions.load(path).check_rows()


def test_failed_save_keeps_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    table([0, 1], [0, 1]).save(path)
    before = path.read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pct_mlops.predictions.writing.os.fsync", full)
    with pytest.raises(PctError, match="No space left"):
        table([0, 1], [1, 0]).save(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["t.parquet"]


def test_softmax_in_slabs_is_softmax(tmp_path, monkeypatch):
    monkeypatch.setattr("pct_mlops.predictions.arrays.SLAB", 10)
    logits = np.random.default_rng(2).normal(scale=5, size=(11, 3)).astype(np.float32)
    labels = np.arange(11) % 3
    made = Predictions.from_arrays([str(i) for i in range(11)], labels, logits, class_names=CLASSES)
    rows = pq.read_table(made.save(tmp_path / "t.parquet").path)
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rows["confidence"], shares.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(rows["label_confidence"], shares[np.arange(11), labels], rtol=1e-6)
    np.testing.assert_array_equal(rows["prediction"], shares.argmax(axis=1))
