"""Links to what is not there: an error with menus to choose from, and the verdict on nothing else."""

from __future__ import annotations

import pytest
from streamlit.runtime.pages_manager import PagesManager

from pct_mlops.explorer.queries import pairs


@pytest.mark.parametrize(
    ("query", "sentence", "menu"),
    [
        ({"model": "nope"}, "The registry has no model 'nope'", "model"),
        ({"model": "pets", "old": "2", "new": "99"}, "new version asked for, '99', is none of model pets", "new"),
        ({"model": "pets", "old": "77", "new": "x"}, "'77', is none of model pets. The new version", "old"),
        ({"model": "pets", "new_model": "nope"}, "no model 'nope', of which the link asks", "new_model"),
    ],
)
def test_what_is_not_there_is_an_error_with_a_menu_and_no_verdict(explore, shelf, folder, query, sentence, menu):
    app = explore("--tracking-uri", shelf.uri, "--policy", folder / "lenient.yaml", **query)

    assert not app.exception
    assert [sentence in error.value.replace("\\", "") for error in app.error] == [True]
    assert not [*app.success, *app.warning, *app.metric, *app.title]
    assert app.selectbox(key=menu).options[0] == f"{query[menu]} · unknown"
    assert dict(app.query_params) == query, "the address still says what was asked for"

    choice = {"model": "pets", "new": "3", "old": "2", "new_model": "pets"}[menu]
    app.selectbox(key=menu).select(choice).run()
    if query.get("new") == "x":
        app.selectbox(key="new").select("3").run()
    assert not app.error
    assert dict(app.query_params) == {"model": "pets", "old": "2", "new": "3"}
    assert "PASS" in app.success[0].value
    assert "unknown" not in str([box.options for box in app.selectbox])


def test_a_model_of_the_command_line_that_is_not_there_is_an_error_too(explore, shelf):
    app = explore("--tracking-uri", shelf.uri, "--model", "nope")

    assert "no model 'nope'" in app.error[0].value
    assert not app.title


def test_a_version_that_is_deleted_while_one_looks_is_not_replaced_by_another(explore, desk, model):
    desk.add(model, desk.tables[1])
    app = explore("--tracking-uri", desk.uri, "--policy", desk.policy, model=model, old="1", new="3")
    assert app.success
    desk.client.delete_model_version(model, "3")
    pairs.versions.clear()

    app.run()

    assert not app.exception
    assert "'3', is none of model" in app.error[0].value.replace("\\", "")
    assert not [*app.success, *app.metric]
    assert app.query_params["new"] == "3"


def test_an_address_of_no_view_says_so_and_judges_nothing(explore, files, folder, monkeypatch):
    monkeypatch.setattr(PagesManager, "intended_page_name", "nosuch*page*")

    app = explore(*files, "--policy", folder / "lenient.yaml")

    assert not app.exception
    assert app.title[0].value == "There is no such page"
    assert "no page 'nosuch\\*page\\*'" in app.error[0].value
    assert not [*app.success, *app.metric]
    assert [link.proto.label for link in app.get("page_link")][:2] == ["Overview", "Classes"]
