"""One example large, the filters that lead to it, and the files of a selection."""

from __future__ import annotations

import io
from dataclasses import fields

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pct_mlops.comparison import FlipFilter, FlipRow, compare
from pct_mlops.explorer.queries import example_facts, flip_pages, pairs
from pct_mlops.explorer.queries.flip_pages import Asked
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.predictions import Predictions


def negative(truth):
    return (truth.old == truth.labels) & (truth.new != truth.labels)


def press(app, label):
    next(button for button in app.button if button.label == label).click().run()


@pytest.fixture
def pair(files):
    return Pair(*map(pairs.file_table, files), "old", "new")


def in_order(files, **filters):
    return [row.sample_id for row in compare(*map(Predictions.load, files)).flips(limit=400, **filters)]


def test_the_large_view_shows_the_image_and_what_both_models_found_likely(explore, files, folder, truth, html_of):
    index = int(np.flatnonzero(negative(truth))[0])
    app = explore(*files, "--images", folder / "images.parquet", view="examples", example=truth.ids[index])

    assert not app.exception
    html = html_of(app)
    assert app.title[0].value == "Negative flip"
    assert html.count("data:image/png;base64,") == 1
    assert html.count("pct-track") - html.count(".pct-track") == 2 * 4, "all four classes, of both models"
    for which in files:
        row = Predictions.load(which)
        found = compare(row, Predictions.load(files[1])).example(truth.ids[index])
        assert f"{found.old_confidence:.2%}" in html
    assert any("no features are stored" in caption.value for caption in app.caption)
    assert app.query_params["example"] == truth.ids[index]


def test_next_and_previous_follow_the_gallery_across_pages(explore, files):
    ids = in_order(files)
    app = explore(*files, view="examples", example=ids[23])

    press(app, "Next")
    assert (app.query_params["example"], app.query_params["page"]) == (ids[24], "2")
    assert any(f"25 of {len(ids)} negative flips" in caption.value for caption in app.caption)
    press(app, "Previous")
    assert app.query_params["example"] == ids[23]
    assert "page" not in app.query_params


def test_leaving_the_large_view_restores_the_gallery_that_led_there(explore, files, html_of):
    ids = in_order(files, kind="positive")
    app = explore(*files, view="examples", kind="positive", example=ids[1])
    press(app, "Next")
    press(app, "Previous")

    press(app, "Gallery")

    assert "example" not in app.query_params
    assert app.button_group(key="kind").value == "positive"
    assert html_of(app).count("<figure") == min(len(ids), 24)


def test_an_example_that_did_not_flip_is_shown_too_and_one_that_is_nowhere_is_said(explore, files, truth):
    same = truth.ids[int(np.flatnonzero((truth.old == truth.labels) & (truth.new == truth.labels))[0])]
    assert explore(*files, view="examples", example=same).title[0].value == "Both right"

    app = explore(*files, view="examples", example="<b>nowhere</b>")
    assert not app.exception
    assert "no example" in app.info[0].value
    assert "<b>" not in app.info[0].value


def test_neighbours_come_from_the_features_of_the_new_table(explore, files, folder, truth, html_of):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(truth.ids), 6)).astype(np.float32)
    features[5] = features[3] * 2
    old = Predictions.load(files[0])
    table = Predictions.from_arrays(
        truth.ids, truth.labels, np.eye(4)[truth.new], class_names=old.info.class_names, features=features, split="test"
    ).save(folder / "with_features.parquet")

    app = explore(files[0], table.path, view="examples", example=truth.ids[3])

    html = html_of(app)
    assert html.count("<figure") == 8
    assert html.index(f'title="{truth.ids[5]}"') < html.index("<figure", html.index("<figure") + 1)


@pytest.mark.parametrize(
    ("query", "filters"),
    [
        ({"type": "1"}, {"type_": 1}),
        pytest.param({"type": "2"}, {"type_": 2}, marks=pytest.mark.thorough),
        ({"conf": "80-90"}, {"confidence_range": (0.8, 0.9)}),
        ({"was": "bee", "kind": "all"}, {"kind": "all", "old_prediction": 1}),
        ({"column": "light", "value": "night"}, {"slice": ("light", "night")}),
    ],
)
def test_filters_in_the_address_show_what_the_comparison_finds(explore, sliced, query, filters):
    app = explore(*sliced, view="examples", **query)

    expected = compare(*map(Predictions.load, sliced)).num_flips(filters.pop("kind", "negative"), **filters)
    assert not app.exception
    assert not app.warning
    assert f"**{expected}** found" in [text.value for text in app.markdown] or (expected == 0 and app.info)
    assert {key: app.query_params[key] for key in query} == query


@pytest.fixture(scope="module")
def sliced(folder, truth):
    rng = np.random.default_rng(1)
    light = np.where(rng.random(len(truth.ids)) < 0.3, "night", "day").tolist()
    files = []
    for name, answers in (("old", truth.old), ("new", truth.new)):
        logits = rng.normal(0, 0.3, (len(answers), 4)).astype(np.float32)
        logits[np.arange(len(answers)), answers] += rng.uniform(1, 4, len(answers))
        table = Predictions.from_arrays(
            truth.ids,
            truth.labels,
            logits,
            class_names=["ant", "bee", "cat", "dog"],
            split="test",
            slices={"light": light},
        )
        files.append(table.save(folder / f"sliced-{name}.parquet").path)
    return files


@pytest.mark.parametrize(
    "query",
    [
        {"conf": "90-10"},
        {"column": "weather"},
        *(
            pytest.param(query, marks=pytest.mark.thorough)
            for query in ({"conf": "a"}, {"type": "3"}, {"was": "zebra"}, {"reviewed": "maybe"})
        ),
    ],
)
def test_filters_that_name_nothing_give_a_notice_and_the_default(explore, sliced, query):
    app = explore(*sliced, view="examples", **query)

    assert not app.exception
    assert "which is not here" in app.warning[0].value
    assert next(iter(query)) not in app.query_params


def test_clearing_the_filters_behind_the_button_leaves_the_others(explore, sliced):
    app = explore(*sliced, view="examples", target="bee", conf="0-99", column="light", value="day")

    press(app, "Clear these")

    assert app.query_params["target"] == "bee"
    assert not {"conf", "column", "value"} & set(app.query_params)


def test_exported_files_hold_the_selection_in_its_order(files, pair):
    asked = Asked(FlipFilter("positive", target=1), "sample_id")
    ids = in_order(files, kind="positive", target=1, sort="sample_id")

    csv = pyarrow.csv.read_csv(io.BytesIO(example_facts.export_ids(pair, asked)))
    table = pq.read_table(io.BytesIO(example_facts.export_table(pair, asked)))

    assert csv.column_names == ["sample_id"]
    assert csv["sample_id"].to_pylist() == table["sample_id"].to_pylist() == ids
    assert set(table["label"].to_pylist()) == {"bee"}


def test_a_selection_of_whole_batches_is_exported_with_every_column_of_a_flip(pair, monkeypatch):
    asked = Asked(FlipFilter("all"))
    total = flip_pages.num_flips(pair, asked)
    monkeypatch.setattr(example_facts, "_BATCH", total)

    table = pq.read_table(io.BytesIO(example_facts.export_table(pair, asked)))

    assert table.num_rows == total
    assert table.column_names == [field.name for field in fields(FlipRow)]
    csv = pyarrow.csv.read_csv(io.BytesIO(example_facts.export_ids(pair, asked)))
    assert csv["sample_id"].to_pylist() == table["sample_id"].to_pylist()


def test_an_exported_selection_is_cut_and_put_together_in_batches(pair, monkeypatch):
    monkeypatch.setattr(example_facts, "_BATCH", 10)
    monkeypatch.setattr(example_facts, "MAX_EXPORT", 25)

    table = pq.read_table(io.BytesIO(example_facts.export_table(pair, Asked(FlipFilter("all")))))

    assert table.num_rows == 30, "whole batches, the last one begun before the limit"
    assert len(set(table["sample_id"].to_pylist())) == 30
