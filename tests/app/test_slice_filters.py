"""Slice columns as filters of the gallery: too many values, none, empty ones, numbers, and hostile names."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pct_mlops.comparison import joined_pairs as counted
from pct_mlops.explorer.queries import pairs
from pct_mlops.predictions import Predictions

HOSTILE = "<b onclick=x>a\"b'; DROP TABLE pairs; --[x](http://evil.invalid)$y$"


@pytest.fixture(scope="module")
def columns(truth):
    """By name: one value per example, numbers, fractions, some without a value, an empty one, and markup."""
    places = range(len(truth.ids))
    return {
        "uid": [f"u{i:05d}" for i in places],
        "size": [i % 7 for i in places],
        "ratio": [i % 4 / 4 for i in places],
        "weather": ["sun" if i % 3 else None for i in places],
        "note": ["" if i % 5 == 0 else "(empty)" if i % 5 == 1 else "x" for i in places],
        "remark": ["" if i % 5 else "x" for i in places],
        HOSTILE: [HOSTILE if i % 2 else "calm" for i in places],
    }


@pytest.fixture(scope="module")
def policy(folder, truth, columns):
    pq.write_table(pa.table({"sample_id": truth.ids, **columns}), folder / "columns.parquet")
    (folder / "sliced.yaml").write_text("rules: [{metric: nfr, max: 0.5}]\nslices: {file: columns.parquet}\n")
    return folder / "sliced.yaml"


@pytest.fixture
def open_on(explore, files, policy):
    return lambda view="examples", **query: explore(*files, "--policy", policy, view=view, **query)


def negatives(truth, chosen):
    return int(((truth.old == truth.labels) & (truth.new != truth.labels) & np.array(chosen)).sum())


def found(app):
    assert not app.exception
    assert not app.error
    assert not app.warning
    return [text.value for text in app.markdown if text.value.endswith(" found")]


@pytest.mark.parametrize(
    ("column", "shown", "value"),
    [
        ("size", "3", 3),
        pytest.param("ratio", "0.25", 0.25, marks=pytest.mark.thorough),
        ("weather", "(none)", None),
        pytest.param("note", "(empty)", "(empty)", marks=pytest.mark.thorough),
        ("remark", "(empty)", ""),
        (HOSTILE, HOSTILE, HOSTILE),
    ],
)
def test_every_kind_of_value_filters(open_on, truth, columns, column, shown, value):
    expected = negatives(truth, [item == value for item in columns[column]])

    app = open_on(column=column, value=shown)

    assert expected
    assert found(app) == [f"**{expected}** found"]
    assert (app.query_params["column"], app.query_params["value"]) == (column, shown)


@pytest.fixture
def few(monkeypatch):
    """So that the 400 values of a small table are too many."""
    monkeypatch.setattr(counted, "MAX_SLICES", 50)
    pairs._comparison.clear()  # what was counted under the other limit
    yield
    pairs._comparison.clear()


def test_of_too_many_values_one_is_typed(open_on, truth, few):
    flip = int(np.flatnonzero((truth.old == truth.labels) & (truth.new != truth.labels))[0])
    app = open_on(column="uid")
    assert not app.exception
    assert not app.error
    assert app.text_input(key="value").value in ("", None)

    app.text_input(key="value").set_value(f"u{flip:05d}").run()
    assert found(app) == ["**1** found"]
    assert app.query_params["value"] == f"u{flip:05d}"

    app.text_input(key="value").set_value("<b>nothing</b>").run()
    assert "remove filters" in app.info[0].value
    next(button for button in app.button if button.label == "Clear all filters").click().run()
    assert not {"column", "value"} & set(app.query_params)
    assert found(app) == [f"**{negatives(truth, [True] * len(truth.ids))}** found"]


def test_another_column_after_a_typed_value_starts_anew(open_on, few):
    app = open_on(column="uid", value="u00001")

    app.selectbox(key="column").select("size").run()

    assert not app.exception
    assert app.selectbox(key="value").value is None
    assert "value" not in app.query_params
    app.selectbox(key="column").select("uid").run()
    assert not app.exception
    assert app.text_input(key="value").value in ("", None)


def test_a_typed_value_leads_the_large_view_too(open_on, truth, few):
    flip = int(np.flatnonzero((truth.old == truth.labels) & (truth.new != truth.labels))[3])

    app = open_on(column="uid", value=f"u{flip:05d}", example=truth.ids[flip])

    assert not app.exception
    assert any("1 of 1 negative flips" in caption.value for caption in app.caption)


def test_the_view_of_slices_shows_all_of_them_and_no_markup(open_on, few, html_of, marks_of):
    app = open_on("slices", by=HOSTILE)
    assert not app.exception
    assert not app.error
    assert "<b onclick" not in html_of(app)
    assert "&lt;b onclick" in html_of(app)
    assert "uid" in app.selectbox(key="by").options
    assert any(mark.query.get("column") == HOSTILE for mark in marks_of(app))

    app = open_on("slices", by="uid")
    assert not app.exception
    assert "more than 50 values" in app.warning[0].value.replace("\\", "")


def test_an_empty_value_leads_to_its_examples(open_on, marks_of):
    app = open_on("slices", by="remark")

    assert any(mark.query["value"] == "(empty)" for mark in marks_of(app) if mark.query["column"] == "remark")


@pytest.mark.thorough
def test_a_column_of_a_hundred_thousand_values(explore, tmp_path):
    num = 100_000
    ids, labels = [f"test/{i:06d}" for i in range(num)], np.arange(num) % 3
    for version, wrong in ((1, 50), (2, 9)):
        predicted = np.where(np.arange(num) % wrong == 0, (labels + 1) % 3, labels)
        Predictions.from_arrays(
            ids,
            labels,
            np.eye(3, dtype=np.float32)[predicted],
            class_names=("a", "b", "c"),
            model_version=version,
            split="test",
            slices={"uid": [f"u{i}" for i in range(num)], "tenth": [f"t{i % 10_000}" for i in range(num)]},
        ).save(tmp_path / f"{version}.parquet")
    files = tmp_path / "1.parquet", tmp_path / "2.parquet"

    app = explore(*files, view="examples", column="uid", value="u9")
    assert found(app) == ["**1** found"]
    app = explore(*files, view="examples", column="tenth", value="t18")
    assert found(app) == ["**2** found"]
    for column in ("uid", "tenth"):
        app = explore(*files, view="slices", by=column)
        assert not app.exception
        assert not app.error
