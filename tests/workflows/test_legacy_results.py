"""The original's result files: read without running anything, checked, and the same numbers as by hand."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pct_mlops.cli import main
from pct_mlops.config import PctError
from pct_mlops.predictions import Predictions
from pct_mlops.workflows.runtime.legacy_results import import_result, read_result
from pct_mlops.workflows.runtime.references import open_source

NUM, CLASSES = 400, 5
LABELS = np.random.default_rng(0).integers(0, CLASSES, NUM)


def outputs(seed, skill=1.5):
    values = np.random.default_rng(seed).normal(size=(NUM, CLASSES)).astype(np.float32)
    values[np.arange(NUM), LABELS] += skill
    return values


def content(seed=1, **changes):
    values = outputs(seed)
    return {"pred": values.argmax(1), "gt": LABELS, "outputs": values, **changes}


def as_tensors(data):
    return {key: torch.as_tensor(value) for key, value in data.items()}


def saved(path, data, **how):
    torch.save(data, path, **how)
    return Path(path)


def as_lists(data):
    return {key: [torch.as_tensor(row) for row in value] for key, value in data.items()}


def as_columns(data):
    return {**as_tensors(data), "pred": torch.as_tensor(data["pred"])[:, None], "gt": torch.as_tensor(data["gt"]).int()}


def as_doubles(data):
    return {key: torch.as_tensor(value).double() for key, value in data.items()}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
@pytest.mark.parametrize("form", [dict, as_tensors, as_lists, as_columns, as_doubles])
def test_every_form_in_which_they_were_saved(tmp_path, form, zipped):
    features = np.arange(2 * NUM, dtype=np.float32).reshape(NUM, 2)
    path = saved(tmp_path / "a.result", form(content(features=features)), _use_new_zipfile_serialization=zipped)
    result = read_result(path)
    np.testing.assert_array_equal(result.labels, LABELS)
    np.testing.assert_array_equal(result.outputs, outputs(1))
    np.testing.assert_array_equal(result.features, features)


def test_arrays_under_the_names_of_an_older_numpy(tmp_path):
    path = saved(tmp_path / "a.result", content(), _use_new_zipfile_serialization=False)
    data = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path.write_bytes(data)
    assert b"numpy.core.multiarray" in data
    np.testing.assert_array_equal(read_result(path).outputs, outputs(1))


def test_the_table(tmp_path):
    path = saved(tmp_path / "best.result", as_tensors(content(features=np.ones((NUM, 3), np.float32))))
    made = import_result(path, split="val").save(tmp_path / "t.parquet")
    made.verify()
    rows = pq.read_table(made.path)
    assert rows["sample_id"].to_pylist()[:2] == ["val/000000", "val/000001"]
    np.testing.assert_array_equal(rows["label"], LABELS)
    np.testing.assert_array_equal(rows["prediction"], outputs(1).argmax(1))
    np.testing.assert_array_equal(np.array(rows["logits"].to_pylist(), np.float32), outputs(1))
    assert rows.schema.field("features").type.list_size == 3
    assert (made.info.model_name, made.info.split) == ("best", "val")
    assert made.info.class_names == ("0", "1", "2", "3", "4")
    plain = import_result(saved(tmp_path / "b.result", as_tensors(content(features=torch.zeros(0)))), model_name="")
    assert "features" not in plain.info.columns
    assert plain.info.model_name == ""


class Payload:
    """What a pickle does to those who load it."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def hostile(mark):
    yield "in the dictionary", lambda path: torch.save({**as_tensors(content()), "extra": Payload(mark)}, path)
    yield "as the whole", lambda path: torch.save(Payload(mark), path)
    yield "in an array", lambda path: torch.save(content(pred=np.array([Payload(mark)], object)), path)
    yield "a plain pickle", lambda path: Path(path).write_bytes(pickle.dumps(Payload(mark)))
    yield (
        "in the old format",
        lambda path: torch.save(content(pred=Payload(mark)), path, _use_new_zipfile_serialization=False),
    )


@pytest.mark.parametrize(
    "case", ["in the dictionary", "as the whole", "in an array", "a plain pickle", "in the old format"]
)
def test_code_is_refused_and_never_run(tmp_path, capsys, case):
    mark = tmp_path / "hacked"
    path = tmp_path / "a.result"
    dict(hostile(mark))[case](path)
    assert main(["import", str(path), str(tmp_path / "t.parquet")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "nothing in it was run" in line
    assert main(["compare", str(path), str(path)]) == 2
    assert not mark.exists()
    assert [item.name for item in tmp_path.iterdir()] == ["a.result"]


def test_the_payload_is_a_real_one(tmp_path):
    mark = tmp_path / "hacked"
    dict(hostile(mark))["in the dictionary"](tmp_path / "a.result")
    torch.load(tmp_path / "a.result", weights_only=False)
    assert mark.exists()


def changed(key, change):
    data = content()
    values = data[key].copy()
    return {**data, key: change(values)}


def put(index, value, kind=None):
    def change(values):
        values = values if kind is None else values.astype(kind)
        values[index] = value
        return values

    return change


BAD = {
    "no dictionary": (lambda: torch.zeros(3), "is no result file"),
    "no outputs": (lambda: {"pred": torch.zeros(3), "gt": torch.zeros(3)}, "it should hold pred, gt and outputs"),
    "another answer": (
        lambda: changed("pred", lambda p: (p + 1) % CLASSES),
        "pred is not where outputs are largest in 400",
    ),
    "one other answer": (
        lambda: changed("pred", lambda p: put(7, (p[7] + 1) % CLASSES)(p)),
        r"in 1 rows \(first: row 7",
    ),
    "a label too high": (lambda: changed("gt", put(3, CLASSES)), "gt should be whole numbers from 0 to 4"),
    "a label below 0": (lambda: changed("gt", put(3, -1)), "gt should be whole numbers"),
    "half a label": (lambda: changed("gt", put(3, 0.5, float)), "gt should be whole numbers"),
    "a label that is none": (lambda: changed("gt", put(3, np.nan, float)), "gt should be whole numbers"),
    "fewer labels": (lambda: changed("gt", lambda g: g[1:]), r"400 rows of outputs, but gt has shape \[399\]"),
    "fewer answers": (lambda: changed("pred", lambda p: p[1:]), r"but pred has shape \[399\]"),
    "several answers": (lambda: changed("pred", lambda p: np.stack([p, p], 1)), r"but pred has shape \[400, 2\]"),
    "NaN": (lambda: changed("outputs", put((5, 2), np.nan)), "outputs of row 5 are not finite"),
    "infinite": (lambda: changed("outputs", put((6, 2), np.inf)), "outputs of row 6 are not finite"),
    "too large": (lambda: changed("outputs", put((6, 2), 1e60, float)), "outputs of row 6 are not finite"),
    "flat": (lambda: changed("outputs", lambda o: o[:, 0]), r"outputs has shape \[400\]"),
    "nothing": (lambda: {key: np.zeros((0, 5)) for key in ("pred", "gt", "outputs")}, "holds no examples"),
    "text": (lambda: content(outputs="many"), "outputs is no array of numbers"),
    "ragged": (lambda: content(outputs=[[1.0], [1.0, 2.0]]), "outputs is no array of numbers"),
    "other features": (lambda: content(features=np.ones((3, 2))), "400 rows of outputs and 3 of features"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_together(tmp_path, case):
    make, says = BAD[case]
    with pytest.raises(PctError, match=says):
        read_result(saved(tmp_path / "a.result", make()))


def test_equal_outputs_may_be_answered_either_way(tmp_path):
    data = {"pred": torch.tensor([1]), "gt": torch.tensor([1]), "outputs": torch.tensor([[2.0, 2.0, 0.0]])}
    assert import_result(saved(tmp_path / "a.result", data)).info.num_examples == 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "There is no result file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_text("pred,gt"), "is damaged|no file of torch.save"),
        (lambda path: path.write_bytes(saved(path, content()).read_bytes()[:-200]), "is damaged"),
    ],
)
def test_files_that_are_none(tmp_path, make, says):
    path = tmp_path / "a.result"
    make(path)
    with pytest.raises(PctError, match=says):
        read_result(path)


def by_hand(old, new):
    """What the original's ModelAnalyzer says of two result files."""
    rows = np.arange(NUM)
    shares = [np.exp(z.astype(np.float64)) / np.exp(z.astype(np.float64)).sum(1, keepdims=True) for z in (old, new)]
    right = [z.argmax(1) == LABELS for z in (old, new)]
    negative = right[0] & ~right[1]
    fall = shares[0][rows, LABELS] - shares[1][rows, LABELS]
    return {
        "accuracy_old": right[0].mean(),
        "accuracy_new": right[1].mean(),
        "nfr": negative.mean(),
        "pfr": (~right[0] & right[1]).mean(),
        "fractional_nfr": (negative * (shares[1].max(1) - shares[1][rows, LABELS])).mean(),
        "type_1_flips": (negative & (fall <= 0.1)).mean(),
        "type_2_flips": (negative & (fall >= 0.5)).mean(),
        "sum": ((old + new).argmax(1) == LABELS).mean(),
    }


def test_compare_and_ensemble_of_two_files_say_what_the_original_said(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved("old.result", as_tensors(content(1)))
    saved("new.result", content(2))
    expected = by_hand(outputs(1), outputs(2))
    for name in ("old", "new"):
        assert main(["import", f"{name}.result", f"{name}.parquet"]) == 0
    assert "400 predictions of 5 classes, accuracy" in capsys.readouterr().out
    for ending in ("parquet", "result"):
        assert main(["compare", f"old.{ending}", f"new.{ending}", "--json", "m.json"]) == 0
        metrics = json.loads(Path("m.json").read_text())["metrics"]
        shares = type_shares(metrics)
        for key, value in expected.items():
            if key != "sum":
                assert shares[key] == pytest.approx(value, abs=1e-6), key
        assert main(["ensemble", "sum.parquet", f"old.{ending}", f"new.{ending}"]) == 0
        assert Predictions.load("sum.parquet").accuracy() == pytest.approx(expected["sum"])
    assert 0.5 < expected["accuracy_old"] < expected["sum"] < 1
    assert expected["type_1_flips"] > 0
    assert expected["type_2_flips"] > 0


def type_shares(metrics):
    return {key: item["value"] for key, item in metrics.items()}


def test_an_opened_file_lives_as_long_as_its_handle(tmp_path):
    path = saved(tmp_path / "a.result", content())
    source = open_source(str(path), split="val")
    assert source.uri == str(path)
    table = source.predictions
    held = table.path
    assert table.info.split == "val"
    assert held.exists()
    del source, table
    assert not held.exists()


def test_names_and_ids_from_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved("a.result", content())
    Path("classes.txt").write_text("ant\nbee\ncow\ndog\nelk\n")
    Path("ids.txt").write_text("".join(f"img/{i}.png\n" for i in range(NUM)))
    words = ["import", "a.result", "t.parquet", "--classes", "classes.txt", "--ids", "ids.txt", "--model-name", "r18"]
    assert main([*words, "--dataset", "zoo"]) == 0
    info = Predictions.load("t.parquet").info
    assert (info.class_names[2], info.model_name, info.dataset, info.split) == ("cow", "r18", "zoo", "test")
    assert pq.read_table("t.parquet")["sample_id"][3].as_py() == "img/3.png"
    capsys.readouterr()
    Path("t.parquet").unlink()
    Path("four.txt").write_text("ant\nbee\ncow\ndog\n")
    Path("twice.txt").write_text("ant\nbee\ncow\ncow\nelk\n")
    Path("same.txt").write_text("img.png\n" * NUM)
    Path("binary.txt").write_bytes(b"\xff\xfe\x00")
    for option, file, says in (
        ("--classes", "four.txt", "a.result has 5 classes, and 4 class names are given"),
        ("--classes", "twice.txt", "names a class twice"),
        ("--classes", "absent.txt", "There is no file absent.txt"),
        ("--classes", "binary.txt", "binary.txt cannot be read"),
        ("--ids", "four.txt", "four.txt has 4 lines, and 400 sample_ids are needed"),
        ("--ids", "same.txt", "'img.png' appears more than once"),
    ):
        assert main(["import", "a.result", "t.parquet", option, file]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
        assert not Path("t.parquet").exists()
