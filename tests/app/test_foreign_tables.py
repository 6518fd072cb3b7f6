"""The explorer on files of other programs: of predictions alone, and with classes in another order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pct_mlops.explorer.queries import example_facts, pairs
from pct_mlops.predictions import Predictions

VIEWS = ("overview", "classes", "examples", "slices", "gate")


@pytest.fixture
def foreign(tmp_path, truth):
    """(old, new) as CSV of names alone, and as JSON lines of numbers with probabilities of classes in another order."""
    names = np.array(["ant", "bee", "cow", "dog"])
    columns = {"id": truth.ids, "gold": names[truth.labels], "site": ["x", "y"] * (len(truth.ids) // 2)}
    pd.DataFrame({**columns, "pred": names[truth.old]}).to_csv(tmp_path / "old.csv", index=False)
    shares = np.full((len(truth.ids), 4), 0.1)
    shares[np.arange(len(shares)), truth.new] = 0.7
    for place in (2, 0, 3, 1):
        columns[f"prob_{names[place]}"] = shares[:, place]
    pd.DataFrame(columns).to_json(tmp_path / "new.jsonl", orient="records", lines=True)
    return tmp_path / "old.csv", tmp_path / "new.jsonl"


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_opens(explore, foreign, view):
    app = explore(*foreign, "--columns", "label=gold", view=view)
    assert not app.exception
    # A verdict stands in such a box, too.
    assert [error.value for error in app.error if "must not go into production" not in error.value] == []


def test_an_example_shows_what_is_known(explore, foreign, truth, html_of):
    lost = int(np.flatnonzero((truth.old == truth.labels) & (truth.new != truth.labels))[0])
    app = explore(*foreign, "--columns", "label=gold", view="examples", example=truth.ids[lost])
    assert not app.exception
    assert [error.value for error in app.error] == []
    names = ["ant", "bee", "cow", "dog"]
    old, new = html_of(app).split('pct-dist"')[1:3]
    assert "not known" in old
    assert names[truth.labels[lost]] in old
    first = new.split("pct-line")[1]
    assert names[truth.new[lost]] in first
    assert "70.00%" in first


def test_the_likeliest_classes_are_those_of_a_table_with_an_order_of_its_own(tmp_path):
    words = {"sample_ids": ["a", "b"], "split": "test"}
    old = Predictions.from_arrays([0, 2], logits=[[3.0, 0, 1], [0, 1, 3]], class_names=["z", "y", "x"], **words)
    new = Predictions.from_arrays([2, 0], logits=[[0, 1.0, 3], [3, 1, 0]], class_names=["x", "y", "z"], **words)
    files = (old.save(tmp_path / "old.parquet").path, new.save(tmp_path / "new.parquet").path)
    pair = pairs.Pair(*map(pairs.file_table, files), "old", "new")
    for table, expected in ((pair.old, [2, 0, 1]), (pair.new, [2, 1, 0])):
        assert [index for index, _ in example_facts.likeliest(pair, table, "a")] == expected


@pytest.fixture
def changed(tmp_path, truth):
    """(old, new) as CSV: the new model knows a class that the old one does not, and loses on the others."""
    names = np.array(["ant", "bee", "cow", "dog"])
    labels = names[truth.labels]
    columns = {"id": truth.ids, "label": labels}
    old = np.where(labels == "dog", "cow", labels)
    new = np.where(np.arange(len(labels)) % 40 == 0, "bee", labels)
    for name, said in (("old", old), ("new", new)):
        pd.DataFrame({**columns, "prediction": said}).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path / "old.csv", tmp_path / "new.csv"


@pytest.mark.parametrize("view", ["overview", "classes", "examples"])
def test_a_pair_whose_classes_changed_opens(explore, changed, view):
    app = explore(*changed, view=view)
    assert not app.exception
    assert [error.value for error in app.error] == []
    if view == "overview":
        (warning,) = [item.value for item in app.warning if "old model predicts at least once" in item.value]
        assert "accuracy fell from 100" in warning
        assert any("1 \\(dog\\) never predicted by the old model" in item.value for item in app.caption)


@pytest.fixture
def labels_only(foreign, truth, tmp_path):
    """(old, new), both CSV of predictions alone."""
    names = np.array(["ant", "bee", "cow", "dog"])
    columns = {"id": truth.ids, "gold": names[truth.labels], "pred": names[truth.new]}
    pd.DataFrame(columns).to_csv(tmp_path / "new.csv", index=False)
    return foreign[0], tmp_path / "new.csv"


def captions(app):
    return [item.value.replace("\\", "") for item in app.caption]


def test_what_needs_confidences_is_off_and_says_why(explore, labels_only, truth, html_of):
    app = explore(*labels_only, "--columns", "label=gold", view="examples")
    assert app.selectbox(key="sort").options == ["sample id"]
    assert app.slider(key="conf").disabled
    assert app.selectbox(key="type").disabled
    assert [text for text in captions(app) if text.startswith("Off: ")] == [
        "Off: sort by target confidence lost, type of negative flip (neither table has label_confidence); sort by new "
        "confidence, range of new confidence (the new table has no confidence); sort by old confidence, sort by flip "
        "risk (the old table has no confidence)."
    ]
    assert html_of(app).count("<figure") == min(((truth.old == truth.labels) & (truth.new != truth.labels)).sum(), 24)
    assert "sort" not in app.query_params


def test_a_link_that_filters_by_confidence_shows_every_example(explore, labels_only, truth, html_of):
    everything = explore(*labels_only, "--columns", "label=gold", view="examples", kind="all")
    query = {"kind": "all", "conf": "20-90", "type": "1", "sort": "confidence_lost"}
    app = explore(*labels_only, "--columns", "label=gold", view="examples", **query)
    assert not app.exception
    said = " ".join(item.value.replace("\\", "") for item in app.warning)
    assert "a range of confidences, but the new table has no confidence" in said
    assert "asks for type '1', which is not here" in said
    assert html_of(app).count("<figure") == html_of(everything).count("<figure") == 24
    assert set(app.query_params) == {"kind"}
    # The large view draws no filters, and walks through the same examples.
    changed = np.flatnonzero(truth.old != truth.new)
    opened = explore(*labels_only, "--columns", "label=gold", view="examples", example=truth.ids[changed[1]], **query)
    assert not opened.exception
    assert f"2 of {len(changed)} all changed predictions" in captions(opened)


def test_one_side_with_confidences_keeps_what_it_can(explore, foreign):
    app = explore(*foreign, "--columns", "label=gold", view="examples")
    assert app.selectbox(key="sort").options == ["new confidence", "sample id"]
    assert not app.slider(key="conf").disabled
    assert "the old table has no label_confidence" in " ".join(captions(app))


def test_where_all_is_known_nothing_is_off(explore, files):
    app = explore(*files, view="examples")
    assert len(app.selectbox(key="sort").options) == 5
    assert not app.slider(key="conf").disabled
    assert not any(text.startswith("Off: ") for text in captions(app))


def test_the_overview_says_that_a_metric_is_not_available(explore, labels_only, html_of, tmp_path):
    (tmp_path / "policy.yaml").write_text("rules: [{metric: ece_new, max: 0.9, bound: point}, {metric: nfr, max: 0.9}]")
    app = explore(*labels_only, "--columns", "label=gold", "--policy", tmp_path / "policy.yaml")
    assert not app.exception
    assert "not available</td>" in html_of(app)
    assert "ece_new is not available: the new table has no confidence." in html_of(app)
    told = [text for text in captions(app) if text.startswith("Not available: ")]
    assert len(told) == 1
    assert "ece_new (the new table has no confidence)" in told[0]


def test_the_overview_of_complete_tables_has_nothing_to_say_of_it(explore, files, folder, html_of):
    app = explore(*files, "--policy", folder / "strict.yaml")
    assert "not available" not in html_of(app)
    assert not any(text.startswith("Not available: ") for text in captions(app))


def banner(app):
    return " ".join(item.value.replace("\\", "") for box in (app.error, app.success, app.warning) for item in box)


def test_a_copy_is_not_judged_here_either(explore, foreign, tmp_path):
    """The verdict is that of `pct gate` on the same two files."""
    import shutil

    (tmp_path / "policy.yaml").write_text("rules: [{metric: nfr, max: 0.9}]")
    old, new = foreign
    frame = pd.read_csv(old)
    copies = {"bytes": tmp_path / "same.csv", "another format": tmp_path / "same.jsonl"}
    shutil.copy(old, copies["bytes"])
    frame.to_json(copies["another format"], orient="records", lines=True)
    words = ("--columns", "label=gold", "--policy", tmp_path / "policy.yaml")
    for path in copies.values():
        app = explore(old, path, *words)
        assert not app.exception
        assert f"{path} is the baseline itself or a copy of it, so both are the same table: " in banner(app)
    # Predictions that agree in all examples are judged, with the question that the gate asks.
    frame.assign(site="z").to_csv(tmp_path / "other.csv", index=False)
    app = explore(old, tmp_path / "other.csv", *words)
    assert "Both tables hold the same predictions: is the candidate's file a copy" in banner(app)
    assert "a copy" not in banner(explore(old, new, *words))
