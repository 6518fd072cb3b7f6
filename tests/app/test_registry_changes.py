"""What differs between versions, a model of candidates, aliases that move, and a server that does not answer."""

from __future__ import annotations

import socket
import threading

import pytest

from app import store

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

    assert any("Neither side carries a recipe" in caption.value for caption in app.caption)


def test_an_alias_that_moves_is_a_notice_and_the_view_stays(explore, desk, model):
    app = open_on(explore, desk, model=model)
    desk.add(model, desk.tables[0], "production")
    store.versions.clear()
    app.run()

    assert not app.exception
    assert "production moved from version 1 to 3" in app.warning[0].value
    assert (app.query_params["old"], app.query_params["new"]) == ("1", "2")
    next(button for button in app.button if button.label == "Show the present ones").click().run()
    assert (app.query_params["old"], app.query_params["new"]) == ("3", "2")
    assert not app.warning


@pytest.mark.thorough
def test_an_alias_on_the_command_line_that_moves_is_a_notice_too(explore, desk, model):
    app = open_on(explore, desk, f"{model}@production", f"{model}/2")
    desk.add(model, desk.tables[0], "production")
    store._resolved.clear()
    app.run()

    assert "has moved to version 3" in app.warning[0].value.replace("\\", "")
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


@pytest.mark.thorough
def test_a_model_of_candidates_that_is_not_there_is_a_notice(explore, desk, model):
    app = open_on(explore, desk, model=model, new_model="nowhere")

    assert not app.exception
    assert "which is not here" in app.warning[0].value


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
