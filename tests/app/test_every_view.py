"""What may be wrong with every view in front of it: one sentence and what to do, no traceback, no markup."""

from __future__ import annotations

from pathlib import Path

from pct_mlops.explorer.queries import pairs
from pct_mlops.gate import Mark, ReviewKind
from pct_mlops.gate.reviews import Review
from pct_mlops.registry import Registry, add_review
from pct_mlops.registry.registry import IMAGES_TAG

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<img src=x onerror=alert(1)> **b** [a](http://evil.invalid)"
VIEWS = ("overview", "classes", "examples", "slices", "tradeoff", "gate", "review")
# They are about a model's versions, and say of files only that they have none.
OF_VERSIONS = ("tradeoff", "review")


def walked(app):
    """The explorer on each of its views in turn, as by its menu."""
    for view in VIEWS:
        app.switch_page(f"views/{view}.py").run()
        assert not app.exception, view
        yield view, app


def said(elements):
    return [element.value.replace("\\", "") for element in elements]


def everything(app, html_of):
    """All that a page shows which the browser reads as markup."""
    texts = [*app.markdown, *app.caption, *app.info, *app.error, *app.warning, *app.success, *app.title, *app.subheader]
    charts = [chart.proto.spec for chart in app.get("plotly_chart")]
    return html_of(app) + "".join(charts), [text.value for text in texts]


def test_there_is_no_other_view():
    assert sorted(VIEWS) == sorted(file.stem for file in (ROOT / "app" / "views").glob("*.py"))


def test_each_view_opens_from_its_own_address(explore, files):
    titles = [explore(*files, view=view).title[0].value for view in VIEWS]

    assert len(set(titles)) == len(VIEWS)


def test_a_server_that_is_down_is_said_on_every_view(explore, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    app = explore("--tracking-uri", "http://127.0.0.1:9")

    for view, page in walked(app):
        assert len(page.error) == 1, view
        assert "127.0.0.1:9 does not respond" in said(page.error)[0], view
        assert [button.label for button in page.button] == ["Try again"], view
    app.button[0].click().run()
    assert not app.exception
    assert len(app.error) == 1


def test_versions_without_predictions_are_said_on_every_view(explore, shelf):
    app = explore("--tracking-uri", shelf.uri, model="bare")

    for view, page in walked(app):
        if view == "tradeoff":
            assert "pct score bare/" in said(page.expander[0].markdown)[0]
        else:
            assert "pct score bare/" in said(page.error)[0], view


def test_tables_of_other_examples_are_said_on_every_view(explore, files, folder, make_table, truth):
    make_table(truth.ids[:50], truth.labels[:50], truth.labels[:50], 3).save(folder / "fewer.parquet")
    app = explore(files[0], folder / "fewer.parquet")

    for view, page in walked(app):
        if view in OF_VERSIONS:
            assert "files" in said(page.info)[0], view
        else:
            assert len(page.error) == 1, view
            assert "350 examples only in the old table" in said(page.error)[0], view
            assert page.button[-1].label == "Try again", view


def test_a_hostile_class_name_is_markup_on_no_view(explore, files, folder, html_of):
    app = explore(*files, "--policy", folder / "strict.yaml")

    for view, page in walked(app):
        html, texts = everything(page, html_of)
        assert "<img src=x" not in html, view
        assert not any("<img src=x" in text.replace("\\<", "") for text in texts), view
        assert not any("http://evil" in text for text in texts), view
        if view in ("overview", "classes", "examples"):
            assert "onerror=alert(1)&gt;" in html or "&lt;img" in html, view


def test_hostile_words_of_reviewers_are_markup_on_no_view(explore, desk, model, truth, html_of):
    registry = Registry(desk.uri)
    version = registry.get(model, 2)
    flip = truth.ids[int(((truth.old == truth.labels) & (truth.new != truth.labels)).argmax())]
    add_review(registry, version, Review(ReviewKind.MARK, HOSTILE, HOSTILE, "", mark=Mark.BLOCKER, samples=(flip,)))
    add_review(registry, version, Review(ReviewKind.REJECT, HOSTILE, HOSTILE, "", baseline=1))
    app = explore("--tracking-uri", desk.uri, "--policy", desk.policy, model=model)

    shown = set()
    for view, page in walked(app):
        html, texts = everything(page, html_of)
        assert "<img src=x" not in html, view
        assert not any("<img src=x" in text.replace("\\<", "") for text in texts), view
        assert not any("http://evil" in text for text in texts), view
        shown |= {view} if any("onerror" in text for text in texts) else set()
    assert "review" in shown


def test_an_alias_that_moves_is_a_notice_on_every_view_and_all_stay(explore, desk, model):
    app = explore("--tracking-uri", desk.uri, model=model)
    desk.add(model, desk.tables[0], "production")
    pairs.versions.clear()

    for view, page in walked(app):
        assert "production moved from version 1 to 3" in said(page.warning)[0], view
        assert (page.query_params["old"], page.query_params["new"]) == ("1", "2"), view


def test_thumbnails_that_are_gone_leave_the_rest_of_the_gallery(explore, desk, model, html_of):
    digest = desk.tables[1].info.digest
    Registry(desk.uri).forget_example_file("images", digest)  # another test of this process may have read them
    desk.client.set_registered_model_tag(model, IMAGES_TAG + digest[:16], f"runs:/{'0' * 32}/images/gone.parquet")

    app = explore("--tracking-uri", desk.uri, view="examples", model=model)

    assert not app.exception
    assert not app.error
    assert html_of(app).count("<figure") == 24
    assert any("The next training stores them" in caption for caption in said(app.caption))
