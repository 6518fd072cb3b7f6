"""What is wrong with a file of another program is one sentence that names file, line or id, and what to do."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pct_mlops import PctError, Predictions
from pct_mlops.predictions import ReadOptions
from pct_mlops.predictions.foreign import convert_file

HEAD = "id,label,pred\n"
CASES = {
    "no ids": (
        "label,pred\na,a\n",
        {},
        "no column sample_id | id | example_id | sample_ids | ids | example_ids (exa",
    ),
    "no labels": ("id,pred\n1,a\n", {}, "no column label | target | y_true | true_label"),
    "no predictions": ("id,label\n1,a\n", {}, "probabilities or logits do as well"),
    "two plural labels": ("id,labels,targets,pred\n1,a,a,a\n", {}, "2 columns for the label ('labels', 'targets')"),
    "two labels": ("id,label,target,pred\n1,a,a,a\n", {}, "2 columns for the label ('label', 'target')"),
    "two ids": ("id,sample_id,label,pred\n1,1,a,a\n", {}, "--columns sample_id=sample_id"),
    "lists twice": ("id,label,probabilities,prob_a,prob_b\n1,a,[1],1,0\n", {}, "holds probabilities twice"),
    "probabilities and logits": (
        "id,label,prob_a,prob_b,logit_a,logit_b\n1,a,1,0,1,0\n",
        {},
        "holds both probabilities and logits ('prob_a' and 'logit_a')",
    ),
    "a column that is not there": (HEAD + "1,a,a\n", {"columns": {"label": "gold"}}, "'gold'"),
    "a meaning that is none": (HEAD + "1,a,a\n", {"columns": {"lable": "gold"}}, "label"),
    "an empty id": (HEAD + "1,a,a\n,b,b\n", {}, "example 2 has no id: name every example"),
    "an id twice": (HEAD + "7,a,a\n7,b,b\n", {}, "holds the id '7' more than once"),
    "an empty label": (HEAD + "1,a,a\n2,,b\n", {}, "example 2 ('2') has no label"),
    "an empty prediction": (HEAD + "1,a,a\n2,b,\n", {}, "example 2 ('2') has no pred"),
    "a prediction that is no class": (
        HEAD + "1,a,a\n2,b,x\n",
        {"class_names": ("a", "b")},
        "example 2 ('2') has the prediction 'x', which is no class of a, b: list all classes with --classes",
    ),
    "no label that is a class": (
        HEAD + "1,x,a\n2,y,b\n",
        {"class_names": ("a", "b")},
        "has the label 'x', which is no class of a, b, and no other label is one: correct the labels",
    ),
    "a number that is no class": (
        HEAD + "1,0,0\n2,5,1\n",
        {"class_names": ("a", "b")},
        "has the label '5', which is no class of a, b: list all classes with --classes, or give labels as names",
    ),
    "a number without a score": (
        'id,label,probabilities\n1,0,"[0.5, 0.5]"\n2,2,"[0.5, 0.5]"\n',
        {},
        "has the label '2', which is no class of 0, 1",
    ),
    "names and numbers": (HEAD + "1,a,0\n2,b,1\n", {}, "each label as a name and each prediction as a number"),
    "a sure number": ("id,label,pred,score\n1,a,a,1.5\n", {}, "example 1 ('1') has a score that is no number from 0"),
    "a word for a number": ("id,label,pred,score\n1,a,a,sure\n", {}, "has a score that is no number"),
    "NaN": ("id,label,pred,score\n1,a,a,nan\n", {}, "has a score that is no number"),
    "sums": ("id,label,prob_a,prob_b\n1,a,2,3\n", {}, "the probabilities of '1' sum to 5, or one is outside 0 to 1"),
    "negative": ("id,label,prob_a,prob_b\n1,a,1.5,-0.5\n", {}, "give them as logits (or as columns logit_CLASS)"),
    "a gap": ("id,label,prob_a,prob_b\nx,a,0.5,\n", {}, "probabilities of 'x' hold NaN"),
    "softmax as logits": ("id,label,logit_a,logit_b\n1,a,0.5,0.5\n2,a,0.1,0.9\n", {}, "give them as probabilities"),
    "ragged lists": (
        'id,label,probabilities\n1,0,"[0.5, 0.5]"\n2,0,"[0.5, 0.5]"\n3,1,"[1]"\n',
        {},
        "example 3 ('3') has probabilities that are no list of 2 numbers",
    ),
    "no lists": ("id,label,probabilities\n1,0,often\n2,1,seldom\n", {}, "no list"),
    "names in lists": ('id,label,logits\n1,a,"[2, 0]"\n', {}, "not in which order the scores stand"),
    "too many names": (
        'id,label,logits\n1,0,"[2, 0]"\n',
        {"class_names": ("a", "b", "c")},
        "2 scores for each example, and there are 3 class names",
    ),
    "several labels": ('id,label,pred\n1,"[0, 1]",0\n', {}, "write a table for each label"),
    "a class twice": (HEAD + "1,a,a\n", {"class_names": ("a", "a")}, "names a class twice"),
    "nothing": ("", {}, "is empty"),
    "no examples": (HEAD, {}, "holds no examples"),
    "a value too many": (
        HEAD + "1,a,a\n2,b,b,c\n",
        {},
        "line 3: there are 4 values, and the first line names 3 columns",
    ),
    "three values too many": (
        HEAD + '1,a,a\n2,b,"b, c",d,e,f\n',
        {},
        "line 3: there are 6 values, and the first line names 3 columns",
    ),
    "a value too few": (HEAD + "1,a\n", {}, "line 2: there are 2 values"),
    "an open quote": (HEAD + '1,"a,a\n', {}, "line 2: a double quote is not closed"),
    "a name twice": ("id,label,label,pred\n1,a,a,a\n", {}, "two columns 'label'"),
    "a big number": (HEAD + "1,123456789,1\n", {}, "class number 123,456,789"),
    "control characters": (HEAD + "1,a\x1b[2J,b\n", {}, "holds a control character"),
}

ABOUT_ARGUMENTS = ("a meaning that is none", "a class twice")


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(tmp_path, case):
    text, named, says = CASES[case]
    path = tmp_path / "said.csv"
    path.write_text(text)
    with pytest.raises(PctError) as caught:
        Predictions.from_file(path, **named)
    sentence = str(caught.value)
    assert says in sentence
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    assert str(path) in sentence or case in ABOUT_ARGUMENTS


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id,label\n1,caf\xe9\n".encode("latin1"), "line 2: the text is not UTF-8"),
        ("id,l\xe4bel\n1,a\n".encode("latin1"), "line 1: the text is not UTF-8"),
        ("id,label\n1,a\n".encode("utf-16"), "is in UTF-16: save it as UTF-8"),
    ],
)
def test_text_is_utf_8(tmp_path, content, says):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(PctError, match=says):
        Predictions.from_file(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('{"id": 1, "label": "a", "pred": "a"}\n{broken\n', "line 2: this is no JSON object"),
        ('{"id": 1, "label": "a", "pred": "a"}\n\n[1, 2]\n', "line 3: this is no JSON object"),
        ('{"id": 1, "label": ["a", "b"], "pred": "a"}\n', "write a table for each label"),
        ('{"id": 1, "label": "a", "pred": null}\n', "has no pred"),
        ('{"id": 1, "label": "a", "probabilities": [0.5, "x"]}\n', "not in which order"),
        ('{"id": 1, "label": 0, "probabilities": [0.5, "x"]}\n', "hold NaN, infinity or no number"),
        ('{"id": 1, "label": 0, "probabilities": [0.5, 0.5]}\n{"id": 2, "label": 0}\n', r"example 2 \('2'\) has prob"),
    ],
)
def test_json_lines(tmp_path, lines, says):
    (tmp_path / "t.jsonl").write_text(lines)
    with pytest.raises(PctError, match=says):
        Predictions.from_file(tmp_path / "t.jsonl")


def test_arrays_of_a_file(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, id=np.array([object()]), label=[0], pred=[0])
    with pytest.raises(PctError, match="it holds objects, which could run code"):
        Predictions.from_file(path)
    np.savez(path, id=[1, 2], label=[0], pred=[0])
    with pytest.raises(PctError, match=r"arrays of unequal length \(id 2, label 1, pred 1\)"):
        Predictions.from_file(path)
    path.write_text("no archive")
    with pytest.raises(PctError, match=r"is no \.npz file, or damaged"):
        Predictions.from_file(path)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "npz", "parquet", "txt"])
def test_pipes_and_other_files_are_refused_at_once(tmp_path, ending):
    path = tmp_path / f"pipe.{ending}"
    os.mkfifo(path)
    with pytest.raises(PctError, match="is a pipe or device"):
        Predictions.from_file(path)


def test_folders(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    with pytest.raises(PctError, match=r"holds no predictions: give one file, or a folder of \.parquet parts"):
        Predictions.from_file(folder)
    frame = pd.DataFrame({"id": [1], "label": ["a"], "pred": ["a"]})
    frame.to_parquet(folder / "a.parquet")
    frame.to_csv(folder / "b.csv")
    with pytest.raises(PctError, match=r"holds \.csv and \.parquet files: give one file, or parts of one format"):
        Predictions.from_file(folder)
    with pytest.raises(PctError, match="There is no file"):
        convert_file(tmp_path / "none.csv", ReadOptions())


@pytest.mark.parametrize("frame", [3, [1, 2], "text", pa.schema([])])
def test_no_frame(frame):
    with pytest.raises(PctError, match="give a pandas or polars DataFrame, an Arrow table, or a dictionary of columns"):
        Predictions.from_frame(frame)


def test_nested_ids_are_refused():
    with pytest.raises(PctError, match="give each example an id that is a text"):
        Predictions.from_frame({"id": [[1], [2]], "label": [0, 1], "pred": [0, 1]})
