"""Labels that a model does not know: the same table in all spellings, and counts as numpy finds them by name."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pct_mlops import PctError, Predictions, compare
from pct_mlops.comparison import unknown_labels_sentence
from pct_mlops.predictions.schema import read_info

SPELLINGS = ("npz", "csv", "csv numbered", "arrays", "arrays numbered", "frame", "frame of lists")


@dataclass
class Model:
    """Probabilities [N, K] of the classes that a model knows, and targets by name, of which some may be others."""

    known: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    ids: list[str]

    @classmethod
    def random(cls, seed: int, known: list[str], labels: np.ndarray) -> Model:
        probabilities = np.random.default_rng(seed).dirichlet(np.full(len(known), 0.4), len(labels))
        return cls(known, labels, probabilities, [f"{place:03d}" for place in range(len(labels))])

    @property
    def said(self) -> np.ndarray:
        return np.array(self.known, dtype=object)[self.probabilities.argmax(axis=1)]

    @property
    def of_label(self) -> np.ndarray:
        """The probability of the target: 0 where the model does not know it."""
        places = [self.known.index(label) if label in self.known else -1 for label in self.labels]
        return np.array([0 if place < 0 else row[place] for place, row in zip(places, self.probabilities, strict=True)])

    def table(self, spelling: str, folder) -> Predictions:
        names = sorted({*self.known, *self.labels})[::-1]
        by_name = {"sample_ids": self.ids, "probabilities": self.probabilities}
        columns = {f"prob_{name}": self.probabilities[:, place] for place, name in enumerate(self.known)}
        if spelling == "arrays":
            return Predictions.from_arrays(list(self.labels), class_names=self.known, **by_name)
        if spelling == "arrays numbered":
            numbers = [names.index(label) for label in self.labels]
            return Predictions.from_arrays(numbers, class_names=names, known_classes=self.known, **by_name)
        if spelling == "npz":
            arrays = {"id": self.ids, "label": self.labels.astype(str), "probabilities": self.probabilities}
            np.savez(folder / "t.npz", class_names=self.known, **arrays)
            return Predictions.from_file(folder / "t.npz")
        if spelling == "frame of lists":
            frame = {"id": self.ids, "label": list(self.labels), "probabilities": self.probabilities.tolist()}
            return Predictions.from_frame(frame, class_names=self.known)
        frame = pd.DataFrame({"id": self.ids, "label": self.labels, **columns})
        if spelling == "frame":
            return Predictions.from_frame(frame)
        if spelling == "csv numbered":
            frame["label"] = [names.index(label) for label in self.labels]
        frame.to_csv(folder / "t.csv", index=False)
        return Predictions.from_file(folder / "t.csv", class_names=names if "numbered" in spelling else None)


@st.composite
def updates(draw):
    """An old and a new model on the same examples, whose labels may be unknown to either."""
    names = draw(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=4),
            min_size=4,
            max_size=7,
            unique_by=str.casefold,
        ).filter(lambda found: not any(name.isdecimal() or name.startswith("[") for name in found))
    )
    known = [draw(st.lists(st.sampled_from(names), min_size=2, unique=True)) for _ in range(2)]
    labels = draw(st.lists(st.sampled_from(names), min_size=1, max_size=12))
    # Each model knows one label at least: a table without any is refused.
    labels = np.array([*labels, known[0][0], known[1][0]], dtype=object)
    return [Model.random(draw(st.integers(0, 2**32)), known[side], labels) for side in (0, 1)]


def rows_of(table: Predictions, folder):
    saved = table.save(folder / "saved.parquet")
    saved.verify()
    return saved.info, pq.read_table(saved.path).sort_by("sample_id")


def four(counts):
    return counts.both_right, counts.negative_flips, counts.positive_flips, counts.both_wrong


def counted(models: list[Model], within: np.ndarray):
    was, now = ((model.said == model.labels)[within] for model in models)
    return tuple(int(part.sum()) for part in (was & now, was & ~now, ~was & now, ~was & ~now))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(models=updates(), spellings=st.tuples(*[st.sampled_from(SPELLINGS)] * 2))
def test_counts_in_any_spelling(tmp_path_factory, models, spellings):
    tables = []
    for model, spelling in zip(models, spellings, strict=True):
        folder = tmp_path_factory.mktemp("side")
        info, rows = rows_of(model.table(spelling, folder), folder)
        further = sorted(set(model.labels) - set(model.known))
        assert info.class_names[: len(model.known)] == tuple(model.known)
        assert sorted(info.class_names[len(model.known) :]) == further
        assert info.known_classes == (tuple(model.known) if further else ())
        assert ("logits" in info.columns) is not bool(further)
        names = np.array(info.class_names, dtype=object)
        assert list(names[rows["label"]]) == list(model.labels)
        assert list(names[rows["prediction"]]) == list(model.said)
        np.testing.assert_allclose(rows["label_confidence"], model.of_label, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(rows["confidence"], model.probabilities.max(axis=1), rtol=1e-5)
        tables.append(Predictions.load(folder / "saved.parquet"))
    found = compare(*tables)
    labels, known = models[0].labels, [set(model.known) for model in models]
    everything = np.ones(len(labels), bool)
    assert four(found.counts) == counted(models, everything)
    assert tables[1].nfr(tables[0]) == pytest.approx(counted(models, everything)[1] / len(labels))
    neither = {name: int((labels == name).sum()) for name in set(labels) - known[0] - known[1]}
    assert found.unknown_labels == neither
    if known[0] == known[1]:
        assert found.class_change is None
        return
    change = found.class_change
    assert (set(change.new), set(change.gone)) == (known[1] - known[0], known[0] - known[1])
    assert change.inferred == ()
    on_shared, on_new = (np.isin(labels, list(part)) for part in (known[0], known[1] - known[0]))
    assert four(found.counts_on("shared")) == counted(models, on_shared)
    assert four(found.counts_on("new")) == counted(models, on_new)


def test_spellings_give_one_table(tmp_path):
    labels = np.array(["png", "npz", "gif", "svg", "png"], dtype=object)
    model = Model.random(0, ["zip", "png", "gif"], labels)
    _, first = rows_of(model.table("arrays", tmp_path), tmp_path)
    for spelling in set(SPELLINGS) - {"arrays numbered", "csv numbered"}:
        info, rows = rows_of(model.table(spelling, tmp_path), tmp_path)
        assert info.class_names == ("zip", "png", "gif", "npz", "svg"), spelling
        assert rows.drop_columns("confidence").equals(first.drop_columns("confidence")), spelling


def test_a_class_without_examples_is_unknown_all_the_same():
    # The person says that there is a class dog, and no score belongs to it.
    about = {"sample_ids": ["a", "b"], "class_names": ["dog", "cat", "owl"], "known_classes": ["owl", "cat"]}
    table = Predictions.from_arrays([1, 2], probabilities=[[0.4, 0.6], [0.7, 0.3]], **about)
    assert (table.info.class_names, table.info.known_classes) == (("owl", "cat", "dog"), ("owl", "cat"))
    assert table.accuracy() == 1
    # All classes, in the order of the scores and not in that of the class numbers.
    about["known_classes"] = ["owl", "dog", "cat"]
    table = Predictions.from_arrays([0, 2], probabilities=np.eye(3)[[1, 0]], **about)
    assert (table.info.class_names, table.info.known_classes) == (("owl", "dog", "cat"), ())
    assert table.accuracy() == 1


def test_columns_that_name_scores_beat_the_order_of_the_classes(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,label,prob_dog,prob_cat\n1,0,0.1,0.9\n2,1,0.8,0.2\n")
    table = Predictions.from_file(path, class_names=("cat", "dog"))
    assert (table.info.class_names, table.accuracy()) == (("dog", "cat"), 1)


def test_classes_that_are_called_by_numbers():
    shares = np.eye(3)[[0, 1, 2, 0]]
    given = {"sample_ids": list("abcd"), "probabilities": shares, "class_names": ["0", "1", "2"]}
    table = Predictions.from_arrays(["0", "1", "2", "7"], **given)
    assert (table.info.class_names, table.info.known_classes) == (("0", "1", "2", "7"), ("0", "1", "2"))
    assert table.accuracy() == 0.75
    # A number in an array is a class number, and 7 is none.
    with pytest.raises(PctError, match="Label 7 is outside 0 to 2: check the class names, or give names"):
        Predictions.from_arrays([0, 1, 2, 7], **given)
    with pytest.raises(PctError, match="The label '7' of 'd' is no class of 0, 1, 2"):
        Predictions.from_arrays([0, 1, 2, 7], sample_ids=list("abcd"), probabilities=shares)


def test_a_warning_names_the_labels(caplog):
    given = {"sample_ids": list("abc"), "class_names": ["cat", "dog"], "probabilities": np.eye(2)[[0, 1, 0]]}
    with caplog.at_level(logging.WARNING, "pct_mlops"):
        Predictions.from_arrays(["cat", "dog", "cat"], **given)
        assert caplog.text == ""
        Predictions.from_arrays(["cat", "owl", "cta"], model_name="pets", **given)
    (record,) = caplog.records
    assert record.getMessage() == (
        "pets: the model does not know 2 of the labels (cta, owl), so its predictions for 2 examples count as wrong."
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING, "pct_mlops"):
        frame = {"id": list("abc"), "label": ["cat", "owl", "owl"], "prob_cat": [1, 1, 1], "prob_dog": [0, 0, 0]}
        Predictions.from_frame(frame)
    assert "does not know 1 of the labels (owl), so its predictions for 2 examples count as wrong" in caplog.text


THREE = {"class_names": ["cat", "dog", "owl"], "known_classes": ["dog", "cat"]}
REFUSED = {
    "a prediction": ({"predictions": ["cat", "owl"]}, "The prediction 'owl' of 'b' is no class of cat, dog: list all"),
    "no label": ({"labels": ["owl", "bee"]}, "label 'bee' of 'b' is no class of cat, dog, and no other label is"),
    "a label without a name": ({"labels": ["", "cat"]}, "an empty one"),
    "no number": ({"labels": [2, 2], **THREE}, "no label that the model knows"),
    "a number that is said": (
        {"labels": [2, 0], "predictions": [2, 0], **THREE},
        "'owl' of 'a' is no class of dog, cat",
    ),
    "a known class that is none": ({"known_classes": ["cat", "dgo"]}, "Unknown class in known_classes 'dgo'"),
    "scores of others": ({"known_classes": ["cat"]}, "probabilities have 2 classes, but there are 1 known_classes"),
    "more names": ({"class_names": ["cat", "dog", "owl"]}, "3 class names: name those that have scores in known"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    change, says = REFUSED[case]
    given = {"labels": ["cat", "dog"], "sample_ids": ["a", "b"], "class_names": ["cat", "dog"], **change}
    with pytest.raises(PctError, match=says):
        Predictions.from_arrays(probabilities=np.eye(2), **given)


def test_the_metadata_is_checked(tmp_path):
    labels = np.array(["cat", "owl"], dtype=object)
    path = Model.random(0, ["cat", "dog"], labels).table("arrays", tmp_path).save(tmp_path / "t.parquet").path
    table = pq.read_table(path)
    assert table.schema.metadata[b"pct.known_classes"] == b'["cat", "dog"]'
    for wrong in (b"[]", b'["cat", "cow"]', b'["cat", "cat"]', b'["cat", "dog", "owl"]', b"{"):
        metadata = {**table.schema.metadata, b"pct.known_classes": wrong}
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "wrong.parquet")
        with pytest.raises(PctError, match="damaged metadata"):
            read_info(tmp_path / "wrong.parquet")
    # A table whose model predicts a class that it does not know cannot be right.
    about = {"sample_ids": ["a", "b"], "class_names": ["cat", "dog", "owl"]}
    other = Predictions.from_arrays([0, 2], probabilities=np.eye(3)[[0, 2]], **about).save(tmp_path / "o.parquet")
    rows = pq.read_table(other.path)
    metadata = {**rows.schema.metadata, b"pct.known_classes": b'["cat", "dog"]'}
    pq.write_table(rows.replace_schema_metadata(metadata), tmp_path / "lies.parquet")
    with pytest.raises(PctError, match="predicts 'owl', which is none of the classes that its model knows"):
        compare(Predictions.load(tmp_path / "lies.parquet"), other)


def test_an_ensemble_needs_the_logits_of_every_class(tmp_path):
    labels = np.array(["cat", "owl", "dog"], dtype=object)
    old, new = (Model.random(1, known, labels) for known in (["cat", "dog"], ["cat", "dog", "owl"]))
    tables = [model.table("arrays", tmp_path) for model in (old, new)]
    with pytest.raises(PctError, match="does not know owl: give models that know the same classes"):
        tables[0] + tables[1]
    with pytest.raises(PctError, match="does not know owl"):
        tables[1] + tables[0]


def test_labels_that_neither_model_knows_are_told(tmp_path):
    labels = np.array(["cat", "owl", "dog", "owl"], dtype=object)
    tables = [Model.random(seed, ["cat", "dog"], labels).table("arrays", tmp_path) for seed in (1, 2)]
    found = compare(*tables)
    assert (found.class_change, found.unknown_labels) == (None, {"owl": 2})
    assert unknown_labels_sentence(found) == (
        "Neither model knows the label of 2 examples (owl), so both count as wrong on them: check the class names if "
        "one should know it."
    )


def test_updated_labels_are_known_to_either_model(tmp_path):
    from pct_mlops.predictions import UpdateRule, updated

    labels = np.array(["cat", "dog", "owl", "bee"] * 6, dtype=object)
    tables = [
        Model.random(seed, known, labels).table("arrays", tmp_path)
        for seed, known in ((1, ["cat", "dog"]), (2, ["dog", "cat", "owl"]))
    ]
    vals = []
    for seed, known in ((3, ["cat", "dog"]), (4, ["dog", "cat", "owl"])):
        val = Model.random(seed, known, labels)
        val.ids = [f"val/{name}" for name in val.ids]
        vals.append(val.table("arrays", tmp_path))
    table = updated(*tables, stored_val=vals[0], new_val=vals[1], rule=UpdateRule())
    assert set(table.info.known_classes) == {"cat", "dog", "owl"}
    assert set(table.info.class_names) == {"cat", "dog", "owl", "bee"}
