"""Slices that flip more than the rest: bars, bounds, what is chance, and hostile names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pct_mlops.charts import excess_bars, probability, slice_title
from pct_mlops.charts.far_bounds import BEYOND


def excess(**changes):
    values = {
        "column": "hour",
        "value": "night",
        "support": 1200,
        "flips": 60,
        "nfr": 0.05,
        "lower": 0.03,
        "upper": 0.08,
        "rest_nfr": 0.01,
        "p_value": 0.0002,
    }
    return SimpleNamespace(**{**values, **changes})


def test_bars_carry_their_place_and_end_at_their_bounds():
    figure = excess_bars([excess(), excess(value="dusk", nfr=0.02, lower=0.01, upper=0.04, p_value=0.3)])

    bars, rest = figure.data  # and no arrows
    assert [list(item) for item in bars.customdata] == [[0], [1]]
    assert list(bars.x) == [0.05, 0.02]
    assert bars.x[0] + bars.error_x.array[0] == pytest.approx(0.08)
    assert list(rest.x) == [0.01, 0.01]
    assert list(figure.layout.yaxis.ticktext) == ["hour: night (1,200)", "hour: dusk (1,200)"]
    assert "p &lt; 0.001" in bars.hovertext[0]
    assert figure.layout.xaxis.range[1] >= 0.08


def test_a_bound_of_few_examples_ends_in_an_arrow_and_no_bar_is_cut():
    figure = excess_bars([excess(), excess(value="dusk", support=40, nfr=0.09, lower=0.01, upper=0.4)])

    assert figure.layout.xaxis.range[1] == pytest.approx(1.04 * 0.09)
    (arrow,) = (trace for trace in figure.data if trace.name == BEYOND)
    assert (list(arrow.y), [list(item) for item in arrow.customdata]) == ([1], [[1]])
    assert "1.00% to 40.00%" in arrow.hovertext[0]


def test_what_may_be_chance_looks_unlike_what_is_not():
    bars = excess_bars([excess(), excess(p_value=0.06)]).data[0]

    assert bars.marker.color[0] != bars.marker.color[1]
    assert excess_bars([excess(p_value=0.05)]).data[0].marker.color[0] == bars.marker.color[0]


def test_names_are_shown_and_never_markup():
    figure = excess_bars([excess(column="<b>c</b>", value="<img src=x>")])

    assert "<b>c" not in figure.layout.yaxis.ticktext[0]
    assert "&lt;img" in figure.data[0].hovertext[0]
    assert slice_title(excess()) == "hour: night"


def test_no_slices_give_an_empty_figure():
    assert not excess_bars([]).data


def test_small_probabilities_are_said_to_be_small():
    assert [probability(p) for p in (0.0, 0.00099, 0.001, 0.5)] == ["p < 0.001", "p < 0.001", "p = 0.001", "p = 0.500"]
