"""pct policy try: the table, the files it writes, and one sentence with exit code 2 for what does not fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from pct_mlops.cli import main
from pct_mlops.config import Policy

sys.path.insert(0, str(Path(__file__).parents[1] / "predictions"))

from prediction_tables import table

RULES = "rules: [{metric: nfr, max: 0.04}, {metric: accuracy_change, min: -0.02}]\nevidence: {tied: true}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    labels = np.arange(600) % 3
    answers = np.where(np.arange(600) % 10 == 0, (labels + 1) % 3, labels)
    table(labels, answers, sharpness=1 + np.arange(600) % 7, model_name="pets", model_version="").save("old.parquet")
    Path("policy.yaml").write_text(RULES)
    return tmp_path


def said(capsys):
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def test_a_table_and_three_files(folder, capsys):
    words = ["--candidates", "6", "--json", "t.json", "--markdown", "t.md", "--plot", "t.html"]
    assert main(["policy", "try", "policy.yaml", "--like", "old.parquet", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert text.startswith("A candidate as good as the old model passes in ")
    assert "candidate NFR change PASS FAIL INCONCLUSIVE stopped by" in text
    assert "With 600 examples, rule 1 (nfr) cannot tell" in text
    report = json.loads(Path("t.json").read_text())
    assert report["candidates"] == 6
    assert (report["policy_digest"], report["rules_tried"]) == (Policy.read("policy.yaml").digest, [1, 2])
    assert report["rows"][0]["kind"] == "as good as the old model"
    assert all(sum(v["count"] for v in row["verdicts"].values()) == 6 for row in report["rows"])
    assert report["sentence"] in text
    document = Path("t.md").read_text()
    assert document.count("\n| ") == 1 + len(report["rows"])
    page = Path("t.html").read_text()
    assert "true NFR in percent, at an accuracy change of" in page
    assert "limit of rule 1" in page


def test_chosen_rates_and_json_on_standard_output(folder, capfd):
    words = ["--nfr", "0.5%,0.01", "--accuracy-change", "0,-0.5", "--churn", "2%", "--candidates", "2", "--json", "-"]
    assert main(["policy", "try", "policy.yaml", "--like", "old.parquet", *words]) == 0
    captured = capfd.readouterr()
    rows = json.loads(captured.out)["rows"]
    assert [(row["nfr"], row["accuracy_change"]) for row in rows] == [
        (0.02, 0.0), (0.005, 0.0), (0.005, -0.005), (0.01, 0.0), (0.01, -0.005),
    ]  # fmt: skip
    assert "A candidate as good as the old model" in captured.err


def test_a_file_of_another_program(folder, capsys):
    Path("old.csv").write_text(
        "name,gold,said\n" + "".join(f"e{i},{i % 3},{i % 3 if i % 9 else 1}\n" for i in range(90))
    )
    words = ["--columns", "id=name,label=gold,prediction=said", "--candidates", "2"]
    assert main(["policy", "try", "policy.yaml", "--like", "old.csv", *words]) == 0
    assert "alike for all: the table has no confidences" in said(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["policy.yaml", "--like", "gone.parquet"], "There is no prediction table gone.parquet"),
        (["policy.yaml", "--like", "nothing"], "is neither a predictions file nor a registered model"),
        (["policy.yaml", "--like", "unlabelled.csv"], "label"),
        (["policy.yaml", "--like", "empty.csv"], "empty.csv"),
        (["gone.yaml", "--like", "old.parquet"], "gone.yaml"),
        (["broken.yaml", "--like", "old.parquet"], "rule on nfr"),
        (["policy.yaml", "--like", "old.parquet", "--candidates", "0"], "should be from 1 to 100,000, and it is 0."),
        (["policy.yaml", "--like", "old.parquet", "--nfr", "1"], "An NFR of 100.00% is impossible here"),
        (["policy.yaml", "--like", "old.parquet", "--nfr", "few"], "--nfr holds 'few', which is not a number"),
        (["policy.yaml", "--like", "old.parquet", "--accuracy-change", "-3"], "accuracy falls by at most the NFR"),
        (["policy.yaml", "--like", "old.parquet", "--accuracy-change", "nan"], "write for example --accuracy-change"),
        (["policy.yaml", "--like", "old.parquet", "--churn", "50%"], "--churn should be above 0% and at most 10.00%"),
        (["policy.yaml", "--like", "old.parquet", "--json", "old.parquet"], "would be written over"),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder, capsys, words, message):
    Path("unlabelled.csv").write_text("id,prediction\na,0\nb,1\n")
    Path("empty.csv").write_text("id,label,prediction\n")
    Path("broken.yaml").write_text("rules: [{metric: nfr}]\n")
    assert main(["policy", "try", *words]) == 2
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1


def test_a_version_brings_its_floor(store, capsys):
    from pct_mlops.registry import Floor, Registry, store_floor
    from pct_mlops.workflows.runtime.references import open_source

    registry = Registry()
    name = next(iter(registry.client.search_registered_models())).name
    old = open_source(f"{name}/1").predictions
    about = {"recipe_digest": "r" * 64, "run_id": "f" * 32, "same_recipe": True, "when": "2030-01-01T00:00:00+00:00"}
    most = min(old.accuracy(), 1 - old.accuracy())
    floor = Floor(old.info.digest, num_seeds=2, mean=most / 4, std=None, max=most, values=(), version=1, **about)
    store_floor(registry, name, floor)
    Path("relative.yaml").write_text("rules: [{metric: nfr, max_times_floor: 1.5}]\n")
    assert main(["policy", "try", "relative.yaml", "--like", f"{name}/1", "--candidates", "2"]) == 0
    text = said(capsys)
    assert "as many positive flips (the floor of plain retraining)" in text
    assert f"has {most / 4:.2%} negative" in text
    assert "left out: its limit" not in text
