from __future__ import annotations

import pytest
from pydantic import ValidationError

from pct_mlops.config import PctError, Policy, Rule

GOOD = """\
confidence: 0.9
rules:
  - {metric: nfr, max: 0.02}
  - {metric: accuracy_change, min: -0.002, bound: lower}
  - {metric: class_nfr, max: 0.05, min_support: 100, bound: point}
"""


def _write(tmp_path, text):
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_policy_file(tmp_path):
    policy = Policy.read(_write(tmp_path, GOOD))
    assert (policy.evaluation, policy.baseline, policy.confidence) == ("test", "production", 0.9)
    assert [(rule.metric, rule.bound, rule.min_support) for rule in policy.rules] == [
        ("nfr", "upper", 1),
        ("accuracy_change", "lower", 1),
        ("class_nfr", "point", 100),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("- a\n", "it holds a list"),
        ("rules: [", "not valid YAML"),
        ("confidense: 0.9\n", "unknown key 'confidense' .did you mean confidence"),
        ("rules: [{metric: nfr, max: 0.1, limit: 2}]\n", "rules.0.limit"),
        ("rules: [{metric: nfr}]\n", "needs either 'max' or 'min'"),
        ("rules: [{metric: nfr, max: 0.1, min: 0.0}]\n", "only one of them"),
        ("rules: [{metric: nfr, max: 0.1, bound: lower}]\n", "'upper' goes with 'max'"),
        ("rules: [{metric: nfr, min: 0.1, bound: upper}]\n", "'upper' goes with 'max'"),
        ("rules: [{metric: nfr, max: .nan}]\n", "rules.0.max"),
        ("rules: [{metric: nfr, max: .inf}]\n", "rules.0.max"),
        ("rules: [{metric: nfr, max: 0.1, min_support: 0}]\n", "min_support"),
        ("rules: [{max: 0.1}]\n", "rules.0.metric"),
        ("confidence: 1.0\n", "confidence"),
        ("confidence: 0.5\n", "confidence"),
        ("confidence: 0.9999999\n", "confidence"),
        ("evaluation: val\n", "cannot judge it: use 'test'"),
        ("evaluation: train\n", "cannot judge it: use 'test'"),
    ],
)
def test_mistakes_are_named_with_file_and_key(tmp_path, text, message):
    path = _write(tmp_path, text)
    with pytest.raises(PctError, match=message) as error:
        Policy.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(PctError, match="There is no file"):
        Policy.read(tmp_path / "none.yaml")


def test_digest_is_of_what_decides_not_of_how_it_is_written(tmp_path):
    spelled_out = GOOD.replace("max: 0.02}", "max: 0.020, bound: upper, min_support: 1}") + "baseline: production\n"
    digest = Policy.read(_write(tmp_path, GOOD)).digest
    assert Policy.read(_write(tmp_path, "# a comment\n" + spelled_out)).digest == digest
    assert Policy.read(_write(tmp_path, GOOD.replace("0.02}", "0.021}"))).digest != digest
    assert Policy.read(_write(tmp_path, GOOD.replace("0.9", "0.95"))).digest != digest


def test_policies_are_frozen():
    rule = Rule(metric="nfr", max=0.1)
    with pytest.raises(ValidationError):
        rule.max = 1.0
