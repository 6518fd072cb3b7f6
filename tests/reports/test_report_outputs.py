"""JSON, JUnit and Markdown of one decision: the same verdict, whatever the names, and never too large."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import jsonschema
import pytest
from decisions import HOSTILE, hostile, judged, refused, unkept
from markdown_it import MarkdownIt

from pct_mlops.config import PctError
from pct_mlops.gate import EXIT_CODES, Check, NotJudged, Verdict
from pct_mlops.reports import (
    PULL_REQUEST,
    STEP_SUMMARY,
    ComparedPair,
    Promotion,
    checked_explorer,
    comparison_to_json,
    report_schema,
    to_json,
    to_junit,
    to_markdown,
)

VERDICTS = [str(verdict) for verdict in Verdict]
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
PAIR = ComparedPair("3", "5", "pets", "pets-candidates")


def valid(report):
    text = json.dumps(report, allow_nan=False)
    jsonschema.validate(json.loads(text), report_schema(), jsonschema.Draft202012Validator)
    return json.loads(text)


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(report_schema())


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("names", [None, (hostile(), "b", "c")])
def test_every_report_fits_the_schema(verdict, names):
    decision, comparison = judged(verdict, class_names=names)
    report = valid(to_json(decision, comparison, {"who": "ci"}))
    assert (report["verdict"], report["exit_code"]) == (verdict, EXIT_CODES[Verdict(verdict)])
    if comparison is not None:
        valid(comparison_to_json(comparison))


def test_slices_and_what_counts_apart_are_in_the_report():
    decision, comparison = judged("FAIL")
    check = replace(decision.checks[0], slice=("camera", "night"))
    small = NotJudged("nfr", None, 3, 100, slice=("camera", "day"))
    whole = replace(decision, checks=(check,), not_judged=(small,), apart={"label_error": 2}, notes=("A note.",))
    report = valid(to_json(whole, comparison))
    assert report["checks"][0]["slice"] == {"column": "camera", "value": "night"}
    assert report["not_judged"][0]["slice"] == {"column": "camera", "value": "day"}
    assert (report["apart"], report["notes"]) == ({"label_error": 2}, ["A note."])


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"verdict": "MAYBE"}, "verdict"),
        ({"exit_code": 0}, "exit_code"),
        ({"metrics": {}}, "metrics"),
        ({"more": 1}, "more"),
    ],
)
def test_the_schema_refuses_what_is_no_report(change, path):
    report = {**to_json(*judged("FAIL")), **change}
    assert not jsonschema.Draft202012Validator(report_schema()).is_valid(report), path


def test_an_override_keeps_the_verdict_and_says_so():
    decision, comparison = judged("FAIL")
    report = valid(to_json(decision, comparison, promotion=Promotion("pets", "hotfix", override=True, done=True)))
    assert (report["verdict"], report["exit_code"]) == ("FAIL", 0)
    assert report["promotion"] == {"target": "pets", "reason": "hotfix", "override": True, "done": True}
    asked = valid(to_json(decision, comparison, promotion=Promotion("pets", done=False)))
    assert asked["exit_code"] == 1, "a promotion that was asked for and refused"


def read_junit(text):
    """The suite's elements, after checking what every reader of JUnit relies on."""
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    cases = suite.findall("testcase")
    # The order of Ant's schema, and no attribute but those of the one that Jenkins holds reports against.
    order = [child.tag for child in suite]
    assert order == ["properties", *["testcase"] * len(cases), "system-out"]
    assert set(root.attrib) == {"name", "tests", "failures", "errors", "time"}
    assert set(suite.attrib) == {*root.attrib, "skipped", "timestamp", "hostname"}
    for element in (root, suite):
        assert int(element.get("tests")) == len(cases)
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            if attribute in element.attrib:
                assert int(element.get(attribute)) == sum(case.find(tag) is not None for case in cases)
    assert suite.get("timestamp") == "2026-01-02T03:04:05"
    for case in cases:
        assert set(case.attrib) == {"name", "classname", "time"}
        assert all(case.attrib.values())
        assert [child.tag for child in case] in (["system-out"], ["failure"], ["error"], ["skipped"])
        for child in case:
            assert child.tag not in ("failure", "error") or (child.get("type") and child.get("message"))
    return suite, cases


def verdict_of(cases):
    """What a reader concludes who knows only the cases."""
    kinds = Counter(child.get("type") for case in cases for child in case if child.tag in ("failure", "error"))
    return next((kind for kind in ("ERROR", "FAIL", "INCONCLUSIVE") if kinds[kind]), "PASS")


@pytest.mark.parametrize("verdict", VERDICTS)
def test_junit_says_what_the_decision_says(verdict):
    decision, _ = judged(verdict)
    suite, cases = read_junit(to_junit(decision, WHEN, properties={"override": "none"}))
    assert verdict_of(cases) == ("PASS" if verdict == "BOOTSTRAP" else verdict)
    properties = {item.get("name"): item.get("value") for item in suite.find("properties")}
    assert (properties["verdict"], properties["override"]) == (verdict, "none")
    assert properties["policy_digest"] == decision.policy_digest
    judged_cases = [case for case in cases if case.find("skipped") is None and case.get("classname") != "pct.gate.gate"]
    assert len(judged_cases) == len(decision.checks)
    assert sum(case.find("skipped") is not None for case in cases) == len(decision.not_judged)
    assert len({case.get("name") for case in cases}) == len(cases)


@pytest.mark.parametrize("made", [refused, unkept])
def test_junit_of_an_error_without_an_erroneous_rule(made):
    decision, _ = made()
    _, cases = read_junit(to_junit(decision, WHEN))
    assert verdict_of(cases) == "ERROR"
    assert cases[-1].find("error").get("message") == decision.sentence
    assert len(cases) == len(decision.checks) + len(decision.not_judged) + 1


def test_junit_of_a_slice_and_of_hostile_names():
    decision, _ = judged("FAIL", class_names=(hostile(), "b", "c"))
    ugly = replace(decision.checks[0], sentence=HOSTILE, slice=(HOSTILE, HOSTILE), class_name=HOSTILE, metric=HOSTILE)
    plain = replace(decision.checks[0], slice=("camera", "night"))
    _, cases = read_junit(to_junit(replace(decision, checks=(ugly, plain)), WHEN, host="\x00"))
    assert "where camera is 'night'" in cases[1].get("name")
    assert "]]>" in cases[0].find("failure").get("message")
    assert "\x1b" not in cases[0].find("failure").text


MARKUP = {"html_block", "html_inline", "image", "link_open", "em_open", "strong_open", "code_inline", "heading_open"}
MARKUP |= {"ordered_list_open", "bullet_list_open", "blockquote_open", "code_block", "fence", "hr"}


def tokens(text):
    flat = []
    for token in MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(text):
        flat += [token, *(token.children or [])]
    return flat


@pytest.mark.parametrize("verdict", VERDICTS)
def test_markdown_says_what_the_decision_says(verdict):
    decision, comparison = judged(verdict)
    text = to_markdown(decision, comparison, pair=PAIR, explorer="https://ci.example/explorer", remarks=["Look."])
    first = text.splitlines()[0]
    assert re.fullmatch(rf"## \S+ {verdict}: pets/\d( against pets/1)?", first)
    (link,) = [token.attrGet("href") for token in tokens(text) if token.type == "link_open"]
    assert link == "https://ci.example/explorer?model=pets&old=3&new=5&new_model=pets-candidates"
    assert text.count("\n| ✓ PASS |") == sum(str(check.verdict) == "PASS" for check in decision.checks)
    assert "more" not in text.replace("more examples", "")
    assert "**Look.**" in text


def rendered(text):
    return "".join(token.content for token in tokens(text) if token.type in ("text", "code_inline", "text_special"))


def test_markdown_shows_hostile_names_and_runs_none_of_them():
    decision, _ = judged("FAIL", class_names=(hostile(), "b", "c"))
    ugly = replace(decision.checks[0], sentence=f"nfr of '{HOSTILE}' www.evil.example GH-7 :tada: # x\n# y\n- z ~~s~~")
    small = NotJudged("nfr", HOSTILE, 3, 100, slice=None)
    whole = replace(
        decision, checks=(ugly,), not_judged=(small,), notes=(HOSTILE,), apart={HOSTILE: 1}, sentence=HOSTILE
    )
    text = to_markdown(whole, None, pair=ComparedPair(HOSTILE, "x`|y"))
    found = Counter(token.type for token in tokens(text))
    # The title, the command that opens the explorer, the policy's digest.
    assert {kind: found[kind] for kind in MARKUP if found[kind]} == {"heading_open": 1, "code_inline": 2}
    assert found["tr_open"] == 2, "no name makes a row of its own"
    assert found["s_open"] == 0
    assert "<img src=x onerror=alert(1)>" in rendered(text)
    # What GitHub finds in the rendered text afterwards: mentions, issues, bare addresses, names of pictures.
    outside = "".join(token.content for token in tokens(text) if token.type == "text")
    assert not re.search(r"@\w|#\d|://|www\.|GH-\d|:[\w+]", outside)


@pytest.mark.parametrize("sentence", ["1. x", "    x", "- x", "> x", "# x", "***", "```", "gh-7 :+1: :x:"])
def test_a_sentence_that_begins_like_a_block_of_markdown_is_a_sentence(sentence):
    decision, _ = judged("FAIL")
    text = to_markdown(replace(decision, checks=(), notes=(), sentence=sentence), None)
    found = Counter(token.type for token in tokens(text))
    assert {kind: found[kind] for kind in MARKUP if found[kind]} == {"heading_open": 1, "code_inline": 1}
    assert sentence.strip() in rendered(text).replace("\u200b", "")


def test_a_command_is_shown_as_it_is_typed_and_says_where_it_was_cut():
    decision, _ = judged("FAIL")
    text = to_markdown(decision, None, pair=ComparedPair("a|b.parquet", "c`d.parquet"))
    command = next(token.content for token in tokens(text) if token.type == "code_inline")
    assert command == "pct explore 'a|b.parquet' 'c`d.parquet'"
    cut = to_markdown(decision, None, pair=ComparedPair("a" * 1000, "b"))
    assert "a…`" in cut


@pytest.mark.parametrize("limit", [PULL_REQUEST, STEP_SUMMARY])
def test_markdown_is_bounded_and_says_how_many_more(limit):
    decision, comparison = judged("FAIL")
    names = [f"class {i} {'é' * 200}" for i in range(4000)]
    checks = [
        replace(decision.checks[0], rule=place + 1, class_name=name, sentence=f"class_nfr of '{name}'.")
        for place, name in enumerate(names)
    ]
    small = tuple(NotJudged("class_nfr", name, 3, 100, slice=None) for name in names)
    text = to_markdown(
        replace(decision, checks=tuple(checks), not_judged=small),
        comparison,
        pair=PAIR,
        explorer="https://x",
        limit=limit,
    )
    size = len(text.encode())
    assert 0.9 * limit < size <= limit
    shown = text.count("\n| ✗ FAIL |")
    assert f"\n{4000 - shown:,} more lines, none worse than the last one shown" in text
    assert re.search(r"\n[\d,]+ (more )?that are too small", text)
    assert to_markdown(replace(decision, sentence="x" * 10**6), comparison).count("more characters") == 1


def test_the_sentence_about_a_list_that_does_not_fit_fits():
    """Wherever the list before it ends: limits by every byte of a row."""
    decision, _ = judged("FAIL")
    checks = tuple(replace(decision.checks[0], sentence="x", rule=place + 1) for place in range(1500))
    small = (NotJudged("class_nfr", "name" * 50, 3, 100, slice=None),) * 1500
    long = replace(decision, checks=checks, not_judged=small)
    sizes = {limit: len(to_markdown(long, limit=limit).encode()) for limit in range(3000, 3020)}
    assert [limit for limit, size in sizes.items() if size > limit] == []
    assert min(sizes.values()) > 2700


def test_the_address_of_a_comparison_keeps_what_the_explorer_has():
    address = PAIR.address("https://host:8501/a/?theme=dark")
    assert parse_qs(urlsplit(address).query) == {
        "theme": ["dark"],
        "model": ["pets"],
        "old": ["3"],
        "new": ["5"],
        "new_model": ["pets-candidates"],
    }
    assert ComparedPair("1", "2", "a&b=c d").address("http://x") == "http://x/?model=a%26b%3Dc+d&old=1&new=2"
    assert PAIR.command == "pct explore models:/pets/3 models:/pets-candidates/5"
    assert ComparedPair("a b.parquet", "c.parquet").command == "pct explore 'a b.parquet' c.parquet"


@pytest.mark.parametrize(
    "address", ["", "explorer", "javascript:alert(1)", "https://x/)", "https://", "https://[", "http://x y"]
)
def test_an_explorer_that_no_browser_opens_is_refused(address):
    with pytest.raises(PctError, match="not the address of an explorer"):
        checked_explorer(address)


def test_a_check_without_numbers_has_a_name():
    check = Check("review", None, None, None, None, None, "point", Verdict.FAIL, "Rejected by anna.")
    decision, _ = judged("FAIL")
    _, cases = read_junit(to_junit(replace(decision, checks=(check,)), WHEN))
    assert cases[0].get("name") == "review"
