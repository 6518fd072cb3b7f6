"""Charts that are HTML: hostile names stay text, every mark is a link, and numbers are those of the counts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from pct_mlops.charts import ClassRates, MovePoint
from pct_mlops.charts.palette import PAGE, PAGE_ON_DARK, luminance
from pct_mlops.comparison import Estimate, FlipCell, FlipCounts, SliceExcess
from pct_mlops.explorer.components.area_chart import area_chart
from pct_mlops.explorer.components.bar_chart import class_chart, slice_chart
from pct_mlops.explorer.components.html_table import folded_table
from pct_mlops.explorer.components.matrix_chart import FAINTEST, FULL, matrix_chart
from pct_mlops.explorer.components.move_chart import move_chart

HOSTILE = "\"><img src=x onerror=alert(1)><a href='javascript:alert(1)'>&amp;\u202eevil"
ADDRESS = "javascript:alert(1)//"
TAGS = {"style", "figure", "figcaption", "ul", "li", "a", "span", "i", "b", "u", "small", "div", "p", "br"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td", "colgroup", "col", "details", "summary"}


def rate(value, lower=None, upper=None):
    return Estimate("nfr", value, lower, upper, 0.95)


def row(index, name, nfr=0.1, support=100):
    sides = rate(0.9, 0.8, 0.95), rate(0.85, 0.75, 0.9)
    return ClassRates(index, name, support, rate(nfr, nfr / 2, 2 * nfr), rate(0.05, 0.02, 0.08), *sides)


def address(**query):
    return f"examples?{urlencode(query)}"


def bars(*names):
    rows = [row(index, name) for index, name in enumerate(names)]
    return class_chart(rows, "class", lambda shown, kind: address(target=shown.name, kind=kind))


def matrix(*names):
    cells = [FlipCell(0, 1, 3), FlipCell(1, 0, 12)]
    return matrix_chart(
        cells, [0, 1], [0, 1], names, lambda target, wrong: address(target=names[target], answer=names[wrong])
    )


def moves(*names):
    points = [MovePoint("2026-01-02T10:00:00", name, "promotion", rate(0.02, 0.01, 0.03), 8) for name in names]
    return move_chart(points, [address(old=name) for name in names])


def found_slices(*names):
    rows = [SliceExcess(name, name, 90, 9, 0.1, 0.05, 0.2, 0.02, 0.001) for name in names]
    return slice_chart(rows, lambda shown: address(column=shown.column))


def areas(*names):
    return area_chart(
        FlipCounts(80, 10, 6, 4), 3, {"negative": address(note=names[0]), "both_wrong": address(kind="both_wrong")}
    )


class Reader(HTMLParser):
    """Tags, links and attributes, as a browser reads them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.attributes = [], [], set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "a":
            self.links.append(dict(attrs))


@pytest.mark.parametrize("draw", [bars, matrix, moves, found_slices, areas])
def test_hostile_names_stay_text(draw):
    read = Reader(draw(HOSTILE, ADDRESS))

    assert set(read.tags) <= TAGS | TABLE
    assert not any(name.startswith("on") for name in read.attributes)
    assert read.links
    for link in read.links:
        assert urlsplit(link["href"]).scheme == ""
        assert urlsplit(link["href"]).path == "examples"
        assert link["aria-label"] == link["title"] != ""
    sent = {
        value for link in read.links for values in parse_qs(urlsplit(link["href"]).query).values() for value in values
    }
    assert HOSTILE in sent, "the link names the class exactly, whatever is in its name"


def test_a_folded_table_escapes_names_and_values():
    html = folded_table({"class": [HOSTILE], "NFR": ["1.00%"]})
    assert set(Reader(html).tags) <= TAGS | TABLE
    assert 'data-label="NFR">1.00%' in html


def test_areas_are_shares_of_the_square_and_say_their_numbers():
    html = area_chart(FlipCounts(72, 8, 15, 5), 3, {"negative": "examples", "both_wrong": "examples?kind=both_wrong"})

    boxes = [
        dict(re.findall(r"(left|top|width|height):([\d.]+)%", style))
        for style in re.findall(r'"pct-area [^>]*style="([^"]+)"', html)
    ]
    sizes = [float(box["width"]) * float(box["height"]) / 100 for box in boxes]
    assert sizes == pytest.approx([72, 8, 15, 5], abs=0.01)
    assert "8 of 100 examples (8.00%) were right and are wrong now. 15 went the other way." in html
    assert 'aria-label="Both wrong: 5 of 100 (5.00%), 3 differently, 2 alike"' in html
    assert [link["href"] for link in Reader(html).links] == ["examples", "examples?kind=both_wrong"]
    assert "No examples." in area_chart(FlipCounts(0, 0, 0, 0), 0, {})


def test_a_bar_is_as_long_as_its_rate_and_the_caption_names_the_worst():
    html = class_chart([row(0, "ant", 0.1), row(1, "bee", 0.2)], "class", lambda shown, kind: f"examples?kind={kind}")

    right = re.findall(r'pct-right-side"[^>]*>.*?pct-fill"[^>]*left:0.00%;width:([\d.]+)%', html)
    assert float(right[1]) == pytest.approx(2 * float(right[0]), abs=0.02)
    assert "bee loses most of the 2 shown: NFR 20.00% (10.00% to 40.00%), 20 of 100 examples." in html
    assert 'aria-label="bee, negative flips: NFR 20.00% (10.00% to 40.00%), 20 of 100 examples"' in html
    assert len(Reader(html).links) == 2 * 3
    assert "lies beyond the axis" not in html


def test_a_far_bound_of_few_examples_becomes_an_arrow_and_no_flips_no_link():
    few = ClassRates(1, "rare", 4, rate(0.0, 0.0, 0.6), rate(0.0), rate(None), rate(None))
    html = class_chart([row(0, "ant", 0.1, 1000), few], "class", lambda shown, kind: "examples")

    assert "lies beyond the axis" in html
    assert html.count("▸") == 1
    assert 'aria-label="rare, negative flips' in html
    assert len(Reader(html).links) == 3, "only those of the other class"
    assert "No class to show." in class_chart([], "class", lambda shown, kind: "")


def test_a_slice_that_may_be_chance_is_hollow():
    def drawn(p_value):
        return slice_chart([SliceExcess("hour", "", 90, 9, 0.1, 0.05, 0.2, 0.02, p_value)], lambda shown: "examples")

    assert 'class="pct-right-side"' in drawn(0.01)
    assert 'class="pct-right-side pct-maybe"' in drawn(0.2)
    assert "hour: (empty) has an NFR of 10.00%, all other examples 2.00%." in drawn(0.01)


def test_a_cell_says_what_became_what_and_its_number_can_be_read_in_both_themes():
    html = matrix("ant", "bee")

    assert "Most often bee becomes ant: 12 of 15 negative flips." in html
    assert 'aria-label="3 of class ant now predicted as bee"' in html
    assert html.count('scope="row"') == html.count('scope="col"') == 2
    for page, ink in ((PAGE, (49, 51, 63)), (PAGE_ON_DARK, (250, 250, 250))):
        for step in range(101):
            opacity = FAINTEST + (1 - FAINTEST) * step / 100
            behind = luminance(
                [opacity * over + (1 - opacity) * under for over, under in zip((221, 106, 31), page, strict=True)]
            )
            text = luminance((0, 0, 0) if opacity > FULL else ink)
            low, high = sorted((behind, text))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (page, opacity)


def test_moves_add_up_and_one_that_is_not_known_is_left_out():
    points = [
        MovePoint("2026-01-02T10:00:00", "1 → 2", "promotion", rate(0.02, 0.01, 0.03), 8),
        MovePoint("2026-01-03T10:00:00", "– → 2", "adopted", None, None),
        MovePoint("2026-01-04T10:00:00", "2 → 1", "rollback", rate(0.04, 0.03, 0.05), 16),
    ]
    html = move_chart(points, ["./?old=1&new=2", "", ""])

    assert [link["href"] for link in Reader(html).links] == ["./?old=1&new=2"]
    assert "2 → 1, rollback on 2026-01-04: NFR 4.00% (3.00% to 5.00%), 16 negative flips, 24 so far" in html
    assert "All 2 together: 24 negative flips." in html
    assert "No moves to show." in move_chart(points[1:2], [""])
