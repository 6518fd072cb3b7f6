"""Numbers and names as text."""

from __future__ import annotations

import pytest

from pct_mlops.charts import count, escaped, interval, percent, points, printable, short
from pct_mlops.charts.text import distinct


@pytest.mark.parametrize(("rate", "shown"), [(0.0123, "1.23%"), (0.0, "0.00%"), (None, "undefined")])
def test_percent(rate, shown):
    assert percent(rate) == shown


def test_points_are_signed():
    assert points(0.0042) == "+0.42 points"
    assert points(-0.0042) == "-0.42 points"


def test_interval_names_both_ends_and_says_undefined_once():
    assert interval(0.01, 0.02) == "1.00% to 2.00%"
    assert interval(None, None) == "undefined"


def test_count_has_thousands_separators():
    assert count(1234567) == "1,234,567"


def test_names_cannot_break_lines_or_reverse_text():
    assert printable("a\nb\u202ec\x00") == "a\ufffdb\ufffdc\ufffd"


def test_short_keeps_the_limit():
    assert short("abcdefghij", 5) == "abcd…"
    assert short("abcde", 5) == "abcde"


def test_escaped_leaves_no_markup():
    assert escaped("<b>&'\"") == "&lt;b&gt;&amp;&#x27;&quot;"


def test_long_names_that_begin_alike_are_told_apart_by_their_ends():
    names = [
        "breastplate, aegis, egis 12",
        "breastplate, aegis, egis 138",
        "a maillot, tank suit, and more",
        "ant",
        "ant",
    ]

    assert distinct(names, 18) == ["breastpl…egis 12", "breastpl…egis 138", "a maillot, tank s…", "ant", "ant"]
    assert max(map(len, distinct(names, 18))) <= 18
