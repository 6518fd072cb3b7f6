"""The three views over two local files: the numbers, the filters, the address, and what goes wrong."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest

from pct_mlops.comparison import compare
from pct_mlops.config import Policy
from pct_mlops.explorer.components import verdict_banner
from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.queries.rates_csv import rates_csv
from pct_mlops.gate import decide
from pct_mlops.predictions import Predictions


def row_names(html):
    """The rows of a chart of bars, as they are named."""
    return re.findall(r'<span class="pct-label" title="([^"]*)">', html)


def negative(truth):
    return (truth.old == truth.labels) & (truth.new != truth.labels)


def test_overview_shows_the_counts_and_the_rates(explore, files, truth, html_of):
    app = explore(*files)

    assert not app.exception
    rate = f"{100 * negative(truth).mean():.2f}%"
    assert {metric.label: metric.value for metric in app.metric}["NFR"] == rate
    assert f"<b>{negative(truth).sum()}</b> · {rate}" in html_of(app)
    assert not app.get("plotly_chart"), "its code alone is twice the rest of the page"
    assert "no policy was given" in app.info[0].value


def test_an_area_leads_to_its_examples_and_both_say_one_number(explore, files, truth, marks_of):
    marks = marks_of(explore(*files))

    assert [mark.query.get("kind", "negative") for mark in marks] == ["negative", "positive", "both_wrong"]
    wrong = (truth.old != truth.labels) & (truth.new != truth.labels)
    changed = (wrong & (truth.old != truth.new)).sum()
    assert changed > 0
    assert marks[2].says.startswith(f"Both wrong: {wrong.sum()} of 400")
    assert f"{changed} differently, {wrong.sum() - changed} alike" in marks[2].says
    for mark in marks:
        assert mark.view == "examples"
        app = explore(*files, view="examples", **mark.query)
        found = found_on(app)
        assert f"{found} " in mark.says


def found_on(app):
    return re.search(r"\*\*([\d,]+)\*\* found", " ".join(text.value for text in app.markdown))[1]


def test_both_wrong_says_which_examples_are_not_listed(explore, tmp_path, truth, make_table):
    old = np.where(np.arange(len(truth.ids)) < 40, (truth.labels + 1) % 4, truth.labels)
    new = np.where(np.arange(len(truth.ids)) < 10, (truth.labels + 2) % 4, old)
    for version, predicted in ((1, old), (2, new)):
        make_table(truth.ids, truth.labels, predicted, version).save(tmp_path / f"{version}.parquet")
    both = [tmp_path / "1.parquet", tmp_path / "2.parquet"]

    app = explore(*both, view="examples", kind="both_wrong")
    assert found_on(app) == "10"
    assert any("40 examples = 10 with another wrong prediction" in note.value for note in app.caption)
    app = explore(*both, view="examples", kind="both_wrong", target="ant")
    assert not any("40 examples" in note.value for note in app.caption), "it is about all examples, without a filter"


@pytest.mark.parametrize("name", ["strict", "lenient"])
def test_overview_shows_what_the_gate_decides(explore, files, folder, html_of, name):
    policy = folder / f"{name}.yaml"
    decision = decide(Policy.read(policy), compare(*map(Predictions.load, files)))

    app = explore(*files, "--policy", policy)

    banner = (app.success if str(decision.verdict) == "PASS" else app.error)[0]
    assert str(decision.verdict) in banner.value
    # Of a refusal, what it is about, without a look further down.
    against = [check.sentence for check in decision.checks if str(check.verdict) != "PASS"]
    shown = banner.value.replace("\\", "")
    assert against[: verdict_banner.REASONS] == [sentence for sentence in against if sentence in shown]
    assert all(f"{check.value:.2%}" in html_of(app) for check in decision.checks)


def test_a_broken_policy_is_one_sentence_and_the_rest_stays(explore, files, folder):
    (folder / "broken.yaml").write_text("rules: [{metrik: nfr}]")

    app = explore(*files, "--policy", folder / "broken.yaml")

    assert not app.exception
    assert "metrik" in app.error[0].value
    assert app.metric


def test_classes_draw_both_charts_and_keep_the_order_in_the_address(explore, files, html_of):
    app = explore(*files, view="classes", order="name")

    assert not app.exception
    assert not app.get("plotly_chart")
    assert row_names(html_of(app))[-1] == "bee"
    assert '<th scope="row"' in html_of(app)
    assert app.query_params["order"] == "name"
    assert [button.label for button in app.get("download_button")] == ["Save as CSV"]
    app.button_group(key="order").set_value("pfr").run()
    assert app.query_params["order"] == "pfr"


def test_the_rates_of_all_classes_are_saved_as_csv(make_table):
    labels = np.array([0] * 8 + [1] * 2)
    tables = [
        make_table([str(i) for i in range(10)], labels, predicted, version, names=["a,b", "c", "d"])
        for version, predicted in ((1, labels), (2, np.array([1] * 2 + [0] * 6 + [1] * 2)))
    ]
    comparison = compare(*tables)
    rows = [pairs.rates_of(comparison, part, part.name, class_index=part.index) for part in comparison.classes()]

    found = list(csv.DictReader(io.StringIO(rates_csv("class", lambda: rows).decode())))

    assert [row["class"] for row in found] == ["a,b", "c", "d"]
    assert (found[0]["examples"], found[0]["nfr"], found[0]["pfr"], found[0]["accuracy_new"]) == (
        "8",
        "0.25",
        "0.0",
        "0.75",
    )
    assert float(found[0]["nfr_lower"]) < 0.25 < float(found[0]["nfr_upper"])
    assert found[2]["nfr"] == "", "a class without examples has no rate"


def test_every_mark_leads_to_as_many_examples_as_it_says(explore, files, marks_of):
    marks = marks_of(explore(*files, view="classes"))
    cells = [mark for mark in marks if "answer" in mark.query]
    bars = [mark for mark in marks if mark not in cells and mark.query.get("kind") != "all"]
    assert cells
    assert {mark.query.get("kind", "negative") for mark in bars} == {"negative", "positive"}

    for mark in (cells[0], *bars[:2], next(mark for mark in bars if mark.query["target"] == "bee")):
        app = explore(*files, view=mark.view, **mark.query)
        assert not app.exception
        assert not app.warning, "the link names nothing that is not here"
        found = found_on(app)
        assert f" {found} of 100 examples" in mark.says or mark.says.startswith(f"{found} of class")


def test_an_address_of_an_earlier_click_opens_as_ever(explore, files):
    app = explore(*files, view="classes", in_bars="1-positive", in_matrix="<b>")

    assert not app.exception
    assert not app.warning


def test_examples_show_a_page_of_negative_flips_with_their_images(explore, files, folder, truth, html_of):
    app = explore(*files, "--images", folder / "images.parquet", view="examples")

    html = html_of(app)
    ids = {truth.ids[i] for i in np.flatnonzero(negative(truth))}
    assert html.count("<figure") == 24
    assert sum(f'title="{sample}"' in html for sample in ids) == 24
    with_image = html.count("data:image/png;base64,")
    assert 0 < with_image < 24
    assert html.count("image not stored") == 24 - with_image
    assert f"**{negative(truth).sum()}** found" in [text.value for text in app.markdown]


def test_examples_without_any_images_say_so(explore, files, html_of):
    app = explore(*files, view="examples")

    assert html_of(app).count("<figure") == 24
    assert "image not stored" not in html_of(app), "no room is left for what is nowhere"
    assert any("No images are stored" in caption.value for caption in app.caption)


def test_the_address_restores_filters_and_page(explore, files, truth, html_of):
    app = explore(*files, view="examples", kind="positive", target="bee", sort="sample_id")

    wanted = (truth.old != truth.labels) & (truth.new == truth.labels) & (truth.labels == 1)
    assert html_of(app).count("<figure") == wanted.sum()
    app = explore(*files, view="examples", sort="sample_id", page="2")
    second = np.array(truth.ids)[negative(truth)][24]
    assert html_of(app).index("<figure") < html_of(app).index(f'title="{second}"')
    assert app.query_params["page"] == "2"


def test_a_filter_goes_to_the_address_and_back_to_page_one(explore, files, truth, html_of):
    app = explore(*files, view="examples", page="2")

    app.selectbox(key="target").select("bee").run()

    assert app.query_params["target"] == "bee"
    assert "page" not in app.query_params
    assert html_of(app).count("<figure") == min((negative(truth) & (truth.labels == 1)).sum(), 24)


@pytest.mark.parametrize(
    ("view", "query"),
    [
        ("examples", {"kind": "bogus"}),
        ("examples", {"target": "zebra"}),
        ("examples", {"answer": "<b>"}),
        ("examples", {"sort": "'; DROP TABLE"}),
        ("examples", {"page": "99"}),
        ("examples", {"page": "-1"}),
        ("classes", {"order": "bogus"}),
    ],
)
def test_an_address_that_names_nothing_gives_a_notice_and_the_default(explore, files, view, query):
    app = explore(*files, view=view, **query)

    assert not app.exception
    assert "which is not here" in app.warning[0].value
    assert not app.error
    assert app.query_params.get(next(iter(query))) != next(iter(query.values()))


def test_no_flips_are_good_news(explore, files, folder):
    same = folder / "same.parquet"
    Predictions.load(files[0]).save(same)

    assert "no negative flips" in explore(files[0], same, view="classes").info[0].value
    assert "No negative flips" in explore(files[0], same, view="examples").info[0].value
    assert not explore(files[0], same).exception


def test_a_missing_file_is_one_sentence(explore, files, folder):
    app = explore(files[0], folder / "nowhere.parquet")

    assert not app.exception
    assert "nowhere" in app.error[0].value


def test_the_same_table_twice_is_one_sentence(explore, files):
    assert "same table" in explore(files[0], files[0]).error[0].value


def test_of_many_classes_the_worst_are_shown_and_the_others_found(explore, folder, make_table, html_of):
    names = [f"kind {index:02d}" for index in range(40)]
    ids, labels = [f"test/{index:04d}" for index in range(400)], np.arange(400) % 40
    wrong = np.where((labels == 7) & (np.arange(400) < 100), 8, labels)
    for version, predicted in ((1, labels), (2, wrong)):
        make_table(ids, labels, predicted, version, names=names).save(folder / f"many{version}.parquet")

    app = explore(folder / "many1.parquet", folder / "many2.parquet", view="classes")
    said = " ".join(caption.value for caption in app.caption)
    assert "The first 30 of 40 classes" in said
    assert app.get("download_button")[0].label == "All 40 as CSV"
    assert "The 1 target and 1 prediction with" in said
    assert row_names(html_of(app))[0] == "kind 07"

    app.text_input(key="find").set_value("KIND 39").run()
    assert app.query_params["find"] == "KIND 39"
    assert row_names(html_of(app)) == ["kind 39"]
    assert "<th scope" not in html_of(app)
    assert "None of the classes found has negative flips" in app.info[0].value
    app.text_input(key="find").set_value("<b>zebra</b>").run()
    assert "No class name contains" in app.info[0].value
