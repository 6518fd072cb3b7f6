"""Moves of production: their rates over time, what they add up to, and what cannot be drawn."""

from __future__ import annotations

import pytest

from pct_mlops.charts import MovePoint, move_history, running
from pct_mlops.charts.history import LOOKS
from pct_mlops.comparison import Estimate


def point(day, kind="promotion", nfr=0.02, flips=200, **changes):
    estimate = None if nfr is None else Estimate("nfr", nfr, nfr / 2, nfr * 1.5, 0.95)
    values = {"when": f"2026-01-{day:02d}T10:00:00+00:00", "title": f"{day - 1} → {day}", "details": ("<b>why</b>",)}
    return MovePoint(**{**values, **changes}, kind=kind, nfr=estimate, num_flips=flips)


MOVES = [point(1, nfr=None, flips=None), point(2), point(3, "rollback", 0.05, 500), point(9, "override", 0.01, 100)]


def test_flips_add_up_and_unknown_ones_add_none():
    assert running(MOVES) == [0, 200, 700, 800]
    assert list(move_history(MOVES).data[-1].y) == [200, 700, 800]


def test_each_kind_has_a_symbol_of_its_own_and_bounds_around_its_rate():
    figure = move_history(MOVES)

    traces = {trace.name: trace for trace in figure.data if trace.name}
    assert {name: list(trace.y) for name, trace in traces.items()} == {
        "promotion": [2.0],
        "rollback": [5.0],
        "override": [1.0],
        "adopted": [],
    }
    assert len({symbol for symbol, _ in LOOKS.values()}) == len(LOOKS)
    assert all(trace.marker.symbol == LOOKS[name][0] for name, trace in traces.items())
    error = traces["rollback"].error_y
    assert (5.0 - error.arrayminus[0], 5.0 + error.array[0]) == pytest.approx((2.5, 7.5))
    assert figure.layout.yaxis.range[1] >= 7.5


def test_texts_are_escaped_and_all_is_within_the_axes():
    figure = move_history([point(2, title="<i>x</i>"), point(3)])

    promotions = figure.data[0]
    assert "<i>" not in promotions.text[0]
    assert "&lt;b&gt;why" in promotions.hovertext[0]
    start, end = figure.layout.xaxis.range
    assert start < promotions.x[0] < promotions.x[1] < end


def test_many_moves_are_not_named_and_none_give_an_empty_figure():
    assert move_history([point(day) for day in range(1, 20)]).data[0].mode == "markers"
    assert move_history([point(2)]).data[0].mode == "markers+text"
    assert not move_history([MOVES[0]]).data
    assert not move_history([]).data
