"""Slices: what the search found, the rates of a column, links to the examples, and what to do without columns."""

from __future__ import annotations

import numpy as np
import pytest

from pct_mlops.comparison import compare
from pct_mlops.config import PctError
from pct_mlops.predictions import Predictions

HOSTILE = "<img src=x onerror=alert(1)>"
HOURS = ("day", "night", HOSTILE)


@pytest.fixture(scope="module")
def sliced(folder, truth):
    """Two tables with the columns hour (all excess at night) and site (40 values)."""
    rng = np.random.default_rng(3)
    hours = [HOURS[i] for i in rng.integers(0, 3, len(truth.ids))]
    night = np.array([hour == "night" for hour in hours])
    new = np.where(night & (rng.random(len(truth.ids)) < 0.3), (truth.labels + 2) % 4, truth.old)
    paths = []
    for version, predicted in ((1, truth.old), (2, new)):
        logits = np.eye(4, dtype=np.float32)[predicted] * 5
        slices = {"hour": hours, "site": [f"site {i % 40}" for i in range(len(hours))]}
        names = ["a", "b", "c", "d"]
        table = Predictions.from_arrays(
            truth.ids, truth.labels, logits, class_names=names, model_version=version, split="test", slices=slices
        )
        paths.append(folder / f"sliced{version}.parquet")
        table.save(paths[-1])
    return tuple(paths)


def test_the_slice_that_loses_is_found_and_its_bar_leads_to_its_examples(explore, sliced, marks_of, html_of):
    app = explore(*sliced, view="slices")

    assert not app.exception
    assert not app.info
    first = compare(*map(Predictions.load, sliced)).find_slices()[0]
    assert (first.column, first.value) == ("hour", "night")
    mark = marks_of(app)[0]
    assert mark.says.startswith(f"hour: night, negative flips: NFR {first.nfr:.2%}")
    assert f"{first.flips} of {first.support} examples" in mark.says
    assert mark.view == "examples"
    assert mark.query == {"column": "hour", "value": "night"}
    assert f"<small>({first.support})</small>" in html_of(app)


def test_the_rates_of_a_column_are_those_of_the_comparison(explore, sliced, marks_of, html_of):
    app = explore(*sliced, view="slices", by="hour", order="name")

    expected = compare(*map(Predictions.load, sliced)).estimate("nfr", slice=("hour", "night")).value
    marks = [mark for mark in marks_of(app) if mark.query.get("column") == "hour"]
    assert any(mark.says.startswith(f"night, negative flips: NFR {expected:.2%}") for mark in marks)
    assert {mark.query.get("kind", "negative") for mark in marks} >= {"negative", "all"}
    assert "<img" not in html_of(app)
    assert app.query_params["order"] == "name"


def test_a_column_of_many_values_shows_the_first_and_can_be_searched(explore, sliced, html_of):
    app = explore(*sliced, view="slices", by="site")
    assert "The first 30 of 40" in " ".join(caption.value for caption in app.caption)

    app.text_input(key="find").set_value("site 39").run()

    assert app.query_params["find"] == "site 39"
    assert html_of(app).count(">site 39 <small>") == 1
    assert ">site 38 <small>" not in html_of(app)
    app.text_input(key="find").set_value("zebra").run()
    assert "No value contains" in app.info[-1].value


def test_a_search_that_finds_nothing_says_so(explore, sliced):
    app = explore(sliced[0], sliced[0].with_name("copy.parquet"), view="slices")
    assert "nowhere" not in app.error[0].value

    Predictions.load(sliced[0]).save(sliced[0].with_name("copy.parquet"))
    app = explore(sliced[0], sliced[0].with_name("copy.parquet"), view="slices")
    assert not app.exception
    assert "flips surely more" in app.info[0].value


def test_without_columns_it_says_how_to_get_them(explore, files):
    app = explore(*files, view="slices")

    assert not app.exception
    assert "No slices are known" in app.info[0].value
    assert "slices: {file: slices.csv}" in app.markdown[0].value


def test_an_address_that_names_nothing_gives_notices(explore, sliced):
    app = explore(*sliced, view="slices", by="zebra", order="<b>")

    assert not app.exception
    assert ["which is not here" in notice.value for notice in app.warning] == [True] * 2


def test_a_column_that_cannot_be_sliced_leaves_the_others_to_choose(explore, sliced, monkeypatch):
    from pct_mlops.explorer.queries import slice_search

    def refuse(pair, column):
        raise PctError(f"Column '{column}' has too many values.")

    monkeypatch.setattr(slice_search, "slice_counts", refuse)
    app = explore(*sliced, view="slices", by="site")

    assert not app.exception
    assert not app.error
    assert "Column 'site' has too many values" in app.warning[0].value.replace("\\", "")
    assert app.selectbox(key="by").value == "site"
    assert app.query_params["by"] == "site"
