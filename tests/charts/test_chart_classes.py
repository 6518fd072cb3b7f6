"""Bars per class: signs, bounds, order and the class that a click means."""

from __future__ import annotations

import pytest

from pct_mlops.charts import ClassRates, class_bars
from pct_mlops.charts.far_bounds import BEYOND
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


def crowd(few, upper):
    """Three classes of 1,000 examples, and one of `few` whose upper bounds lie at `upper`."""
    known = [
        ClassRates(i, f"c{i}", 1000, rate("nfr", 0.02, 0.01, 0.03), rate("pfr", 0.03, 0.02, 0.05), *BOTH)
        for i in range(3)
    ]
    return [*known, ClassRates(9, "rare", few, rate("nfr", 0.0, 0.0, upper), rate("pfr", 0.04, 0.0, upper), *BOTH)]


def test_a_class_with_few_examples_does_not_press_the_others_together():
    figure = class_bars(crowd(5, 0.45))

    left, right = figure.layout.xaxis.range
    assert (left, right) == pytest.approx((-1.04 * 0.05, 1.04 * 0.03))
    to_left, to_right = (trace for trace in figure.data if trace.name == BEYOND)
    assert (list(to_left.x), list(to_right.x)) == ([left], [right]), "at the ends of the axis"
    assert (list(to_left.y), list(to_right.y)) == ([3], [3])
    assert (to_left.marker.symbol, to_right.marker.symbol) == ("triangle-left", "triangle-right")
    # The numbers stay what they are, wherever one points, and a click on an arrow means the class.
    assert bars(figure, "NFR").error_x.array[3] == 0.45
    for trace in (to_right, bars(figure, "NFR")):
        assert "0.00% to 45.00%" in trace.hovertext[-1]
        assert list(trace.customdata[-1]) == [9, "negative"]
    assert any("few examples" in note.text for note in figure.layout.annotations)


@pytest.mark.parametrize(("few", "upper"), [(100, 0.45), (5, 0.04), (1000, 0.9)])
def test_bounds_that_are_known_as_well_or_hardly_longer_are_drawn_whole(few, upper):
    figure = class_bars(crowd(few, upper))

    assert figure.layout.xaxis.range[1] == pytest.approx(1.04 * upper)
    assert not [trace for trace in figure.data if trace.name == BEYOND]
    assert not any("few examples" in note.text for note in figure.layout.annotations)


def test_no_bar_is_ever_cut():
    rare = ClassRates(9, "rare", 3, rate("nfr", 0.33, 0.01, 0.87), rate("pfr", 0.0, 0.0, 0.63), *BOTH)
    figure = class_bars([*crowd(5, 0.45), rare])

    assert figure.layout.xaxis.range[1] == pytest.approx(1.04 * 0.33)
    (arrows,) = (trace for trace in figure.data if trace.name == BEYOND and trace.x[0] > 0)
    assert list(arrows.y) == [3, 4], "the bound of the first, too, lies beyond"
