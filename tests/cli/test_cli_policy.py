"""pct policy check: in order, in words; or one sentence and exit code 2."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pct_mlops.cli import main
from pct_mlops.comparison import clopper_pearson, tango
from pct_mlops.config import Policy
from pct_mlops.gate.explain import explain

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = """
confidence: 0.9
rules:
  - {metric: nfr, max: 0.02}
  - {metric: nfr, max_times_floor: 1.5}
  - {metric: class_nfr, max: 0.05, min_support: 100}
  - {metric: nfr, max: 0.01, classes: [cat, "dog\x1b[31m"]}
  - {metric: nfr, max: 0.03, slice: {column: camera, value: night}, bound: point}
  - {metric: nfr, max: 0, slice: {column: camera}}
  - {metric: accuracy_new, min: 0.9}
  - {metric: weighted_nfr, max: 0.1}
  - {metric: ece_new, max: 0.05, bound: point}
pinned: {file: pins.csv}
slices: {file: slices.csv}
costs: {cat: 3}
reviews: {require_acceptance: true, count_apart: [label_error]}
"""


@pytest.fixture
def everything(tmp_path):
    (tmp_path / "pins.csv").write_text("sample_id\na\nb\n")
    (tmp_path / "slices.csv").write_text("sample_id,camera\na,night\n")
    path = tmp_path / "policy.yaml"
    path.write_text(EVERYTHING.replace("\x1b", "\\x1b"))
    return path


def test_every_section_is_said_in_words(everything, capsys):
    assert main(["policy", "check", str(everything)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "at 90% confidence",
        "1. nfr (negative flips: old right, new wrong) is at most 2.00%, and so is its upper bound.",
        "2. nfr (negative flips: old right, new wrong) is at most 1.5 times the measured floor",
        "in every class with at least 100 examples is at most 5.00%",
        "where camera is 'night' is at most 3.00%, as observed",
        "where camera is any one value is at most 0.00%",
        "No number of examples shows that it is 0%",
        "a FAIL must hold after Holm's correction for their number",
        "accuracy_new (what the new model gets right) is at least 90.00%, and so is its lower bound",
        "none of 2 examples of pins.csv may flip again",
        "Costs of a flip: cat 3; any other class 1.",
        "one must accept the candidate for this very baseline",
        "marked label error are left out",
    ):
        assert words in text
    assert "\x1b" not in text


def test_the_numbers_of_examples_are_those_that_pass(everything):
    for words, limit, is_maximum in (("1.", 0.02, True), ("7.", 0.9, False)):
        (line,) = (line for line in explain(Policy.read(everything)) if line.startswith(words))
        found = re.findall(r"from about ([\d,]+) examples at ([\d.]+)%", line)
        assert len(found) == 2
        for number, rate in found:
            num, share = int(number.replace(",", "")), float(rate) / 100
            for size, passes in ((num, True), (num * 0.88, False)):
                lower, upper = clopper_pearson(share * size, size, 0.9)
                assert (upper <= limit if is_maximum else lower >= limit) is passes


def test_a_change_of_accuracy_is_explained_by_pairs():
    policy = Policy.model_validate({"rules": [{"metric": "accuracy_change", "min": -0.002}]})
    number = int(re.search(r"from about ([\d,]+) examples at \+0.00 points", explain(policy)[1])[1].replace(",", ""))
    assert tango(0.01 * number, 0.01 * number, number, 0.95)[0] >= -0.002
    assert tango(0.0088 * number, 0.0088 * number, 0.88 * number, 0.95)[0] < -0.002


@pytest.mark.parametrize("path", sorted((ROOT / "projects").glob("*/policy.yaml")), ids=lambda path: path.parent.name)
def test_shipped_policies_are_in_order(path, capsys):
    assert main(["policy", "check", str(path)]) == 0
    assert "is in order" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [{metric: nfrr, max: 0.1}]", "Unknown metric 'nfrr'"),
        ("rules: [{metric: nfr, max: 1.5}]", "between 0 and 1"),
        ("rules: []", "no rules"),
        ("rules: [{metric: nfr, max: 0.1}]\npinned: {file: none.csv}", "there is no file"),
        ("\x00", "not a text file"),
    ],
)
def test_a_bad_policy_is_one_sentence_and_exit_code_2(tmp_path, capsys, text, message):
    (tmp_path / "p.yaml").write_text(text)
    assert main(["policy", "check", str(tmp_path / "p.yaml")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_the_schema_is_printed(capsys):
    assert main(["policy", "check", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["required"] == ["rules"]


def test_nothing_to_check(capsys):
    assert main(["policy", "check"]) == 2
    assert "name a policy file" in capsys.readouterr().err


def test_the_example_with_every_section_is_in_order(tmp_path, capsys):
    page = (ROOT / "docs" / "how-to" / "policy.md").read_text(encoding="utf-8")
    (block,) = [text for text in re.findall(r"```yaml.*?\n(.*?)```", page, re.DOTALL) if "pinned:" in text]
    (tmp_path / "policy.yaml").write_text(block)
    (tmp_path / "pinned.csv").write_text("sample_id\na\n")
    pq.write_table(pa.table({"sample_id": ["a"], "camera": ["front"]}), tmp_path / "slices.parquet")
    assert main(["policy", "check", str(tmp_path / "policy.yaml")]) == 0
    assert "7. weighted_nfr" in capsys.readouterr().out
