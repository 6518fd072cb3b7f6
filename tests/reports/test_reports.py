from __future__ import annotations

import io
import json
from datetime import datetime, timezone

import jsonschema
import pytest
from prediction_tables import pair_of_counts, table
from rich.console import Console

from pct_mlops.comparison import compare
from pct_mlops.config import Policy
from pct_mlops.gate import decide
from pct_mlops.reports import (
    comparison_to_json,
    render_decision,
    render_metrics,
    report_schema,
    to_json,
    to_junit,
    to_markdown,
)


def shown(renderable, width=80):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(renderable)
    return out.getvalue()


@pytest.fixture(scope="module")
def comparison():
    return compare(*pair_of_counts(900, 20, 50, 30))


@pytest.fixture(scope="module")
def decision(comparison):
    rules = [
        {"metric": "nfr", "max": 0.05},
        {"metric": "accuracy_change", "min": 0.06},
        {"metric": "class_nfr", "max": 0.021, "min_support": 100},
        {"metric": "fractional_nfr", "max": 0.5},
    ]
    return decide(Policy.model_validate({"rules": rules}), comparison)


def test_decision_document(decision, comparison):
    report = json.loads(json.dumps(to_json(decision, comparison, {"who": "ci"}), allow_nan=False))
    assert (report["report_version"], report["kind"]) == (1, "decision")
    assert (report["verdict"], report["exit_code"]) == ("ERROR", 2)
    assert report["policy"]["digest"] == decision.policy_digest
    assert report["policy"]["rules"][0]["max"] == 0.05
    assert (report["candidate"]["model_version"], report["baseline"]["model_version"]) == ("2", "1")
    assert report["counts"] == {
        "both_right": 900,
        "negative_flips": 20,
        "positive_flips": 50,
        "both_wrong": 30,
        "total": 1000,
    }
    nfr = report["metrics"]["nfr"]
    assert (nfr["value"], nfr["numerator"], nfr["denominator"]) == (0.02, 20, 1000)
    assert nfr["lower"] < 0.02 < nfr["upper"]
    assert [check["verdict"] for check in report["checks"]] == ["PASS", "FAIL", "INCONCLUSIVE", "ERROR"]
    assert report["checks"][2]["examples_needed"] > 1000
    assert [part["name"] for part in report["classes"]] == ["cat", "dog", "owl"]
    assert report["classes"][1]["class_nfr"]["value"] is None
    assert [item["class_name"] for item in report["not_judged"]] == ["dog", "owl"]
    assert report["context"] == {"who": "ci"}


def test_document_without_a_comparison():
    policy = Policy.model_validate({"rules": [{"metric": "nfr", "max": 1}]})
    report = to_json(decide(policy, None, baseline_exists=False, candidate=table([0], [0]).info))
    assert (report["verdict"], report["baseline"], report["num_examples"]) == ("BOOTSTRAP", None, 1)
    assert json.dumps(report, allow_nan=False)


def test_comparison_document_has_null_for_undefined():
    report = json.loads(json.dumps(comparison_to_json(compare(*pair_of_counts(4, 0, 0, 0))), allow_nan=False))
    assert report["kind"] == "comparison"
    assert report["metrics"]["nfi"]["value"] is None
    assert report["metrics"]["nfr"]["value"] == 0.0
    assert "class_nfr" not in report["metrics"]


def test_terminal_fits_80_columns_and_says_everything(decision, comparison):
    text = shown(render_decision(decision, comparison))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert text.startswith("! ERROR")
    for word in (
        "✓ PASS",
        "✗ FAIL",
        "? INCONCLUSIVE",
        "20 negative flips",
        "pets/2 against pets/1",
        "2 without examples",
    ):
        assert word in text
    assert text.index("fractional_nfr") < text.index("✗ FAIL") < text.index("✓ PASS")


def test_a_brief_decision_counts_the_checks_that_hold(decision, comparison):
    text = shown(render_decision(decision, comparison, brief=True))
    assert "✓ PASS" not in text
    assert "✗ FAIL" in text
    assert "1 rule holds." in text


def test_every_report_names_the_policy_file(tmp_path, comparison):
    path = tmp_path / "a`b.yaml"
    path.write_text("rules: [{metric: nfr, max: 0.05}]")
    decision = decide(Policy.read(path), comparison)
    assert f"Policy: {path} ({decision.policy_digest[:12]})" in shown(render_decision(decision), width=400)
    assert f"Policy ``{path}``, `{decision.policy_digest[:12]}`, bounds at 95%" in to_markdown(decision)
    report = to_json(decision)
    assert report["policy"]["file"] == str(path)
    jsonschema.validate(report, report_schema())
    assert f'name="policy_file" value="{path}"' in to_junit(decision, datetime(2026, 1, 2, tzinfo=timezone.utc))
    plain = Policy.model_validate({"rules": [{"metric": "nfr", "max": 0.05}]})
    assert (plain.digest, plain) == (decision.policy_digest, decision.policy), "the same rules, whatever their file"
    assert hash(plain) == hash(Policy.model_validate({"rules": [{"metric": "nfr", "max": 0.05}]}))
    assert "file" not in to_json(decide(plain, comparison))["policy"]


def test_metrics_table_fits_80_columns(comparison):
    text = shown(render_metrics(comparison))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "…" not in text
    row = next(line for line in text.splitlines() if line.startswith("accuracy_change"))
    assert "+3.00 points" in row
    assert row.rstrip().endswith("new accuracy minus old accuracy"), "the explanation has room beside its numbers"
    for metric in comparison.metrics():
        assert (metric.name in text) is (not metric.per_class)


def test_names_from_outside_are_text():
    names = ("[red]cat[/red]", "\x1b[2Jdog", "owl\nowl")
    old = table([0, 1, 2], [0, 1, 2], class_names=names, model_name="[bold]m")
    new = table([0, 1, 2], [1, 2, 0], class_names=names, model_name="[bold]m", model_version="2")
    policy = Policy.model_validate({"rules": [{"metric": "class_nfr", "max": 0.5, "bound": "point"}]})
    comparison = compare(old, new)
    text = shown(render_decision(decide(policy, comparison), comparison))
    assert "[red]cat[/red] (1 example): 100.00%" in text
    assert "[bold]m/2" in text
    assert "\x1b" not in text
    assert "owl\ufffdowl" in text
    assert "[bold]m/2" in shown(render_metrics(comparison))


def test_many_classes_show_the_worst():
    names = tuple(f"class{i}" for i in range(40))
    labels = list(range(40)) * 10
    answers = [0 if label == 33 else label for label in labels]
    comparison = compare(
        table(labels, labels, class_names=names), table(labels, answers, class_names=names, model_version="2")
    )
    at_once = {"metric": "class_nfr", "max": 0.5, "bound": "point"}
    rules = [at_once, {"metric": "class_nfr", "max": 0.2}, {"metric": "nfr", "max": 0.5}]
    text = shown(render_decision(decide(Policy.model_validate({"rules": rules}), comparison), comparison), width=200)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "✗ FAIL  Outside the limit on 400 examples: 2 of 3 rules."
    assert lines[4:12] == [
        "✗ FAIL  class_nfr: 1 of 40 classes failed, 39 undecided (about 10 examples each); at most 20.00% is allowed.",
        "✗ class33 (10 examples): 100.00%, at least 51.25%",
        "? class0 (10 examples): 0.00%, at most 25.89%; about 14 would decide",
        "? class1 (10 examples): 0.00%, at most 25.89%; about 14 would decide",
        "? class2 (10 examples): 0.00%, at most 25.89%; about 14 would decide",
        "? class3 (10 examples): 0.00%, at most 25.89%; about 14 would decide",
        "and 35 more, none worse: see the JSON report",
        "✗ FAIL  class_nfr: 1 of 40 classes failed, 39 passed (about 10 examples each); at most 50.00% is allowed.",
    ]
    assert lines[12] == "✗ class33 (10 examples): 100.00%", "and none that passed"
    assert lines[13].startswith("✓ PASS  nfr is 2.50%")


def test_classes_that_are_too_small_are_listed_by_their_flips():
    names = ("ant", "bee", "cat", "dog", "emu")
    labels = [0] * 5 + [1] * 6 + [2] * 7 + [3] * 300
    comparison = compare(
        table(labels, labels, class_names=names),
        table(labels, [0] * 11 + [3] * 2 + [2] * 5 + [3] * 300, class_names=names, model_version="2"),
    )
    rules = [{"metric": "class_nfr", "max": 0.5, "min_support": 100}]
    decision = decide(Policy.model_validate({"rules": rules}), comparison)
    said = "bee (6 of 6 flipped), cat (2 of 7 flipped), 1 without a negative flip, 1 without examples"
    assert f"Not judged, too few examples: {said}" in shown(render_decision(decision), width=200)
    counted_first = r"1 without a negative flip, 1 without examples, bee \(6 of 6 flipped\), cat \(2 of 7 flipped\)"
    assert f"Not judged, too few examples: {counted_first}" in to_markdown(decision)
    assert [item["negative_flips"] for item in to_json(decision)["not_judged"]] == [0, 6, 2, 0]
    skipped = "6 examples, 6 negative flips, and the rule asks for 100"
    assert skipped in to_junit(decision, datetime(2026, 1, 2, tzinfo=timezone.utc))


def test_the_classes_that_are_not_named_are_all_counted():
    names = tuple(f"class{i}" for i in range(120))
    labels = [i for i in range(110) for _ in range(5)] + [119] * 300
    answers = [119 if place % 5 == 0 and label < 8 else label for place, label in enumerate(labels)]
    comparison = compare(
        table(labels, labels, class_names=names), table(labels, answers, class_names=names, model_version="2")
    )
    rules = [{"metric": "class_nfr", "max": 0.5, "min_support": 100}]
    text = shown(render_decision(decide(Policy.model_validate({"rules": rules}), comparison)), width=400)
    assert "(1 of 5 flipped), 3 more, 102 without a negative flip, 9 without examples" in text


def test_two_rules_on_slices_of_one_column_are_two_lines():
    labels = [0] * 600
    answers = [1 if place % 5 == 0 else 0 for place in range(600)]
    slices = {"camera": ["night"] * 120 + ["day"] * 480}
    comparison = compare(table(labels, labels, slices=slices), table(labels, answers, slices=slices, model_version="2"))
    night, day = ({"metric": "nfr", "max": 0.03, "slice": {"column": "camera", "value": v}} for v in ("night", "day"))
    text = shown(render_decision(decide(Policy.model_validate({"rules": [night, day]}), comparison)), width=300)
    assert "Outside the limit on 600 examples: 2 of 2" in text
    assert text.count("✗ FAIL  nfr where camera is") == 2


def test_the_demand_of_a_point_rule_names_its_side():
    labels = [0] * 100
    slices = {"camera": ["night", "day"] * 50}
    half = [0 if place % 4 < 2 else 1 for place in range(100)]
    comparison = compare(table(labels, half, slices=slices), table(labels, half, slices=slices, model_version="2"))
    rule = {"metric": "accuracy_new", "min": 0.5, "bound": "point", "slice": {"column": "camera"}}
    text = shown(render_decision(decide(Policy.model_validate({"rules": [rule]}), comparison)), width=300)
    assert "2 of 2 slices passed (about 50 examples each); at least 50.00% is allowed." in text


def test_a_rule_that_every_class_passes_shows_the_one_closest_to_its_limit():
    labels = [0] * 300 + [1] * 300
    answers = [1] * 30 + [0] * 270 + [0] * 3 + [1] * 297
    comparison = compare(table(labels, labels), table(labels, answers, model_version="2"))
    decision = decide(Policy.model_validate({"rules": [{"metric": "class_nfr", "max": 0.9}]}), comparison)
    lines = [line.strip() for line in shown(render_decision(decision), width=200).splitlines()]
    assert "✓ PASS  class_nfr: 2 of 2 classes passed (about 300 examples each); at most 90.00% is allowed." in lines
    assert "✓ cat (300 examples): 10.00%, at most 13.32%" in lines


def test_one_flip_is_in_the_singular():
    comparison = compare(*pair_of_counts(998, 1, 0, 1))
    decision = decide(Policy.model_validate({"rules": [{"metric": "nfr", "max": 0.5}]}), comparison)
    line = "1,000 examples: 1 negative flip, 0 positive flips, 998 both right, 1 both wrong"
    assert line in shown(render_decision(decision, comparison))
    assert line in to_markdown(decision, comparison)
    assert any(note.startswith("Of 1 negative flip, ") for note in decision.notes)
