"""Bars per class: signs, bounds, order and the class that a click means."""

from __future__ import annotations

import pytest

from pct_mlops.charts import ClassRates, class_bars
from pct_mlops.charts.classes import distinct
from pct_mlops.comparison import Estimate


def rate(metric, value, lower, upper):
    return Estimate(
        metric=metric, value=value, lower=lower, upper=upper, confidence=0.95, numerator=None, denominator=None
    )


BOTH = rate("accuracy_old", 0.9, 0.8, 0.95), rate("accuracy_new", 0.7, 0.6, 0.8)


@pytest.fixture
def figure():
    rows = [
        ClassRates(7, "cat", 100, rate("nfr", 0.05, 0.02, 0.11), rate("pfr", 0.02, 0.01, 0.06), *BOTH),
        ClassRates(2, "dog", 50, rate("nfr", 0.0, 0.0, 0.06), rate("pfr", 0.10, 0.04, 0.2), *BOTH),
    ]
    return class_bars(rows)


def bars(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


def test_negative_flips_go_right_and_positive_left(figure):
    assert list(bars(figure, "NFR").x) == [0.05, 0.0]
    assert list(bars(figure, "PFR").x) == [-0.02, -0.10]


def test_error_bars_end_at_the_bounds_on_both_sides(figure):
    for name, bounds in (("NFR", [(0.02, 0.11), (0.0, 0.06)]), ("PFR", [(-0.06, -0.01), (-0.2, -0.04)])):
        trace = bars(figure, name)
        ends = [
            (x - minus, x + plus)
            for x, plus, minus in zip(trace.x, trace.error_x.array, trace.error_x.arrayminus, strict=True)
        ]
        assert ends == [pytest.approx(pair) for pair in bounds]


def test_bars_carry_the_class_index_and_stay_in_order_from_the_top(figure):
    assert [list(item) for item in bars(figure, "NFR").customdata] == [[7, "negative"], [2, "negative"]]
    assert [list(item) for item in bars(figure, "PFR").customdata] == [[7, "positive"], [2, "positive"]]
    assert list(figure.layout.yaxis.ticktext) == ["cat (100)", "dog (50)"]
    top, bottom = figure.layout.yaxis.range[1], figure.layout.yaxis.range[0]
    assert top < bottom


def test_bounds_fit_the_axis(figure):
    left, right = figure.layout.xaxis.range
    assert left <= -0.2
    assert right >= 0.11


def test_an_undefined_rate_is_written_as_undefined_and_not_as_zero():
    unknown = (rate(metric, None, None, None) for metric in ("nfr", "pfr", "accuracy_old", "accuracy_new"))
    figure = class_bars([ClassRates(0, "none", 0, *unknown)])

    assert "undefined" in bars(figure, "NFR").hovertext[0]
    assert "0.00" not in bars(figure, "NFR").hovertext[0]


def test_markup_in_a_class_name_is_shown_and_not_interpreted():
    name = "<a href='x'>a</a>"
    figure = class_bars([ClassRates(0, name, 9, rate("nfr", 0.1, 0.0, 0.3), rate("pfr", 0.1, 0.0, 0.3), *BOTH)])

    assert "<a" not in figure.layout.yaxis.ticktext[0]
    assert "<a" not in bars(figure, "NFR").hovertext[0]
    assert "&lt;a" in figure.layout.yaxis.ticktext[0]


def test_no_classes_give_an_empty_figure():
    assert not class_bars([]).data


def test_old_and_new_accuracy_stand_beside_the_bars_of_their_class():
    rows = [
        ClassRates(7, "cat", 100, rate("nfr", 0.2, 0.1, 0.3), rate("pfr", 0.0, 0.0, 0.1), *BOTH),
        ClassRates(2, "dog", 50, rate("nfr", 0.0, 0.0, 0.1), rate("pfr", 0.2, 0.1, 0.3), *reversed(BOTH)),
        ClassRates(3, "none", 0, *(rate("", None, None, None) for _ in range(4))),
    ]

    figure = class_bars(rows)

    old, new = (next(trace for trace in figure.data if trace.name == f"accuracy {which}") for which in ("old", "new"))
    assert [list(old.x), list(new.x), list(new.y)] == [[0.9, 0.7], [0.7, 0.9], [0, 1]]
    assert [list(item) for item in new.customdata] == [[7, "all"], [2, "all"]]
    assert "accuracy 90.00% → 70.00%" in new.hovertext[0]
    assert figure.layout.xaxis2.range[0] < 0.7
    assert figure.layout.xaxis2.range[1] > 0.9
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]


def test_long_names_that_begin_alike_are_told_apart_by_their_ends():
    names = [
        "breastplate, aegis, egis 12",
        "breastplate, aegis, egis 138",
        "a maillot, tank suit, and more",
        "ant",
        "ant",
    ]

    assert distinct(names, 18) == ["breastpl…egis 12", "breastpl…egis 138", "a maillot, tank s…", "ant", "ant"]
    assert max(map(len, distinct(names, 18))) <= 18
