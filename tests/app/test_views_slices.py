"""Slices: what the search found, the rates of a column, links to the examples, and what to do without columns."""

from __future__ import annotations

import json

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


def chart(app, index):
    return json.loads(app.get("plotly_chart")[index].proto.spec)


def test_the_slice_that_loses_is_found_and_a_click_leads_to_its_examples(explore, sliced, links_of):
    app = explore(*sliced, view="slices")

    assert not app.exception
    assert not app.info
    first = compare(*map(Predictions.load, sliced)).find_slices()[0]
    assert (first.column, first.value) == ("hour", "night")
    assert chart(app, 0)["layout"]["yaxis"]["ticktext"][0] == f"hour: night ({first.support})"
    assert f"{first.nfr:.2%}" in chart(app, 0)["data"][0]["hovertext"][0]

    app.session_state["found_slices"] = {"selection": {"points": [{"customdata": [0]}], "point_indices": []}}
    app.run()
    query = links_of(app)[0].proto.query_string
    assert "column=hour" in query
    assert "value=night" in query


def test_the_rates_of_a_column_are_those_of_the_comparison(explore, sliced, links_of):
    app = explore(*sliced, view="slices", by="hour", order="name")

    expected = compare(*map(Predictions.load, sliced)).estimate("nfr", slice=("hour", "night")).value
    spec = chart(app, 1)
    assert any(f"NFR {expected:.2%}" in text for trace in spec["data"] for text in trace["hovertext"])
    assert "<img" not in app.get("plotly_chart")[1].proto.spec
    assert app.query_params["order"] == "name"

    app.session_state["column_0"] = {"selection": {"points": [{"customdata": [0, "all"]}], "point_indices": []}}
    app.run()
    assert "kind=all" in links_of(app)[0].proto.query_string


def test_a_column_of_many_values_shows_the_first_and_can_be_searched(explore, sliced):
    app = explore(*sliced, view="slices", by="site")
    assert "The first 30 of 40" in " ".join(caption.value for caption in app.caption)

    app.text_input(key="find").set_value("site 39").run()

    assert app.query_params["find"] == "site 39"
    assert len(chart(app, 1)["layout"]["yaxis"]["ticktext"]) == 1
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
