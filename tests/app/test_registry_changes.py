"""What differs between versions, a model of candidates, aliases that move, and a server that does not answer."""

from __future__ import annotations

import itertools
import socket
import threading

import pytest

from pct_mlops.config import PctError
from pct_mlops.explorer.queries import example_facts, pairs
from pct_mlops.registry import Registry

RECIPE = "model_name: pets\nmodel: {name: small_resnet14, kwargs: {width: %d}}\nobjective: {loss: %s}\n"


def open_on(explore, desk, *words, **query):
    return explore("--tracking-uri", desk.uri, *words, **query)


def test_what_changed_in_the_recipe_stands_on_the_overview(explore, desk, model, tmp_path, html_of):
    for version, values in ((1, (16, "none")), (2, (16, "<b>cna</b>"))):
        file = tmp_path / str(version) / "recipe.yaml"
        file.parent.mkdir()
        file.write_text(RECIPE % values)
        desk.add_file(model, version, file)

    html = html_of(open_on(explore, desk, model=model))

    assert "objective.loss" in html
    assert "&lt;b&gt;cna&lt;/b&gt;" in html
    assert "model.kwargs.width" not in html


@pytest.mark.thorough
def test_without_recipes_the_overview_says_so(explore, desk, model):
    app = open_on(explore, desk, model=model)

    assert any("not both sides carry one" in caption.value for caption in app.caption)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in itertools.pairwise("abcdefghijklm")
)


def test_a_recipe_that_is_a_bomb_is_one_sentence_and_the_overview_stays(explore, desk, model, tmp_path):
    (tmp_path / "recipe.yaml").write_text(BOMB)
    desk.add_file(model, 2, tmp_path / "recipe.yaml")

    app = open_on(explore, desk, model=model)

    assert not app.exception
    assert not app.error
    assert "once its anchors are written out" in app.warning[0].value
    assert app.metric


DOWN = "The tracking server does not answer: start it."


def pair_of(desk, model):
    return pairs.Pair(pairs.VersionTable(desk.uri, model, 1), pairs.VersionTable(desk.uri, model, 2), "", "")


def test_a_server_that_fails_for_a_moment_is_not_taken_for_missing_files(desk, model, truth, monkeypatch):
    pairs.forget_tables()
    pair, sample = pair_of(desk, model), truth.ids[0]
    desk.add(model, None)
    newest = example_facts.newest(pair)
    read = pairs.predictions

    def fail(table):
        raise PctError(DOWN)

    with monkeypatch.context() as broken:
        broken.setattr(pairs, "predictions", fail)
        assert {past.problem for past in example_facts.example_history(pair, sample, newest)} == {DOWN}
        broken.setattr(pairs, "predictions", read)
        broken.setattr(Registry, "download", lambda *words: fail(None))
        with pytest.raises(PctError, match="does not answer"):
            example_facts.changes(pair)
    example_facts.example_history.clear()  # as time does

    latest, *others = example_facts.example_history(pair, sample, newest)
    assert f"pct score {model}/3" in latest.problem
    assert [(past.version, past.problem) for past in others] == [(2, ""), (1, "")]
    assert all(past.answer for past in others)
    assert example_facts.changes(pair)[1] is False


def test_the_past_of_an_example_is_looked_up_where_the_address_asks_for_it(
    explore, desk, model, truth, monkeypatch, html_of
):
    monkeypatch.setattr(example_facts, "SMALL", 10)
    app = open_on(explore, desk, view="examples", model=model, example=truth.ids[0])
    assert "confidence</th>" not in html_of(app)

    app.toggle(key="past").set_value(True).run()
    assert app.query_params["past"] == "yes"
    assert html_of(app).count('<tr class="pct-here">') == 2
    del app.query_params["past"]  # as the browser's back button
    app.run()
    assert not app.toggle(key="past").value


def test_an_alias_that_moves_is_a_notice_and_the_view_stays(explore, desk, model):
    app = open_on(explore, desk, model=model)
    desk.add(model, desk.tables[0], "production")
    pairs.versions.clear()
    app.run()

    assert not app.exception
    assert "production moved from version 1 to 3" in app.warning[0].value
    assert (app.query_params["old"], app.query_params["new"]) == ("1", "2")
    next(button for button in app.button if button.label == "Show the current versions").click().run()
    assert (app.query_params["old"], app.query_params["new"]) == ("3", "2")
    assert not app.warning

    desk.client.delete_registered_model_alias(model, "candidate")
    pairs.versions.clear()
    assert "candidate moved from version 2 to none" in app.run().warning[0].value
    assert (app.query_params["old"], app.query_params["new"]) == ("3", "2")


@pytest.mark.thorough
def test_an_alias_on_the_command_line_that_moves_is_a_notice_too(explore, desk, model):
    app = open_on(explore, desk, f"{model}@production", f"{model}/2")
    desk.add(model, desk.tables[0], "production")
    pairs._resolved.clear()
    app.run()

    assert "has moved to version 3" in app.warning[0].value.replace("\\", "")
    assert "version 1" in app.caption[0].value
    desk.client.delete_registered_model_alias(model, "production")
    pairs._resolved.clear()
    app.run()
    assert not app.error
    assert "stays on version 1" in app.warning[0].value.replace("\\", "")
    assert "version 1" in app.caption[0].value


def test_a_link_of_the_gate_may_name_the_model_of_candidates(explore, desk, model):
    desk.add(f"{model}-candidates", desk.tables[1])
    link = {"model": model, "old": "1", "new": "1", "new_model": f"{model}-candidates"}

    app = open_on(explore, desk, **link)

    assert not app.exception
    assert not app.warning
    assert "candidates version 1" in app.caption[0].value.replace("\\", "")
    assert dict(app.query_params) == link
    app.switch_page("views/classes.py").run()
    assert "candidates version 1" in app.caption[0].value.replace("\\", "")


@pytest.fixture
def silent_server():
    """Takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        kept = []
        thread = threading.Thread(target=lambda: [kept.append(server.accept()) for _ in range(8)], daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for connection, _ in kept:
            connection.close()


def test_a_server_that_is_slow_is_one_sentence_and_a_retry(explore, silent_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")

    app = explore("--tracking-uri", silent_server)

    assert not app.exception
    assert len(app.error) == 1
    assert app.button[0].label == "Try again"
