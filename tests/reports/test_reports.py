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
    for word in ("✓ PASS", "✗ FAIL", "? INCONCLUSIVE", "20 negative flips", "pets/2 against pets/1", "dog (0)"):
        assert word in text
    assert text.index("fractional_nfr") < text.index("✗ FAIL") < text.index("✓ PASS")


def test_a_brief_decision_counts_the_checks_that_hold(decision, comparison):
    text = shown(render_decision(decision, comparison, brief=True))
    assert "✓ PASS" not in text
    assert "✗ FAIL" in text
    assert "1 checks hold." in text


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
    assert "'[red]cat[/red]'" in text
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
    policy = Policy.model_validate({"rules": [{"metric": "class_nfr", "max": 0.5, "bound": "point"}]})
    text = shown(render_decision(decide(policy, comparison), comparison))
    assert text.index("'class33'") < text.index("'class0'")
    assert "20 more checks" in text
