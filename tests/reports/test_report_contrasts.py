"""Methods against the first one: differences and intervals against scipy, and the same numbers in every format."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from rich.console import Console, Group
from scipy import stats

from pct_mlops.reports import SeedResult, contrasts, contrasts_csv, contrasts_markdown, render_contrasts

PLAIN = [(0.90, 0.030, 10.0), (0.91, 0.028, 12.0), (0.905, 0.031, 50.0)]
UPDATE = [(0.91, 0.014, 13.0), (0.90, 0.016, 14.0)]


def results(method, values):
    return [SeedResult(method, 1001 + i, {"accuracy": a, "nfr": n}, "", s) for i, (a, n, s) in enumerate(values)]


def by_method(found):
    return {one.method: one for one in found}


def test_differences_and_intervals_are_scipys():
    one = by_method(contrasts([*results("plain", PLAIN), *results("update", UPDATE)]))["update"]
    old, new = np.array(PLAIN), np.array(UPDATE)
    expected = stats.ttest_ind(new[:, 0], old[:, 0], equal_var=False).confidence_interval(0.95)
    change = one.accuracy_change
    assert (change.low, change.high) == pytest.approx(tuple(expected))
    assert change.value == pytest.approx(new[:, 0].mean() - old[:, 0].mean())
    logs = stats.ttest_ind(np.log(new[:, 1]), np.log(old[:, 1]), equal_var=False).confidence_interval(0.95)
    assert (one.nfr_ratio.low, one.nfr_ratio.high) == pytest.approx(tuple(np.exp(logs)))
    assert one.nfr_ratio.value == pytest.approx(stats.gmean(new[:, 1]) / stats.gmean(old[:, 1]))
    assert one.cost == pytest.approx(13.5 / 12.0), "medians: the training that waited for others does not count"
    assert one.nfr_std == pytest.approx(new[:, 1].std(ddof=1))


def test_one_training_and_equal_trainings_have_no_interval():
    found = by_method(contrasts([*results("plain", PLAIN), *results("one", UPDATE[:1])]))["one"]
    assert (found.accuracy_change.low, found.nfr_ratio.high, found.accuracy_std) == (None, None, None)
    same = contrasts([*results("a", PLAIN[:1] * 2), *results("b", UPDATE[:1] * 2)])[1]
    assert (same.accuracy_change.low, same.nfr_ratio.low) == (None, None)


def test_a_rate_of_zero_has_a_ratio_and_no_interval():
    none = [(0.9, 0.0, 1.0), (0.91, 0.01, 1.0)]
    found = contrasts([*results("plain", PLAIN), *results("update", none)])[1]
    assert found.nfr_ratio.value == pytest.approx(0.005 / np.mean([0.03, 0.028, 0.031]))
    assert found.nfr_ratio.low is None
    nothing = contrasts([*results("plain", [(0.9, 0.0, 1.0)]), *results("update", UPDATE)])[1]
    assert nothing.nfr_ratio.value is None


def test_failed_trainings_and_unknown_times():
    failed = SeedResult("update", 1009, None, "diverged")
    unknown = [SeedResult("update", 1001, {"accuracy": 0.9, "nfr": 0.01})]
    found = by_method(contrasts([*results("plain", PLAIN), *unknown, failed]))["update"]
    assert (found.seeds, found.cost) == (1, None)
    assert contrasts([failed, *results("plain", PLAIN)]) == [], "the reference itself failed"
    assert contrasts([]) == []


def test_formats_say_the_same():
    found = contrasts([*results("plain", PLAIN), *results("a|b", UPDATE)])
    console = Console(file=io.StringIO(), width=80)
    console.print(Group(*render_contrasts(found)))
    for text in (console.file.getvalue(), contrasts_markdown(found)):
        for part in ("+0.00 (-", "-50% (-", "1.1 x", "Welch"):
            assert part in text
    assert "a\\|b" in contrasts_markdown(found)
    rows = list(csv.DictReader(io.StringIO(contrasts_csv(found))))
    assert [row["method"] for row in rows] == ["plain", "a|b"]
    assert float(rows[1]["nfr_ratio_low"]) == found[1].nfr_ratio.low
    assert (rows[0]["accuracy_change"], rows[0]["accuracy_change_low"]) == ("0.0", "")


def test_a_single_method_has_nothing_to_compare_with():
    found = contrasts(results("plain", PLAIN))
    assert (render_contrasts(found), contrasts_markdown(found)) == ([], "")
