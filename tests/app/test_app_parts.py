"""The pieces below the views: arguments, titles, defaults, tiles and escaped text."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pct_mlops.comparison import ClassCounts, FlipCounts
from pct_mlops.config import Policy, Rule
from pct_mlops.explorer.components.gallery import Tile, TilePrediction, gallery
from pct_mlops.explorer.components.verdict_banner import SHOWN, left_out, reasons, rules_table
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries.class_labels import matching, ordered, unique
from pct_mlops.explorer.queries.pairs import FileTable
from pct_mlops.explorer.state.options import Options, read_options
from pct_mlops.explorer.state.selection import default_versions, titles_of
from pct_mlops.gate import Check, Verdict, by_rule, decide, rules_sentence


def test_arguments():
    assert read_options(["a@b", "a/3", "--policy", "p.yaml"]) == Options("a@b", "a/3", policy="p.yaml")
    assert read_options([]) == Options()


def test_one_table_alone_is_a_usage_error():
    with pytest.raises(SystemExit) as stop:
        read_options(["old.parquet"])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    "names", [["a", "b"], ["crane", "crane"], ["", ""], ["a", "a", "a #0"], ["a\u202e", "a\ufffd"], ["x", "x #0", "x"]]
)
def test_titles_are_unique_and_keep_names_that_already_are(names):
    titles = unique(names)

    assert len(set(titles)) == len(names)
    assert all(titles)
    if len(set(names)) == len(names) == 2 and all(name.isprintable() for name in names):
        assert titles == names


def test_orders():
    rows = [
        ClassCounts(0, "b", FlipCounts(8, 1, 1, 0)),
        ClassCounts(1, "a", FlipCounts(5, 3, 0, 0)),
        ClassCounts(2, "C", FlipCounts(0, 0, 0, 0)),
    ]

    def order(by):
        return [row.index for row in ordered(rows, by)]

    assert order("nfr") == [1, 0, 2]
    assert order("pfr") == [0, 1, 2]
    assert order("accuracy") == [1, 0, 2]
    assert order("support") == [0, 1, 2]
    assert order("name") == [1, 0, 2]
    assert [row.index for row in ordered(rows, "name", lambda index: index == 2)] == [2]


def test_matching_ignores_case_and_no_text_matches_all():
    assert matching(["Cat", "dog"], " CA ")(0)
    assert not matching(["Cat", "dog"], "ca")(1)
    assert matching(["Cat"], " ") is None


class Fake:
    def __init__(self, version, *aliases):
        self.version, self.aliases = version, aliases


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([Fake(3, "candidate"), Fake(2, "production"), Fake(1, "previous")], (2, 3)),
        ([Fake(3, "candidate", "production"), Fake(2), Fake(1, "previous")], (1, 3)),
        ([Fake(3), Fake(2), Fake(1, "production")], (1, 3)),
        ([Fake(2), Fake(1)], (1, 2)),
        ([Fake(2), Fake(1, "candidate")], (2, 1)),
        ([Fake(2, "production", "candidate"), Fake(1)], (1, 2)),
    ],
)
def test_default_versions(versions, expected):
    assert default_versions(versions) == expected


def tile(**changes):
    values = {
        "sample_id": "s",
        "target": "t",
        "old": TilePrediction("a", 0.5, True),
        "new": TilePrediction("b", 0.25, False),
    }
    return Tile(**{**values, **changes})


@pytest.mark.parametrize("hostile", ["<script>x</script>", "\"onload='x", "a\nb", "</figure>"])
def test_tiles_escape_every_text(hostile):
    html = gallery([tile(sample_id=hostile, target=hostile, old=TilePrediction(hostile, 0.5, True))])

    assert hostile not in html.replace("</figcaption></figure>", "")
    assert html.count("<figure") == html.count("</figure>") == 1


@pytest.mark.parametrize("sample_id", ["a\nb\t c", "<b>\"'&amp;", "\u202eevil\u00ad"])
def test_a_click_on_a_tile_sends_the_very_id(sample_id):
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.extend(value for name, value in attributes if name == "data-pct-id")

    Reader().feed(gallery([tile(sample_id=sample_id)]))

    assert found == [sample_id]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("/a/x/old.parquet", "/a/x/new.parquet"), ("old.parquet", "new.parquet")),
        (("/a/x/t.parquet", "/a/y/t.parquet"), ("x/t.parquet", "y/t.parquet")),
        (("/a/x/t.parquet", "/b/x/t.parquet"), ("/a/x/t.parquet", "/b/x/t.parquet")),
    ],
)
def test_two_files_are_never_called_alike(paths, expected):
    assert titles_of(*(FileTable(path, 1) for path in paths)) == expected


def test_tiles_show_both_answers_with_confidence_and_whether_they_are_right():
    html = gallery([tile()])

    assert html.index("50.00%") < html.index("25.00%")
    assert html.index('aria-label="right"') < html.index('aria-label="wrong"')


def test_what_is_no_png_is_not_embedded():
    assert "image not stored" in gallery([tile(png=b"<svg onload=x>")])


def test_plain_text_cannot_link_format_or_load():
    shown = plain("![x](http://evil.invalid) **b** $x$ :red[y] `c` <b>")

    for active in "![]()*$:`<>":
        assert all(shown[i - 1] == "\\" for i, char in enumerate(shown) if char == active)


@pytest.mark.parametrize(
    "address", ["http://evil.invalid", "HTTPS://evil.invalid", "www.evil.invalid", "a@evil.invalid"]
)
def test_an_address_in_plain_text_becomes_no_link(address):
    shown = plain(f"see {address} now").replace("\\", "")

    assert address not in shown
    assert shown.replace("\u2060", "") == f"see {address} now"
    assert plain("name@alias") == "name\\@alias", "commands can be copied"


def check(verdict, **changes):
    values = {"class_name": None, "value": 0.1, "lower": 0.0, "upper": 0.2, "limit": 0.05, "bound": "upper"}
    return Check(**{"metric": "nfr", "sentence": "s <b>", **values, **changes}, verdict=verdict)


def test_the_worst_rules_come_first_and_long_lists_are_cut():
    checks = [check(Verdict.PASS, limit=10 + place) for place in range(SHOWN)] + [check(Verdict.FAIL)]

    html = rules_table(checks)

    assert html.index("FAIL") < html.index("PASS")
    assert html.count("<tr><td") == SHOWN
    assert left_out(checks) == 1
    assert "<b>" not in html


def test_a_rule_on_a_thousand_classes_is_one_row_below_the_rules_on_all_examples():
    of_classes = [
        check(
            Verdict.FAIL if place < 2 else Verdict.INCONCLUSIVE if place < 967 else Verdict.PASS,
            metric="class_nfr",
            class_name=f"class {place}",
            upper=0.2 + place / 10_000,
            support=50,
            sentence=f"class {place} <b>",
        )
        for place in range(1000)
    ]
    checks = [*of_classes, check(Verdict.INCONCLUSIVE), check(Verdict.PASS, metric="accuracy_change", bound="lower")]

    groups = by_rule(checks)

    assert [group.worst.metric for group in groups] == ["nfr", "accuracy_change", "class_nfr"]
    assert groups[2].sentence == (
        "class_nfr: 2 of 1,000 classes failed, 965 undecided, 33 passed (about 50 examples each)"
    )
    html = rules_table(checks)
    assert "The worst 5 of 1,000 classes</summary>" in html
    assert "those of the worst, class 1." in html
    assert [f"class {place} &lt;b" in html for place in (1, 0, 966, 965, 964, 963)] == [True] * 5 + [False]
    decision = decide(Policy(rules=(Rule(metric="nfr", max=0.02),)), None, problem="")
    failed = replace(decision, verdict=Verdict.FAIL, checks=tuple(checks), sentence="Outside: 2 of 1,002 checks.")
    assert reasons(failed) == [groups[2].sentence]
    assert rules_sentence(failed) == "Outside: 1 of 3 rules."


def test_numbers_are_written_in_their_unit():
    assert "10.00%" in rules_table([check(Verdict.PASS)])
    assert "+10.00 points" in rules_table([check(Verdict.PASS, metric="accuracy_change")])
    assert "1.234" in rules_table([check(Verdict.PASS, metric="relative_nfr", value=1.2341)])
    assert "undefined" in rules_table([check(Verdict.ERROR, value=None)])
