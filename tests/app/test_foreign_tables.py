"""The explorer on files of other programs: of predictions alone, and with classes in another order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

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
        (warning,) = [item.value for item in app.warning if "old model knows" in item.value]
        assert "accuracy fell from 100" in warning
        assert any("1 \\(dog\\) known to the new model only" in item.value for item in app.caption)
