"""Tables from arrays of any library: labels alone, with a confidence, with probabilities or logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from prediction_tables import CLASSES

from pct_mlops import PctError, Predictions, compare

IDS = ["a", "b", "c"]
LABELS = np.array([0, 1, 2])
SHARES = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])


def columns(table):
    with_ids = table._table.sort_by("sample_id")
    return {name: with_ids[name].to_pylist() for name in with_ids.column_names}


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        lambda x: x.tolist(),
        torch.from_numpy,
        lambda x: list(torch.from_numpy(x)),
        lambda x: torch.from_numpy(x).requires_grad_() if x.dtype.kind == "f" else torch.from_numpy(x),
    ],
)
def test_arrays_of_any_library(form):
    table = Predictions.from_arrays(form(LABELS), sample_ids=IDS, probabilities=form(SHARES), class_names=CLASSES)
    found = columns(table)
    assert found["prediction"] == [0, 0, 2]
    assert found["confidence"] == pytest.approx([0.7, 0.5, 0.7])
    assert found["label_confidence"] == pytest.approx([0.7, 0.3, 0.7])
    shares = np.exp(np.array(found["logits"]))
    np.testing.assert_allclose(shares / shares.sum(axis=1, keepdims=True), SHARES, rtol=1e-5)


def test_half_precision_sums_to_one_nearly():
    rough = torch.from_numpy(SHARES).to(torch.bfloat16)
    assert (rough.float().sum(dim=1) - 1).abs().max() > 1e-4
    table = Predictions.from_arrays(LABELS, sample_ids=IDS, logits=torch.log(rough), class_names=CLASSES)
    assert columns(table)["confidence"] == pytest.approx([0.7, 0.5, 0.7], abs=0.01)


def test_only_labels_and_predictions():
    table = Predictions.from_arrays(["x", "y", "y"], predictions=["x", "y", "reject"], sample_ids=[1, 2, 3])
    assert table.info.columns == ("sample_id", "label", "prediction")
    assert table.info.class_names == ("reject", "x", "y")
    assert (table.accuracy(), table.info.classes_from_data) == (2 / 3, True)
    sure = Predictions.from_arrays(["x", "y", "y"], predictions=list("xyx"), scores=[0.9, 0.8, 0.6], sample_ids=IDS)
    assert sure.info.columns == ("sample_id", "label", "prediction", "confidence")


def test_the_prediction_is_what_the_model_said():
    named = {"sample_ids": IDS, "class_names": CLASSES, "probabilities": SHARES}
    said = Predictions.from_arrays(LABELS, predictions=[0, 1, 2], **named)
    assert (said.accuracy(), said.info.predictions_stated) == (1, True)
    assert columns(said)["confidence"] == pytest.approx([0.7, 0.3, 0.7])
    assert not Predictions.from_arrays(LABELS, **named).info.predictions_stated


def test_names_and_numbers_are_the_same_table():
    numbers = Predictions.from_arrays(LABELS, sample_ids=IDS, probabilities=SHARES, class_names=CLASSES)
    names = Predictions.from_arrays(
        np.array(CLASSES)[LABELS], sample_ids=IDS, probabilities=SHARES, class_names=CLASSES
    )
    assert numbers.info == names.info
    assert numbers._table.equals(names._table)
    assert compare(numbers, names).counts.both_right == 2


def test_the_order_of_before_still_works(tmp_path):
    logits = np.log(SHARES)
    before = Predictions.from_arrays(IDS, LABELS, logits, class_names=CLASSES, model_name="m", model_version=3)
    now = Predictions.from_arrays(
        LABELS, logits=logits, sample_ids=IDS, class_names=CLASSES, model_name="m", model_version="3"
    )
    assert before.info == now.info
    assert before.info.title == "m/3"
    assert before._table.equals(now._table)
    by_name = Predictions.from_arrays(sample_ids=IDS, labels=LABELS, logits=logits, class_names=CLASSES)
    assert by_name.info.digest == now.info.digest
    assert Predictions.from_arrays(IDS, LABELS, np.eye(3), class_names=CLASSES).accuracy() == 1
    before.save(tmp_path / "t.parquet").verify()


def test_a_softmax_that_rounds_above_one_is_a_probability():
    shares = np.array([[np.nextafter(1, 2), 0.0], [0.0, 1.0]])
    table = Predictions.from_arrays([0, 1], sample_ids=["a", "b"], probabilities=shares, class_names=CLASSES[:2])
    assert table.accuracy() == 1
    with pytest.raises(PctError, match="one is outside 0 to 1"):
        Predictions.from_arrays([0, 1], sample_ids=["a", "b"], probabilities=shares + [[1e-4, -1e-4]] * 2)


REFUSED = {
    "probabilities as logits": ({"logits": SHARES}, "give them as probabilities"),
    "one-hot logits": ({"logits": np.eye(3)}, "give them as probabilities"),
    "logits as probabilities": ({"probabilities": 3 * SHARES}, "the probabilities of 'a' sum to 3"),
    "both": ({"probabilities": SHARES, "logits": SHARES}, "Both probabilities and logits are given"),
    "nothing": ({}, "There are no predictions"),
    "scores alone": ({"scores": [1, 1, 1]}, "There are no predictions"),
    "scores of all classes": ({"predictions": LABELS, "scores": SHARES}, "give the scores of every class as"),
    "a score above 1": ({"predictions": LABELS, "scores": [0.5, 2, 1]}, "The score of 'b' is outside 0 to 1"),
    "no ids": ({"sample_ids": None, "predictions": LABELS}, "joined by id, never by order"),
    "an unknown class": ({"predictions": ["cat", "dog", "cow"]}, "The prediction 'cow' of 'c' is no class of cat, dog"),
    "a missing prediction": ({"predictions": ["cat", None, "cat"]}, "The prediction of 'b' is missing"),
    "a prediction outside": ({"predictions": [0, 1, 3]}, "Prediction 3 is outside 0 to 2"),
    "too few": ({"predictions": [0, 1]}, "3 sample_ids but 2 rows of predictions"),
    "ragged": ({"logits": [[1, 2, 3], [1, 2], [1, 2, 3]]}, "lists of unequal length"),
    "words": ({"logits": [["a"] * 3] * 3}, "should be numbers"),
    "fewer classes": ({"probabilities": SHARES[:, :2]}, "probabilities have 2 classes, but there are 3 class names"),
    "several labels": ({"labels": np.ones((3, 2), int), "predictions": LABELS}, "whole numbers of shape"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arrays_that_do_not_fit(case):
    change, says = REFUSED[case]
    given = {"labels": LABELS, "sample_ids": IDS, "class_names": CLASSES, **change}
    with pytest.raises(PctError, match=says):
        Predictions.from_arrays(**given) if "one-hot" not in case else Predictions.from_arrays(
            given.pop("labels"), **given
        )


def test_an_argument_that_there_is_not():
    with pytest.raises(TypeError, match="does not take model"):
        Predictions.from_arrays(LABELS, predictions=LABELS, sample_ids=IDS, model="m")
