"""The shares of verdicts: one panel for each rate, intervals, and lines at the limits."""

from __future__ import annotations

import pytest

from pct_mlops.charts.pass_rates import RatePanel, VerdictShares, verdict_shares

SHARES = {"PASS": (0.9, 0.8, 0.95), "INCONCLUSIVE": (0.1, 0.05, 0.2), "FAIL": (0.0, 0.0, 0.02)}


def panel(*rates, limits=()):
    return RatePanel("true NFR", tuple(VerdictShares(rate, SHARES, "<b>equal</b>") for rate in rates), limits)


def test_points_are_in_order_with_their_interval():
    figure = verdict_shares([panel(0.02, 0.01, limits=(("limit of <rule> 1", 0.02),))])
    passed = figure.data[0]
    assert list(passed.x) == [1.0, 2.0]
    assert list(passed.y) == [90.0, 90.0]
    assert passed.error_y.array[0] == pytest.approx(5)
    assert passed.error_y.arrayminus[0] == pytest.approx(10)
    assert passed.hovertext[0] == "&lt;b&gt;equal&lt;/b&gt;<br>PASS: 90.0% (80% to 95%)"
    assert [line.x0 for line in figure.layout.shapes] == [2.0]
    assert figure.layout.annotations[0].text == "limit of &lt;rule&gt; 1"
    assert len({trace.marker.symbol for trace in figure.data}) == 3


def test_each_panel_has_its_lines_and_the_legend_names_them_once():
    figure = verdict_shares([panel(0.01, 0.02), RatePanel("none", ()), panel(-0.01, 0.0)])
    assert len(figure.data) == 6
    assert sum(bool(trace.showlegend) for trace in figure.data) == 3
    assert "No candidates" in verdict_shares([]).layout.annotations[0].text
