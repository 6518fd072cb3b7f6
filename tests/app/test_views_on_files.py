"""The three views over two local files: the numbers, the filters, the address, and what goes wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pct_mlops.comparison import compare
from pct_mlops.config import Policy
from pct_mlops.explorer.components import verdict_banner
from pct_mlops.gate import decide
from pct_mlops.predictions import Predictions


def figure(app, index=0):
    return json.loads(app.get("plotly_chart")[index].proto.spec)


def negative(truth):
    return (truth.old == truth.labels) & (truth.new != truth.labels)


def test_overview_shows_the_counts_and_the_rates(explore, files, truth):
    app = explore(*files)

    assert not app.exception
    rate = f"{100 * negative(truth).mean():.2f}%"
    assert {metric.label: metric.value for metric in app.metric}["NFR"] == rate
    labels = " ".join(note["text"] for note in figure(app)["layout"]["annotations"])
    assert f"<b>{negative(truth).sum()}</b> · {rate}" in labels
    assert "no policy was given" in app.info[0].value


@pytest.mark.parametrize(("kind", "leads"), [("positive", True), ("both_wrong", True), ("both_right", False)])
def test_a_clicked_area_leads_to_its_examples(explore, files, kind, leads):
    app = explore(*files)
    kinds = [trace["customdata"][0][0] for trace in figure(app)["data"]]
    assert kinds == ["both_right", "negative", "positive", "both_wrong"]

    app.session_state["go_to_kind"] = kind
    app.run()

    assert not app.exception
    assert (app.title[0].value == "Which inputs flipped?") is leads
    assert app.query_params.get("kind") == (kind if leads else None)


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


def test_classes_draw_both_figures_and_keep_the_order_in_the_address(explore, files):
    app = explore(*files, view="classes", order="name")

    assert not app.exception
    names = figure(app)["layout"]["yaxis"]["ticktext"]
    assert names[-1] == "bee (100)"
    assert app.query_params["order"] == "name"
    app.button_group(key="order").set_value("pfr").run()
    assert app.query_params["order"] == "pfr"


def test_a_clicked_cell_links_to_its_examples(explore, files, truth, links_of):
    app = explore(*files, view="classes")
    point = next(p for p in figure(app, 1)["data"][1]["customdata"])
    app.session_state["matrix"] = {"selection": {"points": [{"customdata": point}], "point_indices": []}}

    app.run()

    link = links_of(app)[0].proto
    assert "target=" in link.query_string
    assert "answer=" in link.query_string


def test_a_clicked_bar_links_to_its_kind_of_flips(explore, files, links_of):
    app = explore(*files, view="classes")
    app.session_state["bars"] = {"selection": {"points": [{"customdata": [1, "positive"]}], "point_indices": []}}

    app.run()

    link = links_of(app)[0].proto
    assert link.label == "Positive flips of class bee"
    assert "kind=positive" in link.query_string
    assert "target=bee" in link.query_string
    assert app.query_params["in_bars"] == "1-positive"
    app.session_state["bars"] = {"selection": {"points": [], "point_indices": []}}
    assert not links_of(app.run())
    assert "in_bars" not in app.query_params


@pytest.mark.parametrize(
    ("query", "label"),
    [
        ({"in_bars": "1-positive"}, "Positive flips of class bee"),
        ({"in_matrix": "0-1"}, "Flips from ant to bee"),
        ({"in_bars": "negative-negative"}, None),
        ({"in_matrix": "4-1"}, None),
        ({"in_matrix": "<b>"}, None),
    ],
)
def test_a_copied_address_leads_where_the_clicked_chart_led(explore, files, links_of, query, label):
    app = explore(*files, view="classes", **query)

    assert not app.exception
    assert [link.proto.label for link in links_of(app)] == ([label] if label else [])
    assert {name: app.query_params.get(name) for name in query} == {
        name: query[name] if label else None for name in query
    }


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


def test_of_many_classes_the_worst_are_shown_and_the_others_found(explore, folder, make_table):
    names = [f"kind {index:02d}" for index in range(40)]
    ids, labels = [f"test/{index:04d}" for index in range(400)], np.arange(400) % 40
    wrong = np.where((labels == 7) & (np.arange(400) < 100), 8, labels)
    for version, predicted in ((1, labels), (2, wrong)):
        make_table(ids, labels, predicted, version, names=names).save(folder / f"many{version}.parquet")

    app = explore(folder / "many1.parquet", folder / "many2.parquet", view="classes")
    said = " ".join(caption.value for caption in app.caption)
    assert "The first 30 of 40 classes" in said
    assert "The 1 target and 1 prediction with" in said
    assert figure(app)["layout"]["yaxis"]["ticktext"][0] == "kind 07 (10)"

    app.text_input(key="find").set_value("KIND 39").run()
    assert app.query_params["find"] == "KIND 39"
    assert figure(app)["layout"]["yaxis"]["ticktext"] == ["kind 39 (10)"]
    assert len(app.get("plotly_chart")) == 1
    assert "None of the classes found has negative flips" in app.info[0].value
    app.text_input(key="find").set_value("<b>zebra</b>").run()
    assert "No class name contains" in app.info[0].value


def test_a_click_left_over_from_a_larger_model_is_ignored(explore, files, links_of):
    app = explore(*files, view="classes")
    app.session_state["matrix"] = {"selection": {"points": [{"customdata": [900, 1]}], "point_indices": []}}

    app.run()

    assert not app.exception
    assert not links_of(app)
