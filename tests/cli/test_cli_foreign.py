"""Files of other programs at every verb that takes predictions: one command each, numbers as numpy counts them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from pct_mlops import Predictions
from pct_mlops.cli import main
from pct_mlops.reports import report_schema

NAMES = np.array(["cat", "dog", "owl"])
NUM = 300
POLICY = "rules: [{metric: nfr, max: 0.5}, {metric: accuracy_change, min: -0.5}]"
FILES = ("forest.csv", "text.jsonl", "net.npz", "polars.parquet", "spark")


@pytest.fixture(scope="module")
def truth():
    random = np.random.default_rng(0)
    label = random.integers(0, 3, NUM)
    shares = {name: random.dirichlet(np.ones(3) / 2, NUM) * 0.7 + np.eye(3)[label] * 0.3 for name in ("old", "new")}
    return label, shares


@pytest.fixture
def folder(tmp_path, monkeypatch, truth):
    """Every format, of two models, in the current folder."""
    monkeypatch.chdir(tmp_path)
    label, shares = truth
    ids = [f"{place:04d}" for place in range(NUM)]
    for name, values in shares.items():
        said = NAMES[values.argmax(axis=1)]
        Path(name).mkdir()
        frame = pd.DataFrame({"id": ids, "y_true": NAMES[label], "y_pred": said})
        frame.sample(frac=1, random_state=1).to_csv(f"{name}/forest.csv", index=False)
        frame.rename(columns={"y_true": "gold", "y_pred": "said"}).to_json(
            f"{name}/text.jsonl", orient="records", lines=True
        )
        np.savez(f"{name}/net.npz", id=ids, label=label, probabilities=values.astype(np.float32), class_names=NAMES)
        columns = {f"prob_{kind}": values[:, place] for place, kind in enumerate(NAMES)}
        pl.DataFrame({"id": ids, "target": NAMES[label], **columns}).write_parquet(f"{name}/polars.parquet")
        Path(f"{name}/spark").mkdir()
        frame[:100].to_parquet(f"{name}/spark/part-00000.snappy.parquet")
        frame[100:].to_parquet(f"{name}/spark/part-00001.snappy.parquet")
        Path(f"{name}/spark/_SUCCESS").touch()
    Path("policy.yaml").write_text(POLICY)
    return tmp_path


def expected(truth):
    label, shares = truth
    old, new = (shares[name].argmax(axis=1) == label for name in ("old", "new"))
    return {"negative_flips": int((old & ~new).sum()), "positive_flips": int((~old & new).sum())}


def words(file):
    return ["--columns", "label=gold,prediction=said"] if file == "text.jsonl" else []


@pytest.mark.parametrize("file", FILES)
def test_compare_and_gate_in_one_command_each(folder, truth, capsys, file):
    counts = expected(truth)
    assert main(["compare", f"old/{file}", f"new/{file}", "--json", "c.json", *words(file)]) == 0
    found = json.loads(Path("c.json").read_text())["counts"]
    assert {key: found[key] for key in counts} == counts
    assert f"new/{file}: 300 examples, 3 classes, taken as split 'test'." in capsys.readouterr().out
    assert main(["gate", f"new/{file}", "--baseline", f"old/{file}", "--json", "g.json", *words(file)]) == 0
    report = json.loads(Path("g.json").read_text())
    assert {key: report["counts"][key] for key in counts} == counts
    assert report["candidate"]["split"] == "test"


@pytest.mark.parametrize("file", FILES)
def test_formats_may_be_mixed(folder, truth, capfd, file):
    options = ["--columns", "label=gold,label=y_true,prediction=said,prediction=y_pred"] if file == "text.jsonl" else []
    assert main(["compare", "old/forest.csv", f"new/{file}", "--json", "-", *options]) == 0
    captured = capfd.readouterr()
    found = json.loads(captured.out)["counts"]
    counts = expected(truth)
    assert {key: found[key] for key in counts} == counts
    assert "taken as split 'test'" in captured.err, "what people read is not among what a program reads"


def test_a_named_column_may_be_missing_in_one_of_the_files(folder, truth, capsys):
    counts = expected(truth)
    mixed = ["old/text.jsonl", "new/forest.csv", "--columns", "label=gold,prediction=said"]
    assert main(["compare", *mixed, "--json", "c.json"]) == 0
    found = json.loads(Path("c.json").read_text())["counts"]
    assert {key: found[key] for key in counts} == counts
    assert main(["gate", mixed[1], "--baseline", mixed[0], *mixed[2:]]) == 0
    capsys.readouterr()
    for words in (
        ["compare", "old/forest.csv", "new/forest.csv"],
        ["gate", "new/forest.csv", "--baseline", "old/forest.csv"],
        ["explore", "old/forest.csv", "new/forest.csv"],
        ["ensemble", "mean.parquet", "old/net.npz", "new/net.npz"],
    ):
        assert main([*words, "--columns", "label=glod"]) == 2, words
        says = "None of the files has the column 'glod' that --columns names for the label: correct the name"
        assert says in capsys.readouterr().err
    # Neither the named column nor a usual one: the error is about the named one.
    assert main(["compare", "old/forest.csv", "new/text.jsonl", "--columns", "label=y_true"]) == 2
    assert "Unknown column of new/text.jsonl 'y_true'" in capsys.readouterr().err
    # A single file has the columns that were named for it.
    assert main(["import", "old/forest.csv", "t.parquet", "--columns", "label=gold"]) == 2
    assert "Unknown column of old/forest.csv 'gold'" in capsys.readouterr().err


def test_what_is_not_known_is_not_available(folder, capsys):
    assert main(["compare", "old/forest.csv", "new/forest.csv", "--json", "c.json"]) == 0
    assert "neither table has label_confidence" in " ".join(capsys.readouterr().out.split())
    report = json.loads(Path("c.json").read_text())
    metrics, reasons = report["metrics"], report["not_available"]
    assert metrics["ece_new"]["value"] is metrics["type_2_flips"]["value"] is metrics["fractional_nfr"]["value"] is None
    assert metrics["nfr"]["value"] is not None
    assert reasons["ece_new"] == "the new table has no confidence"
    assert set(reasons) == {name for name, found in metrics.items() if found["value"] is None}
    Path("policy.yaml").write_text("rules: [{metric: ece_new, max: 0.9, bound: point}, {metric: nfr, max: 0.5}]")
    assert main(["gate", "new/forest.csv", "--baseline", "old/forest.csv"]) == 2
    assert "ece_new is not available: the new table has no confidence." in " ".join(capsys.readouterr().out.split())


def test_every_report_of_the_gate_says_why_a_metric_is_not_available(folder):
    Path("policy.yaml").write_text("rules: [{metric: ece_new, max: 0.9, bound: point}, {metric: nfr, max: 0.5}]")
    outputs = ["--json", "g.json", "--junit", "g.xml", "--markdown", "g.md"]
    assert main(["gate", "new/forest.csv", "--baseline", "old/net.npz", *outputs]) == 2
    report = json.loads(Path("g.json").read_text())
    jsonschema.validate(report, report_schema())
    assert report["not_available"]["type_1_flips"] == "the new table has no label_confidence"
    assert "ece_old" not in report["not_available"], "the baseline's confidences are known"
    (case,) = [case for case in ElementTree.parse("g.xml").iter("testcase") if case.get("name").startswith("ece_new")]
    sentence = "ece_new is not available: the new table has no confidence."
    assert case.find("error").get("message") == case.find("error").text == sentence
    shown = Path("g.md").read_text().replace("\\", "")
    assert sentence in shown
    assert "Not available: fractional_nfr (the new table has no confidence or label_confidence); " in shown
    assert "ece_new (the new table has no confidence)" in shown
    assert main(["gate", "new/net.npz", "--baseline", "old/net.npz", "--policy", "policy.yaml", *outputs]) == 0
    assert json.loads(Path("g.json").read_text())["not_available"] == {}
    assert "Not available" not in Path("g.md").read_text()


def test_the_split_is_the_users_to_say(folder, capsys):
    command = ["gate", "new/forest.csv", "--baseline", "old/forest.csv"]
    assert main([*command, "--split", "val", "--json", "g.json"]) == 2
    assert "val" in json.loads(Path("g.json").read_text())["sentence"]
    assert main(command) == 0


def test_ensemble_update_and_import(folder, truth, capsys):
    label, shares = truth
    assert main(["ensemble", "mean.parquet", "old/net.npz", "new/polars.parquet"]) == 0
    mean = (np.log(shares["old"]) + np.log(shares["new"])).argmax(axis=1)
    assert Predictions.load("mean.parquet").accuracy() == pytest.approx((mean == label).mean())
    assert main(["ensemble", "mean.parquet", "old/forest.csv", "new/net.npz"]) == 2
    assert "old/forest.csv holds no logits" in capsys.readouterr().err
    val = pd.read_csv("old/forest.csv").assign(id=lambda frame: "val-" + frame["id"].astype(str))
    val.to_csv("val.csv", index=False)
    command = ["update-predictions", "old/forest.csv", "new/forest.csv", "--output", "u.parquet"]
    assert main([*command, "--stored-val", "val.csv", "--new-val", "val.csv"]) == 0
    assert Predictions.load("u.parquet").info.num_examples == NUM
    assert main(["import", "new/text.jsonl", "t.parquet", *words("text.jsonl"), "--dataset", "zoo"]) == 0
    made = Predictions.load("t.parquet")
    made.verify()
    assert (made.info.title, made.info.dataset, made.info.split) == ("text", "zoo", "test")
    assert "confidence" not in pq.read_schema("t.parquet").names
    assert main(["import", "new/forest.csv", "t.parquet", "--ids", "ids.txt"]) == 2
    assert "--ids is about .result files" in capsys.readouterr().err


def test_classes_are_a_list_or_a_file(folder, capsys):
    Path("numbers.csv").write_text("id,label,pred\n1,0,0\n2,2,1\n")
    for given in ("cat,dog,owl", "classes.txt"):
        Path("classes.txt").write_text("cat\ndog\nowl\n")
        assert main(["import", "numbers.csv", "t.parquet", "--classes", given]) == 0
        assert Predictions.load("t.parquet").info.class_names == ("cat", "dog", "owl")
    assert main(["import", "numbers.csv", "t.parquet", "--classes", "cat"]) == 2
    assert "a list like cat,dog" in capsys.readouterr().err
    assert main(["import", "numbers.csv", "t.parquet", "--columns", "gold"]) == 2
    assert "write for example --columns label=gold,prediction=said" in capsys.readouterr().err


def test_a_file_is_not_its_own_baseline(folder, capsys):
    for candidate in ("new/net.npz", "new/copy.npz"):
        Path("new/copy.npz").write_bytes(Path("new/net.npz").read_bytes())
        assert main(["gate", candidate, "--baseline", "new/net.npz"]) == 2
        assert "is the baseline itself or a copy of it" in " ".join(capsys.readouterr().out.split())


SAME = "Both tables hold the same predictions: is the candidate's file a copy of the baseline's?"


def test_a_copy_in_another_format_is_not_its_own_baseline(folder, truth, capsys):
    """Labels alone: the tables are equal in every column, whatever the files look like."""
    words = ["--columns", "label=gold,label=y_true,prediction=said,prediction=y_pred"]
    for candidate, baseline in (("new/text.jsonl", "new/forest.csv"), ("new/spark", "new/text.jsonl")):
        assert main(["gate", candidate, "--baseline", baseline, *words]) == 2
        assert f"{candidate} is the baseline itself or a copy of it" in " ".join(capsys.readouterr().out.split())
    # One prediction apart, and it is another model.
    frame = pd.read_csv("new/forest.csv", dtype=str)
    frame.loc[0, "y_pred"] = "cat" if frame.loc[0, "y_pred"] != "cat" else "dog"
    frame.to_csv("other.csv", index=False)
    assert main(["gate", "other.csv", "--baseline", "new/text.jsonl", *words]) == 0
    assert "same predictions" not in " ".join(capsys.readouterr().out.split())


def test_tables_that_name_two_models_are_judged_with_the_note(folder, truth, capsys):
    words = {"sample_ids": [f"{place:04d}" for place in range(NUM)], "split": "test"}
    for name in ("a", "b"):
        Predictions.from_arrays(truth[0], predictions=truth[0], model_name=name, **words).save(f"{name}.parquet")
    assert main(["gate", "b.parquet", "--baseline", "a.parquet"]) == 0
    assert SAME in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("changed", ["confidences", "a column", "probabilities of another file"])
def test_the_same_predictions_are_noted_in_every_report(folder, capsys, changed):
    frame = pd.read_csv("new/forest.csv", dtype=str)
    candidate = "same.csv"
    if changed == "confidences":
        frame["confidence"] = 0.9
    elif changed == "a column":
        frame["site"] = "north"
    else:
        candidate = "new/net.npz"
    frame.to_csv("same.csv", index=False)
    outputs = ["--json", "g.json", "--junit", "g.xml", "--markdown", "g.md", "--html", "g.html"]
    assert main(["gate", candidate, "--baseline", "new/forest.csv", *outputs]) == 0
    assert SAME in " ".join(capsys.readouterr().out.split())
    report = json.loads(Path("g.json").read_text())
    jsonschema.validate(report, report_schema())
    assert report["sentence"].endswith(SAME)
    assert SAME in next(ElementTree.parse("g.xml").iter("testsuite")).findtext("system-out")
    assert SAME in Path("g.md").read_text()
    assert SAME.replace("'", "&#39;") in Path("g.html").read_text()


PROBE = """
import sys
from pct_mlops.cli import main
assert main(["gate", "new/forest.csv", "--baseline", "old/text.jsonl", "--columns",
             "label=gold,label=y_true,prediction=said,prediction=y_pred"]) == 0
print("loaded", *sorted({"torch", "mlflow", "pandas", "streamlit"} & set(sys.modules)))
"""


def test_foreign_files_are_judged_without_torch_mlflow_or_pandas(folder):
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded"
    assert not [path for path in Path().iterdir() if path.name not in ("old", "new", "policy.yaml")]
