"""Accuracy against NFR: what is drawn are the numbers, labels hide nothing, the front is the front."""

from __future__ import annotations

import itertools

import pytest

from pct_mlops.charts import MethodPoint, interpolation_curve, pareto, pareto_front
from pct_mlops.reports import CurvePoint

CURVE = [CurvePoint(1, 0.892, 0.0), CurvePoint(0, 0.9034, 0.0212), CurvePoint(0.5, 0.9041, 0.0082)]
METHODS = [
    MethodPoint("none", 0.9012, 0.0198, 0.0011, 0.0009),
    MethodPoint("elodi", 0.9048, 0.0118, 0.0006, 0.0005),
    MethodPoint("<b>mine</b>", 0.8985, 0.0075),
]


def texts(figure):
    return [note.text for note in figure.layout.annotations]


def test_the_curve_goes_by_share_and_marks_the_chosen_one():
    figure = interpolation_curve(CURVE, CURVE[2])

    line, ring = figure.data
    assert list(line.x) == pytest.approx([2.12, 0.82, 0.0])
    assert list(line.y) == pytest.approx([90.34, 90.41, 89.2])
    assert (ring.x[0], ring.y[0]) == pytest.approx((0.82, 90.41))
    assert set(texts(figure)) == {"<b>new</b>", "<b>old</b>", "<b>chosen: 0.5</b>"}
    assert "0.5 of old" in line.hovertext[1]
    assert "accuracy 90.41%" in line.hovertext[1]
    assert "NFR 0.82%" in line.hovertext[1]


def test_an_end_may_be_the_chosen_one_and_the_tolerance_is_a_line():
    figure = interpolation_curve(CURVE, CURVE[1], tolerance=0.002)

    assert figure.layout.shapes[0].y0 == pytest.approx(90.14)
    assert {"<b>new, chosen</b>", "<b>old</b>", "0.5", "new − 0.2 points"} == set(texts(figure))


def test_nfr_to_the_right_accuracy_upwards_everything_inside():
    for figure in (interpolation_curve(CURVE, CURVE[2], tolerance=0.02), pareto(METHODS)):
        (left, right), (low, high) = figure.layout.xaxis.range, figure.layout.yaxis.range
        assert left < right
        assert low < high
        for trace in figure.data:
            assert all(left <= x <= right for x in trace.x)
            assert all(low <= y <= high for y in trace.y)
        assert "lower is better" in figure.layout.xaxis.title.text
        assert "higher is better" in figure.layout.yaxis.title.text


def test_points_that_coincide_have_room_and_no_negative_rates():
    figure = interpolation_curve([CurvePoint(0, 0.9, 0.0), CurvePoint(1, 0.9, 0.0)])

    left, right = figure.layout.xaxis.range
    assert -0.1 < left < 0 < right
    assert len(figure.data) == 1


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_says_so(dark):
    for figure, text in (
        (interpolation_curve([], dark=dark), "No models to show"),
        (pareto([], dark=dark), "No methods to show"),
    ):
        assert not figure.data
        assert texts(figure) == [text]


def test_methods_have_error_bars_only_where_they_have_a_spread():
    figure = pareto(METHODS)

    front, groups = figure.data[0], [trace for trace in figure.data[1:] if trace.x]
    assert list(front.x) == pytest.approx([0.75, 1.18])
    assert list(front.y) == pytest.approx([89.85, 90.48])
    drawn = {}
    for trace in groups:
        for i, text in enumerate(trace.hovertext):
            drawn[text.split("<br>")[0]] = (trace.x[i], trace.y[i], trace.error_y.array, text)
    assert len(drawn) == 3
    none, mine = drawn["<b>none</b>"], drawn["<b>&lt;b&gt;mine&lt;/b&gt;</b>"]
    assert none[:2] == pytest.approx((1.98, 90.12))
    assert list(none[2]) == pytest.approx([0.11])
    assert mine[2] is None
    assert "accuracy 90.12% ± 0.11%" in none[3]
    assert "NFR 1.98% ± 0.09%" in none[3]
    assert "on the Pareto front" in mine[3]
    assert "on the Pareto front" not in none[3]
    assert "<b>&lt;b&gt;mine&lt;/b&gt;</b>" in texts(figure), "names are text, and bold on the front"


@pytest.mark.parametrize("seed", range(5))
def test_the_front_against_its_definition(seed):
    import random

    draw = random.Random(seed)
    points = [MethodPoint(str(i), draw.randrange(8) / 10, draw.randrange(8) / 100) for i in range(15)]
    beaten = set()
    for (i, a), (j, b) in itertools.permutations(enumerate(points), 2):
        better = b.nfr < a.nfr or b.accuracy > a.accuracy
        if i != j and better and b.nfr <= a.nfr and b.accuracy >= a.accuracy:
            beaten.add(i)
    assert pareto_front(points) == set(range(15)) - beaten


def test_labels_of_a_curve_cover_no_other_label():
    points = [CurvePoint(i / 10, 0.9 - 0.002 * (i / 10 - 0.3) ** 2, 0.02 * (1 - i / 10)) for i in range(11)]
    figure = interpolation_curve(points, points[4])
    (left, right), (low, high) = figure.layout.xaxis.range, figure.layout.yaxis.range
    boxes = []
    for note in figure.layout.annotations:
        wide = 7 * len(note.text.replace("<b>", "").replace("</b>", ""))
        x = 640 * (note.x - left) / (right - left) + note.xshift
        y = 380 * (note.y - low) / (high - low) + note.yshift
        start = x - {"left": 0, "center": wide / 2, "right": wide}[note.xanchor]
        base = y - {"bottom": 0, "middle": 8, "top": 16}[note.yanchor]
        boxes.append((start, start + wide, base, base + 16))
    assert len(boxes) > 8
    for one, other in itertools.combinations(boxes, 2):
        assert one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]


def test_where_labels_do_not_fit_the_bold_ones_stay():
    crowd = [CurvePoint(i / 100, 0.9 - i * 1e-9, 0.02 - i * 1e-9) for i in range(100)] + [CurvePoint(1, 0.5, 0.0)]
    shown = texts(interpolation_curve(crowd, crowd[50]))

    assert {"<b>new</b>", "<b>old</b>", "<b>chosen: 0.5</b>"} <= set(shown)
    assert len(shown) < 15
    assert len(texts(pareto([MethodPoint(str(i), 0.9, 0.02) for i in range(20)]))) == 20


def test_a_reference_is_a_line_at_its_accuracy_within_the_axes():
    figure = pareto(METHODS, reference=MethodPoint("<i>old</i>", 0.88, 0.0))

    assert figure.layout.shapes[0].y0 == pytest.approx(88.0)
    assert figure.layout.yaxis.range[0] < 88.0
    assert "&lt;i&gt;old&lt;/i&gt;" in texts(figure)


def test_details_appear_when_one_points_at_a_method():
    figure = pareto([MethodPoint("3", 0.9, 0.01, details=("loss: cna", "<b>x</b>"))])

    shown = next(text for trace in figure.data for text in trace.hovertext or [])
    assert "loss: cna" in shown
    assert "<b>x" not in shown


def test_the_floor_is_a_line_within_the_axes():
    figure = pareto(METHODS, floor=0.05)

    assert figure.layout.shapes[0].x0 == pytest.approx(5.0)
    assert figure.layout.xaxis.range[1] > 5.0
    assert any("retraining alone 5.00%" in text for text in texts(figure))
