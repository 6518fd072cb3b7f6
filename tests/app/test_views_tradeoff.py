"""Trade-off and history: every version's rates, the moves of production, a sweep's methods, and what is missing."""

from __future__ import annotations

import json

import pytest

from pct_mlops.comparison import compare
from pct_mlops.predictions import Predictions
from pct_mlops.reports import SeedResult, methods_csv, summarise

HOSTILE = "<script>alert(1)</script> **b**"


def move(old, new, verdict, day, **changes):
    record = {"policy_digest": "", "report": "", "who": "maria", "reason": ""}
    when = f"2026-01-{day:02d}T10:00:00+00:00"
    return {"from_version": old, "to_version": new, "verdict": verdict, "when": when, **record, **changes}


@pytest.fixture(scope="module")
def moved(shelf, folder):
    """A model whose production went 1, 2, back to 1, then 3 and 5; version 4 has no predictions. Two sweeps."""
    from pct_mlops.registry import Registry

    Registry(shelf.uri)  # mlflow remembers the last store that was opened, and another test may have opened one
    old, new = (Predictions.load(folder / f"{which}.parquet") for which in ("old", "new"))
    shelf.add("zoo", old, pct__loss="none", pct__arch=HOSTILE)
    shelf.add("zoo", new)
    shelf.add("zoo", old)
    shelf.add("zoo", None)
    shelf.add("zoo", new, "production")
    records = [
        move(None, 1, "BOOTSTRAP", 1),
        move(1, 2, "PASS", 2),
        move(2, 1, "ROLLBACK", 3, reason=HOSTILE),
        move(1, 4, "PASS", 4),
        move(4, 5, "PASS", 5),
    ]
    shelf.add("zoo-candidates", new, pct__loss="cna")
    for number, record in enumerate(records):
        shelf.client.set_registered_model_tag("zoo", f"pct.history.{number + 1:06d}-x", json.dumps(record))
    results = [
        SeedResult(name, seed, {"accuracy": accuracy, "nfr": nfr, "relative_nfr": 0.1, "pfr": 0.05})
        for name, accuracy, nfr in (("none", 0.9, 0.03), ("cna", 0.89, 0.01))
        for seed in (1, 2)
    ]
    for _ in range(2):  # at the same moment, as far as a title says
        run = shelf.client.create_run(
            shelf.experiment, start_time=1, tags={"pct.sweep": "x", "pct.baseline": "models:/zoo/1"}
        )
        shelf.client.log_text(run.info.run_id, methods_csv(summarise(results)), "sweep/methods.csv")
    return shelf


def open_on(explore, shelf, **query):
    return explore("--tracking-uri", shelf.uri, view="tradeoff", **query)


def chart(app, index):
    return json.loads(app.get("plotly_chart")[index].proto.spec)


def test_versions_are_measured_against_production_and_against_the_one_before(explore, moved, files, links_of):
    app = open_on(explore, moved, model="zoo")

    assert not app.exception
    expected = compare(Predictions.load(files[1]), Predictions.load(files[0])).estimate("nfr").value
    texts = [text for trace in chart(app, 0)["data"] for text in trace.get("hovertext") or []]
    assert any(f"NFR {expected:.2%}" in text and "loss: none" in text for text in texts)
    assert not any("<script" in text for text in texts)
    assert [expander.label for expander in app.expander] == ["1 version left out"]
    assert "pct score zoo/4" in app.expander[0].markdown[0].value.replace("\\", "")

    app.session_state["pareto"] = {"selection": {"points": [{"customdata": ["5-1"]}], "point_indices": []}}
    app.run()
    link = links_of(app)[0].proto
    assert link.label == "Compare version 1 with version 5"
    assert {"model=zoo", "old=5", "new=1"} <= set(link.query_string.split("&"))
    assert app.query_params["in_pareto"] == "5-1"

    app.button_group(key="against").set_value("before").run()
    assert app.query_params["against"] == "before"
    assert app.expander[0].label == "3 versions left out"


def test_moves_show_what_they_flipped_and_what_that_adds_up_to(explore, moved, files, html_of, marks_of):
    app = open_on(explore, moved, model="zoo")

    forth = compare(*map(Predictions.load, files)).counts.negative_flips
    back = compare(*map(Predictions.load, reversed(files))).counts.negative_flips
    html = html_of(app)
    assert html.count("<tr>") == 6
    assert f"{forth:,}</td>" in html
    assert f"{forth + back:,}</td>" in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    marks = marks_of(app)
    assert [mark.says.split(", ")[-1] for mark in marks] == [f"{forth} so far", f"{forth + back} so far"]
    assert [mark.view for mark in marks] == ["./", "./"]
    assert {mark.query["model"] for mark in marks} == {"zoo"}
    assert [mark.says.split(", ")[0] for mark in marks] == [
        f"{mark.query['old']} → {mark.query['new']}" for mark in marks
    ]


def test_a_stored_sweep_is_drawn(explore, moved):
    app = open_on(explore, moved, model="zoo")

    texts = [text for trace in chart(app, 1)["data"] for text in trace.get("hovertext") or []]
    assert any("cna" in text and "accuracy 89.00%" in text for text in texts)
    titles = app.selectbox(key="sweep").options
    assert all("against version 1" in title for title in titles)
    assert len(set(titles)) == 2


def test_only_a_batch_is_compared_until_more_is_asked_for(explore, moved, monkeypatch):
    from pct_mlops.explorer.queries import version_rates

    monkeypatch.setattr(version_rates, "BATCH", 2)
    app = open_on(explore, moved, model="zoo")
    assert "The newest 2 of 4" in " ".join(caption.value for caption in app.caption)

    app.button(key="more_versions").click().run()

    assert app.query_params["versions"] == "2"
    assert not any(button.key == "more_versions" for button in app.button)


def test_files_have_no_history_and_a_model_without_moves_says_how_to_make_one(explore, files, shelf):
    app = explore(*files, view="tradeoff")
    assert not app.exception
    assert "have no history" in app.info[0].value

    app = open_on(explore, shelf, model="pets")
    assert not app.exception
    assert "Production never moved" in app.info[0].value


def test_an_address_that_names_nothing_gives_a_notice(explore, moved):
    app = open_on(explore, moved, model="zoo", against="bogus", versions="99", sweep="<b>")

    assert not app.exception
    assert len(app.warning) == 3


def test_candidates_of_a_model_of_their_own_are_measured_against_its_production(explore, moved):
    app = open_on(explore, moved, model="zoo", new_model="zoo-candidates")

    assert not app.exception
    assert "All versions of zoo-candidates" in app.caption[0].value.replace("\\", "")
    texts = [text for trace in chart(app, 0)["data"] for text in trace.get("hovertext") or []]
    assert any("against version 5" in text and "loss: cna" in text for text in texts)
    assert "Production never moved" not in " ".join(info.value for info in app.info)
