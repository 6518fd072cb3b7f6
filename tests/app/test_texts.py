"""Examples without images: their text, their row, or one line on how to give them. Nothing in a text acts as markup."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from chromium import ROOT

from pct_mlops.explorer.components.escaping import excerpt, html_passage, middle
from pct_mlops.explorer.components.example_html import change_line
from pct_mlops.explorer.components.gallery import Tile, TilePrediction, gallery
from pct_mlops.predictions import Predictions

HOSTILE = {
    "html": "<b>bold</b> <script>alert(1)</script><img src=x onerror=alert(1)> &lt;",
    "markdown": "# head **b** [a](http://evil.invalid) `code` | a | b |",
    "shortcodes": ":material/delete: :red[x] $\\frac{1}{2}$ $latex$",
    "controls": "nul \0 bell \x07 override \u202e end",
    "right to left": "مرحبا بالعالم",
    "emoji": "👩‍👩‍👧 👍🏽 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "long": "x" * 10_000_000,
}
LONG_ID = "2024-11-03T10:00:00Z/queue/" + "i" * 967 + "-00012"


def unescaped(app_html: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", app_html))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with two tables in which every prediction changed, a row of slices in one, and a file of texts."""
    folder = tmp_path_factory.mktemp("texts")
    ids = [*HOSTILE, LONG_ID, "plain", "absent"]
    labels = np.zeros(len(ids), int)
    words = {"sample_ids": ids, "class_names": ["sport/ski", "sport/judo"], "split": "test"}
    Predictions.from_arrays(labels, predictions=labels, **words).save(folder / "old.parquet")
    Predictions.from_arrays(labels, predictions=1 - labels, features=np.eye(len(ids)), **words).save(
        folder / "new.parquet"
    )
    slices = {"place": ["<i>north</i>"] * len(ids), **{f"column {place}": ["v"] * len(ids) for place in range(7)}}
    Predictions.from_arrays(labels, predictions=1 - labels, slices=slices, **words).save(folder / "sliced.parquet")
    rows = [{"id": key, "text": text} for key, text in HOSTILE.items()]
    rows += [{"id": LONG_ID, "text": "The id of this one is long."}, {"id": "plain", "text": "one\n\n  two\tthree"}]
    pd.DataFrame(rows).to_parquet(folder / "texts.parquet")
    (folder / "texts.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return folder


def shown(work, explore, *words, new="new", **query):
    query = {"kind": "all", "sort": "sample_id", **query}
    app = explore(work / "old.parquet", work / f"{new}.parquet", *words, view="examples", **query)
    assert not app.exception
    return app


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_tiles_show_the_beginning_of_hostile_texts_literally(work, explore, html_of, ending):
    page = html_of(shown(work, explore, "--texts", work / f"texts.{ending}"))

    assert len(page) < 100_000, "of ten million characters a tile holds the first"
    assert page.count("<figure") == len(HOSTILE) + 3
    for forbidden in ("<script", "<img", "<b>bold", "\0", "\x07", "\u202e"):
        assert forbidden not in page
    text = unescaped(page)
    for key in ("html", "markdown", "shortcodes", "right to left", "emoji"):
        assert " ".join(HOSTILE[key].split()) in text
    assert "one two three" in text
    assert "x" * 240 + "…" in text
    assert "x" * 241 not in text
    assert text.count("no text given") == 1, "the one example that the file lacks"


def test_a_long_id_is_cut_in_the_middle_and_is_whole_in_its_title(work, explore, html_of):
    page = html_of(shown(work, explore))

    short = re.search(rf'title="{re.escape(LONG_ID)}">([^<]*)<', page)[1]
    assert len(short) <= 34
    assert re.fullmatch(r"2024-11-03T\S*…\S*-00012", short)
    detail = shown(work, explore, example=LONG_ID)
    assert [item.value for item in detail.code] == [LONG_ID]


@pytest.mark.parametrize("key", list(HOSTILE))
def test_the_large_view_shows_the_whole_text_up_to_20_000_characters(work, explore, html_of, key):
    app = shown(work, explore, "--texts", work / "texts.parquet", example=key)

    page = html_of(app)
    assert page.count('class="pct-whole"') == 1
    whole = html.unescape(re.search(r'class="pct-whole"[^>]*>(.*?)</div>', page, re.DOTALL)[1])
    assert whole == html.unescape(html_passage(HOSTILE[key][:20_000]))
    assert ("The first 20,000 of 10,000,000 characters are shown." in page) is (key == "long")
    assert "<script" not in page
    assert "image not stored" not in page
    assert "sport/<mark>ski</mark>" in page
    assert "sport/<mark>judo</mark>" in page


def test_line_breaks_stay_in_the_large_view_and_neighbours_show_their_texts(work, explore, html_of):
    page = html_of(shown(work, explore, "--texts", work / "texts.parquet", example="plain"))

    assert "one\n\n  two\tthree</div>" in page
    assert "مرحبا بالعالم" in page, "a neighbour"


def test_without_a_text_the_slice_columns_are_the_row(work, explore, html_of):
    app = shown(work, explore, new="sliced")
    gallery_page = html_of(app)
    assert not any("texts FILE" in caption.value for caption in app.caption), "a row is known"
    assert gallery_page.count("&lt;i&gt;north&lt;/i&gt;</td>") == len(HOSTILE) + 3
    assert gallery_page.count("<tr><th") == 6 * (len(HOSTILE) + 3)
    assert "and 2 more" in gallery_page

    app = shown(work, explore, new="sliced", example="plain")
    assert html_of(app).count('<td dir="auto">') == 8
    assert not any("texts FILE" in caption.value for caption in app.caption)

    # A column that the file of texts has, too, stands there once, as in the file.
    pd.DataFrame({"id": ["plain"], "text": ["hello"], "Place": ["south"]}).to_csv(work / "place.csv", index=False)
    page = html_of(shown(work, explore, "--texts", work / "place.csv", new="sliced", example="plain"))
    assert page.count('<td dir="auto">') == 8
    assert "south</td>" in page
    assert "north" not in page


def test_where_nothing_is_known_one_line_says_how_to_give_texts(work, explore, html_of):
    for query in ({}, {"example": "plain"}):
        app = shown(work, explore, **query)
        said = [caption.value.replace("\\", "") for caption in app.caption if "texts FILE" in caption.value]
        assert len(said) == 1
        assert re.match(r"No images? (is|are) stored of th\w+ examples?, and no texts: .*--texts FILE", said[0])
        assert "pct-none" not in html_of(app).split("</style>")[-1]
    assert "Text contains" not in [item.label for item in shown(work, explore).text_input]


def test_texts_are_searched_beside_the_other_filters_and_stand_in_the_address(work, explore, html_of):
    words = ("--texts", work / "texts.parquet")
    app = shown(work, explore, *words, text="BELL \x07")
    assert "**1** found" in [text.value for text in app.markdown]

    app.text_input(key="text").set_value("مرحبا").run()
    assert app.query_params["text"] == "مرحبا"
    assert "**1** found" in [text.value for text in app.markdown]
    assert "مرحبا بالعالم" in html_of(app)
    app.selectbox(key="answer").set_value("sport/ski").run()
    assert "with these filters" in app.info[0].value
    next(button for button in app.button if button.label == "Clear all filters").click().run()
    assert "text" not in app.query_params
    assert f"**{len(HOSTILE) + 3}** found" in [text.value for text in app.markdown]


def test_the_large_view_walks_through_what_was_searched(work, explore):
    app = shown(work, explore, "--texts", work / "texts.jsonl", text=" long ", example=LONG_ID)
    assert any("1 of 1 all changed" in caption.value for caption in app.caption)


def test_a_file_that_is_gone_or_about_other_examples_leaves_the_page_and_says_so(work, explore, html_of, tmp_path):
    pd.DataFrame({"id": ["other"], "text": ["a"]}).to_csv(tmp_path / "other.csv", index=False)
    for path, says in ((tmp_path / "other.csv", "has nothing on the examples"), (tmp_path / "no.csv", "no file")):
        app = shown(work, explore, "--texts", path)
        assert html_of(app).count("<figure") == len(HOSTILE) + 3
        assert any(says in caption.value for caption in app.caption)


def test_texts_that_were_attached_to_a_version_are_shown(make_shelf, explore, work, html_of):
    shelf = make_shelf()
    tables = [Predictions.load(work / f"{name}.parquet") for name in ("old", "new")]
    for table in tables:
        shelf.add("mails", table)
    from pct_mlops.registry.registry import TEXTS_TAG

    pd.DataFrame({"sample_id": ["plain"], "text": ["attached to a version"]}).to_parquet(work / "attached.parquet")
    run = shelf.client.create_run(shelf.experiment).info.run_id
    shelf.client.log_artifact(run, str(work / "attached.parquet"), "texts")
    tag = TEXTS_TAG + tables[1].info.digest[:16]
    shelf.client.set_registered_model_tag("mails", tag, f"runs:/{run}/texts/attached.parquet")

    app = explore("--tracking-uri", shelf.uri, view="examples", kind="all", model="mails", old="1", new="2")

    assert not app.exception
    assert "attached to a version" in html_of(app)
    assert [item.label for item in app.text_input] == ["Text contains"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.csv", None, "There is no file absent.csv"),
        ("broken.parquet", "PAR1", "broken.parquet"),
        ("words.csv", "name,text\n1,a\n", "words.csv has no column sample_id | id"),
        ("other.csv", "id,text\nnobody,a\n", "other.csv has none of the examples of old.parquet"),
    ],
)
def test_a_wrong_file_is_one_sentence_before_the_explorer_starts(work, name, content, says):
    if content is not None:
        (work / name).write_text(content)
    command = [sys.executable, str(ROOT / "pct_mlops" / "__main__.py"), "explore", "old.parquet", "new.parquet"]
    done = subprocess.run(
        [*command, "--texts", name], cwd=work, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_excerpt_ends_at_a_space_and_never_inside_an_emoji():
    assert excerpt(" a\n b\t\u00a0c ", 240) == "a b c"
    assert excerpt("word " * 60, 24) == "word word word word word…"
    family = "👩‍👩‍👧‍👦"
    for most in range(3, 40):
        cut = excerpt(family * 9, most)
        assert cut[:-1] == family * (len(cut[:-1]) // len(family)) or most < len(family)
        assert excerpt("e\u0301" * 50, most)[-2] == "\u0301"


def test_an_id_keeps_both_ends():
    assert middle("short", 24) == "short"
    assert middle("2024-11-03/queue/eu/000123", 16) == "2024-11-…/000123"
    assert all(len(middle("x" * 1000, width)) == width for width in (24, 34))


def test_words_that_differ_between_two_names_are_underlined_and_the_rest_is_not():
    line = change_line("a/b c", "a/d c", "a/b c").split("</style>")[1]
    assert line.count("<mark>") == 2
    assert "a/<mark>b</mark> c" in line
    assert "a/<mark>d</mark> c" in line
    assert line.index("✓") < line.index("b</mark>") < line.index("✗") < line.index("d</mark>")
    assert "<mark><img" not in change_line("<img src=x>", "y", "y")


def test_a_gallery_of_images_stays_as_it_was():
    tile = Tile("a", "cat", None, TilePrediction("cat", 0.5, True), png=b"\x89PNG\r\n\x1a\n")
    assert 'class="pct-grid"' in gallery([tile])
    assert "pct-wide" not in gallery([tile]).split("</style>")[-1]
