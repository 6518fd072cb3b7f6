"""Other limits in memory: they decide as a policy file does, and are written as one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prediction_tables import pair_of_counts

from pct_mlops.comparison import compare
from pct_mlops.config import Policy
from pct_mlops.gate import Verdict, check_rule, decide, tightest, to_yaml, with_limits

RULES = [
    {"metric": "nfr", "max": 0.01},
    {"metric": "accuracy_change", "min": 0.02},
    {"metric": "relative_nfr", "max": 0.9, "bound": "point"},
    {"metric": "class_nfr", "max": 0.5, "min_support": 5},
    {"metric": "pfr", "max": 0.5, "classes": ["cat"]},
]


@pytest.fixture(scope="module")
def comparison():
    return compare(*pair_of_counts(900, 20, 50, 30))


@pytest.fixture
def policy():
    return Policy.model_validate({"rules": RULES, "confidence": 0.9})


def test_other_limits_change_the_verdict_and_nothing_else(policy, comparison):
    copy = with_limits(policy, {0: 0.04, 1: 0.01}, 0.95)

    assert [str(decide(p, comparison).verdict) for p in (policy, copy)] == ["FAIL", "PASS"]
    assert (copy.rules[0].max, copy.rules[1].min, copy.confidence) == (0.04, 0.01, 0.95)
    assert copy.rules[2:] == policy.rules[2:]
    assert with_limits(policy, {}) == policy
    assert policy.rules[0].max == 0.01


def test_what_is_written_is_read_as_the_same_policy(policy, tmp_path):
    copy = with_limits(policy, {0: 0.0123, 3: 0.25}, 0.975)
    file = tmp_path / "policy.yaml"

    file.write_text(to_yaml(copy), encoding="utf-8")

    assert Policy.read(file) == copy
    assert Policy.read(file).digest == copy.digest


def test_a_rule_alone_gives_the_checks_that_it_gives_among_others(policy, comparison):
    alone = [
        replace(check, rule=number)
        for number, rule in enumerate(policy.rules, start=1)
        for check in check_rule(rule, comparison, policy.confidence)[0]
    ]

    assert decide(policy, comparison).checks == tuple(alone)


def test_the_tightest_check_of_a_rule_has_the_worst_verdict_and_then_the_least_room(policy, comparison):
    (check,) = check_rule(policy.rules[0], comparison, 0.9)[0]
    worse = replace(check, upper=check.upper + 0.1)
    passing = replace(worse, verdict=Verdict.PASS, upper=1.0)
    undefined = replace(passing, verdict=Verdict.ERROR, upper=None)

    assert tightest([passing, check, worse]) == worse
    assert tightest([worse, undefined]) == undefined
