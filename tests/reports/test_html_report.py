"""The page of a decision: whole, small, the same each time, and never more than text whatever the names are."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest
from decisions import HOSTILE, hostile, judged, refused, unkept

from pct_mlops.gate import NotJudged, Verdict
from pct_mlops.reports import ComparedPair, HtmlContents, ShownFlip, to_html

PAIR = ComparedPair("3", "5", "pets")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
# What a page of ours is made of. A name that became markup would add to these.
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "div", "b", "p", "span", "code", "a", "i"),
    *("details", "summary", "ul", "li", "dl", "dt", "dd", "table", "tr", "th", "td", "img", "blockquote", "br"),
}


class Page(HTMLParser):
    """Counts the tags of a page, and keeps its text and the addresses that a browser would ask for."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.attributes, self.words = Counter(), [], Counter(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        self.addresses += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize("verdict", [str(verdict) for verdict in Verdict])
def test_every_verdict_has_a_page(verdict):
    decision, comparison = judged(verdict)
    page = Page(to_html(decision, comparison, HtmlContents(PAIR, "https://explorer.example/", ["Promoted: no."])))
    assert f" {verdict} {decision.sentence.split(':')[0]}" in page.text
    assert "Promoted: no." in page.text
    assert set(page.tags) <= TAGS
    assert page.addresses == ["https://explorer.example/?model=pets&old=3&new=5"]
    if comparison is not None:
        assert "negative flips 20 positive flips 50 both right 900 both wrong 30" in page.text
        assert "cat 1,000 20 2.00%" in page.text, "the classes with most negative flips"


@pytest.mark.parametrize("made", [refused, unkept])
def test_a_decision_without_checks_or_with_an_error_after_them_has_a_page(made):
    decision, comparison = made()
    assert f"! ERROR {decision.sentence}" in Page(to_html(decision, comparison)).text


def test_a_class_rule_lists_its_worst_classes():
    decision, _ = judged("PASS")
    checks = [
        replace(decision.checks[1], class_name=f"class {i}", verdict=Verdict.FAIL, value=i / 100, upper=1.0)
        for i in range(30)
    ]
    page = Page(to_html(replace(decision, checks=tuple(checks))))
    assert "class_nfr: 30 of 30 classes failed" in page.text
    assert "and 20 more, none worse" in page.text


def test_hostile_names_are_text():
    decision, comparison = judged("FAIL", class_names=(hostile(), "b", "c"))
    small = NotJudged("nfr", HOSTILE, 3, 100, negative_flips=1)
    whole = replace(decision, not_judged=(small,), notes=(HOSTILE,), apart={HOSTILE: 1}, sentence=HOSTILE)
    flip = ShownFlip("javascript:alert(1)", HOSTILE, 'b" onload="x', "</style><script>", b"<svg onload=x>", HOSTILE)
    contents = HtmlContents(ComparedPair(HOSTILE, "x", ""), "", [HOSTILE], [flip])
    page = Page(to_html(whole, comparison, contents))
    assert set(page.tags) <= TAGS
    assert page.tags["img"] == 0, "no PNG, no image"
    assert not {name for name in page.attributes if name.startswith("on")}
    assert page.addresses == []
    assert "<img src=x onerror=alert(1)>" in page.text
    assert "\x1b" not in page.text


def test_flips_have_their_image_text_and_address():
    decision, comparison = judged("FAIL")
    flips = [
        ShownFlip("a b/1.png", "cat", "cat", "dog", PNG),
        ShownFlip("2", "cat", "cat", "owl", text="It  was\nnot bad. " + "x" * 400),
    ]
    explorer = "https://host:8501/base/?theme=dark"
    page = Page(to_html(decision, comparison, HtmlContents(PAIR, explorer, flips=flips)))
    _, image, first, second = page.addresses
    assert image == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert urlsplit(first).path == "/base/examples"
    query = {"theme": ["dark"], "model": ["pets"], "old": ["3"], "new": ["5"]}
    assert parse_qs(urlsplit(first).query) == {**query, "example": ["a b/1.png"]}
    assert parse_qs(urlsplit(second).query)["example"] == ["2"]
    assert "It was not bad. xxx" in page.text
    assert "x" * 300 not in page.text
    assert "2 of 20" in page.text


def test_the_page_is_bounded_and_made_again_the_same():
    decision, comparison = judged("FAIL")
    names = [f"class {i} {'é' * 1000}" for i in range(2000)]
    checks = [replace(decision.checks[0], class_name=name, rule=i + 1) for i, name in enumerate(names)]
    small = tuple(NotJudged("nfr", name, 3, 100, negative_flips=1) for name in names)
    long = replace(decision, checks=tuple(checks), not_judged=small)
    flips = [ShownFlip(f"{i}", names[i], names[i], names[i], PNG + bytes(60_000), "ü" * 10**5) for i in range(100)]
    contents = HtmlContents(PAIR, "https://x", flips=flips)
    text = to_html(long, comparison, contents)
    assert len(text.encode()) < 1_500_000
    assert text == to_html(long, comparison, contents)
    page = Page(text)
    assert page.tags["img"] == 700 * 1024 // len(flips[0].png), "as many images as fit"
    assert page.text.count("…") >= 60
    assert "1,960 more rules." in page.text
    assert "1,970 more" in page.text
