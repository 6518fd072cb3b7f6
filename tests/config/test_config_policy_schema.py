"""The shipped JSON schema of policies, as an editor uses it."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from pct_mlops.config.policy_schema import POLICY_SCHEMA_FILE, policy_schema, policy_schema_text

ROOT = Path(__file__).resolve().parents[2]
VALIDATOR = jsonschema.Draft202012Validator(policy_schema())


def test_the_shipped_file_is_the_schema():
    again = (
        "python -c 'from pct_mlops.config.policy_schema import *; POLICY_SCHEMA_FILE.write_text(policy_schema_text())'"
    )
    assert POLICY_SCHEMA_FILE.read_text(encoding="utf-8") == policy_schema_text(), f"write it again: {again}"


def test_it_is_a_schema_and_explains_every_key():
    jsonschema.Draft202012Validator.check_schema(policy_schema())
    parts = [policy_schema(), *policy_schema()["$defs"].values()]
    assert [key for part in parts for key, item in part["properties"].items() if "description" not in item] == []


@pytest.mark.parametrize("path", sorted((ROOT / "projects").glob("*/policy.yaml")), ids=lambda path: path.parent.name)
def test_shipped_policies_fit(path):
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        "rules: []",
        "confidence: 0.9",
        "rules: [{metric: nope, max: 0.1}]",
        "rules: [{metric: nfr}]",
        "rules: [{metric: nfr, max: 0.1, min: 0.1}]",
        "rules: [{metric: nfr, max: 0.1, limit: 3}]",
        "{rules: [{metric: nfr, max: 0.1}], pinned: {}}",
        "{rules: [{metric: nfr, max: 0.1}], costs: {a: b}}",
    ],
)
def test_mistakes_are_underlined(text):
    assert not VALIDATOR.is_valid(yaml.safe_load(text))


def test_every_section_fits():
    text = """
    rules:
      - {metric: nfr, max_times_floor: 1.5, classes: [0, cat], slice: {column: camera, value: 2024}, min_support: 30}
      - {metric: weighted_nfr, max: 0.1, classes: all}
    pinned: {file: pinned.csv}
    slices: {file: slices.parquet}
    costs: {cat: 3}
    reviews: {require_acceptance: true, count_apart: [label_error]}
    """
    VALIDATOR.validate(yaml.safe_load(text))
