"""`pct risk` over files: what it says it used, what it writes, and one sentence for what does not fit."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.csv
import pytest

from pct_mlops.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "predictions"))

from prediction_tables import table

LABELS = [0, 1, 2, 0]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answers = {"old": LABELS, "one": [0, 1, 1, 0], "two": [0, 1, 1, 1], "new": [0, 1, 1, 0]}
    for name, given in answers.items():
        table(LABELS, given, model_name=name, model_version="").save(f"{name}.parquet")
    table([0, 1], [0, 1]).save("other.parquet")
    return tmp_path


def said(capsys):
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def test_members_of_files(files, capsys):
    words = ("--members", "one.parquet", "--members", "two.parquet")
    assert main(["risk", "old.parquet", *words, "--output", "risk.csv", "--against", "new.parquet"]) == 0
    text = said(capsys)
    assert "the share of 2 retrainings that are wrong where the model is right" in text
    assert "Expected NFR of one more retraining: 37.50%. The floor between the 2 retrainings is 12.50%." in text
    assert "Negative flips of new: 1 among 4 examples that were right" in text
    assert "members, then margin 1.0000" in text
    assert pyarrow.csv.read_csv("risk.csv")["sample_id"][0].as_py() == "test/2"


def test_a_file_alone_has_its_margin(files, capsys):
    assert main(["risk", "old.parquet"]) == 0
    text = said(capsys)
    assert "1 minus the margin" in text
    assert "is no probability" in text
    assert "Expected NFR" not in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["old.parquet", "--members", "one.parquet"], "1 retraining is too few"),
        (["old.parquet", "--members", "one.parquet", "--members", "other.parquet"], "not comparable"),
        (["old.parquet", "--by", "members"], "There are no retrainings of old on these examples"),
        (["old.parquet", "--by", "margin", "--members", "one.parquet"], "leave --members out"),
        (["old.parquet", "--output", "risk.txt"], "end it with .parquet or .csv"),
        (["old.parquet", "--output", "old.parquet"], "old.parquet"),
        (["nothing.parquet"], "There is no prediction table nothing.parquet"),
        (["nobody"], "neither a predictions file nor a registered model"),
    ],
)
def test_what_does_not_fit_is_one_sentence(files, capsys, words, says):
    before = Path("old.parquet").read_bytes()
    assert main(["risk", *words]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.startswith("Error: ")
    assert len(captured.err.splitlines()) == 1
    assert Path("old.parquet").read_bytes() == before
