"""Whatever the policy and the counts: a PASS is inside every limit, a FAIL outside one, and what is unknown refuses."""

from __future__ import annotations

from counted import counted
from hypothesis import given, settings
from hypothesis import strategies as st

from pct_mlops.config import Policy
from pct_mlops.config.metric_names import LIMITS, METRIC_INFO
from pct_mlops.gate import Verdict, decide
from pct_mlops.gate.decision import WORST_FIRST


@st.composite
def rule(draw):
    metric = draw(st.sampled_from(sorted(METRIC_INFO)))
    low, _ = LIMITS[METRIC_INFO[metric].unit]
    side = draw(st.sampled_from(["max", "min"]))
    found = {"metric": metric, side: draw(st.floats(low, 1, allow_nan=False)), "min_support": draw(st.integers(1, 30))}
    if draw(st.booleans()):
        found["bound"] = "point"
    classes = draw(st.sampled_from([None, "all", ["class 0"], ["class 1", "class 0"], ["nowhere"]]))
    return found if classes is None else {**found, "classes": classes}


def _limit(found):
    return found["metric"], found.get("max", found.get("min"))


@st.composite
def counts(draw):
    nums = draw(st.lists(st.integers(0, 400), min_size=2, max_size=5).filter(sum))
    return [draw(st.integers(0, num)) for num in nums], nums


@settings(max_examples=150, deadline=None)
@given(st.lists(rule(), min_size=1, max_size=3, unique_by=_limit), counts(), st.floats(0.6, 0.99))
def test_verdicts_follow_from_what_was_observed(rules, seen, confidence):
    policy = Policy.model_validate({"rules": rules, "confidence": confidence})
    decision = decide(policy, counted(*seen))
    assert decision.checks
    assert decision.verdict is next(v for v in WORST_FIRST if any(check.verdict is v for check in decision.checks))
    limits = {(r.metric, r.limit()): r.is_maximum for r in policy.rules}
    for check in decision.checks:
        if check.verdict is Verdict.ERROR:
            continue
        assert check.value is not None
        is_maximum = limits[check.metric, check.limit]
        inside = check.value <= check.limit if is_maximum else check.value >= check.limit
        if check.verdict is Verdict.PASS:
            assert inside
            assert check.bound == "point" or (check.upper <= check.limit if is_maximum else check.lower >= check.limit)
        if check.verdict is Verdict.FAIL:
            assert not inside
        assert check.sentence.endswith(".")
        assert "\n" not in check.sentence


@settings(max_examples=50, deadline=None)
@given(counts(), st.floats(0.001, 0.5), st.floats(0.6, 0.98))
def test_more_confidence_never_turns_a_refusal_into_a_pass(seen, limit, confidence):
    rules = [{"metric": "nfr", "max": limit}, {"metric": "class_nfr", "max": limit}]
    comparison = counted(*seen)
    loose, strict = (
        decide(Policy.model_validate({"rules": rules, "confidence": level}), comparison)
        for level in (confidence, confidence + 0.015)
    )
    for before, after in zip(loose.checks, strict.checks, strict=True):
        if after.verdict in (Verdict.PASS, Verdict.FAIL):
            assert before.verdict is after.verdict
