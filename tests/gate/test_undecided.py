"""What an undecided class is told: that it may be luck, and about how many examples would decide."""

from __future__ import annotations

import pytest
from counted import counted

from pct_mlops.config import Policy
from pct_mlops.gate import Verdict, decide


def judged(flips, nums, *rules, **settings):
    return decide(Policy.model_validate({"rules": rules, **settings}), counted(flips, nums))


RULE = {"metric": "class_nfr", "max": 0.05}


def test_what_would_be_a_failure_alone_is_undecided_among_many():
    alone = judged([20], [200], RULE).checks[0]
    assert alone.verdict is Verdict.FAIL
    assert alone.corrected_bound is None
    among = judged([20] + [2] * 99, [200] * 100, RULE)
    first = among.checks[0]
    assert (first.verdict, among.verdict) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    assert first.lower > 0.05 >= first.corrected_bound, "outside on its own, not at the corrected level"
    assert "looks outside, but of so many checks one may by chance" in first.sentence
    assert f"about {first.examples_needed:,} examples of this class would decide" in first.sentence
    assert {check.verdict for check in among.checks[1:]} == {Verdict.PASS}


@pytest.mark.parametrize(("flips", "better"), [(20, False), (7, True)])
def test_the_number_of_examples_decides_at_the_corrected_level(flips, better):
    others = [2] * 99
    check = judged([flips, *others], [200] * 100, RULE).checks[0]
    assert check.verdict is Verdict.INCONCLUSIVE
    for share, expected in ((1.0, Verdict.PASS if better else Verdict.FAIL), (0.85, Verdict.INCONCLUSIVE)):
        num = check.examples_needed * share
        again = judged([round(flips / 200 * num), *others], [round(num), *[200] * 99], RULE).checks[0]
        assert again.verdict is expected


def test_an_accusation_says_that_it_was_corrected():
    decision = judged([60] + [2] * 99, [200] * 100, RULE)
    check = decision.checks[0]
    assert (check.verdict, decision.verdict) == (Verdict.FAIL, Verdict.FAIL)
    assert check.lower > check.corrected_bound > 0.05
    assert "lower bound at 95% confidence, corrected for the number of checks, is" in check.sentence
    assert f"{check.corrected_bound:.2%}" in check.sentence


def test_every_accusation_makes_the_next_one_easier():
    """Holm's step-down: what 20 flips cannot show among 3 checks, they show once the other two are out."""
    flips, nums = [17, 2, 2], [200, 200, 200]
    assert judged(flips, nums, RULE).checks[0].verdict is Verdict.INCONCLUSIVE
    assert [check.verdict for check in judged([17, 90, 90], nums, RULE).checks] == [Verdict.FAIL] * 3


def test_rules_do_not_count_each_others_classes():
    named = [{**RULE, "classes": [f"class {k}"]} for k in range(3)]
    assert judged([17, 2, 2], [200] * 3, *named).checks[0].verdict is Verdict.FAIL
