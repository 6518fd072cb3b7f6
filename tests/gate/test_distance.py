"""How far a check is from its limit agrees with its verdict."""

from __future__ import annotations

import pytest

from pct_mlops.gate import Check, Verdict
from pct_mlops.gate.limit_distance import distance, is_at_most


def check(verdict, bound, value=0.1, lower=0.05, upper=0.2, limit=0.15):
    return Check("nfr", None, value, lower, upper, limit, bound, verdict, "")


@pytest.mark.parametrize(
    ("given", "expected", "at_most"),
    [
        (check(Verdict.PASS, "upper", upper=0.12), 0.03, True),
        (check(Verdict.INCONCLUSIVE, "upper"), -0.05, True),
        (check(Verdict.FAIL, "upper", lower=0.16, upper=0.3), -0.15, True),
        (check(Verdict.PASS, "lower", lower=0.16), 0.01, False),
        (check(Verdict.INCONCLUSIVE, "lower"), -0.1, False),
        (check(Verdict.PASS, "point"), 0.05, True),
        (check(Verdict.FAIL, "point"), -0.05, False),
        (check(Verdict.PASS, "point", value=0.2), 0.05, False),
        (check(Verdict.FAIL, "point", value=0.2), -0.05, True),
        (check(Verdict.PASS, "point", value=0.15), 0.0, True),
    ],
)
def test_inside_is_positive(given, expected, at_most):
    assert distance(given) == pytest.approx(expected)
    assert is_at_most(given) is at_most


@pytest.mark.parametrize("missing", [{"limit": None}, {"upper": None}])
def test_what_is_undefined_has_no_distance(missing):
    assert distance(check(Verdict.ERROR, "upper", **missing)) is None
    assert distance(check(Verdict.ERROR, "point", value=None)) is None
