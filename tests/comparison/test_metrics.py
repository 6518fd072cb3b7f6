"""Every metric by hand on one 2x2, where it is undefined, and what holds for all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pct_mlops.comparison import METRICS
from pct_mlops.comparison.metrics import metric
from pct_mlops.comparison.totals import Calibration, Totals
from pct_mlops.config import PctError
from pct_mlops.config.metric_names import METRIC_INFO

TOTALS = replace(
    Totals(60, 8, 12, 20, both_wrong_changed=5, excess_confidence=2.5, type_1=3, type_2=2).weighed(2.0),
    old_calibration=Calibration(0.1, 0.3),
    new_calibration=Calibration(0.2, 0.4),
)
BY_HAND = {
    "accuracy_old": 0.68,
    "accuracy_new": 0.72,
    "accuracy_change": 0.04,
    "nfr": 0.08,
    "pfr": 0.12,
    "class_nfr": 0.08,
    "relative_nfr": 0.08 / (0.68 * 0.28),
    "nfi": 8 / 28,
    "pfi": 12 / 72,
    "btc": 60 / 68,
    "bec_new": 20 / 28,
    "bec_old": 20 / 32,
    "churn": 0.25,
    "nfr_mc": 0.13,
    "fractional_nfr": 0.025,
    "type_1_flips": 0.03,
    "type_2_flips": 0.02,
    "weighted_nfr": 0.08,
    "ece_old": 0.1,
    "ece_new": 0.2,
    "nll_old": 0.3,
    "nll_new": 0.4,
}


def test_no_metric_was_forgotten_here():
    assert set(METRICS) == set(BY_HAND)
    assert list(METRICS) == list(METRIC_INFO), "each has words and a unit, in the same order"


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_by_hand(name):
    found = METRICS[name].evaluate(TOTALS, 0.95)
    assert found.value == pytest.approx(BY_HAND[name], abs=1e-12)
    if found.lower is not None:
        assert found.lower < found.value < found.upper
    assert METRICS[name].summary
    assert METRICS[name].name == name


UNDEFINED = {
    "relative_nfr": [Totals(both_right=5), Totals(both_wrong=5)],
    "nfi": [Totals(both_right=5)],
    "bec_new": [Totals(both_right=5)],
    "bec_old": [Totals(both_right=5, negative_flips=1)],
    "pfi": [Totals(both_wrong=5)],
    "btc": [Totals(both_wrong=5, positive_flips=1)],
}


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_undefined_is_none_and_never_zero(name):
    for totals in (Totals(), *UNDEFINED.get(name, [])):
        found = METRICS[name].evaluate(totals, 0.95)
        assert (found.value, found.lower, found.upper) == (None, None, None)


counts = st.integers(0, 50)


@given(counts, counts, counts, counts)
def test_identity_of_flips_and_errors(both_right, negative, positive, both_wrong):
    totals = Totals(both_right, negative, positive, both_wrong)
    if not totals.num:
        return
    value = {name: METRICS[name].evaluate(totals, 0.95).value for name in METRICS}
    gain = value["accuracy_new"] - value["accuracy_old"]
    assert value["pfr"] - value["nfr"] == pytest.approx(gain, abs=1e-12)
    assert value["accuracy_change"] == pytest.approx(gain, abs=1e-12)
    for name, definition in METRICS.items():
        if definition.unit == "share" and value[name] is not None:
            assert 0 <= value[name] <= 1


@given(st.tuples(counts, counts, counts, counts).filter(any), st.floats(0.55, 0.98))
def test_bounds_widen_with_confidence_and_close_with_examples(cells, confidence):
    totals = Totals(*cells)
    for name in ("nfr", "accuracy_change", "btc"):
        narrow, wide = (METRICS[name].evaluate(totals, level) for level in (confidence, 0.999))
        larger = METRICS[name].evaluate(totals.scaled(50), confidence)
        if narrow.value is None:
            continue
        assert wide.lower <= narrow.lower <= narrow.value <= narrow.upper <= wide.upper
        assert narrow.lower - 1e-9 <= larger.lower <= larger.upper <= narrow.upper + 1e-9


def test_unknown_metric_says_which_exist():
    with pytest.raises(PctError, match="Unknown metric 'nfrr': choose one of nfr"):
        metric("nfrr")
