"""Ticks: round steps, one number of decimals on an axis, and numbers that can be read on every cell."""

from __future__ import annotations

import pytest

from pct_mlops.charts.palette import FLIP_SCALE, PAGE, PAGE_ON_DARK, ink_on_flips, luminance
from pct_mlops.charts.ticks import fraction_ticks, nice_step, percent_ticks, share


@pytest.mark.parametrize(
    ("span", "most", "step"),
    [(1, 8, 0.2), (0.8, 8, 0.1), (0.08, 8, 0.01), (35, 8, 5), (4, 4, 1), (4.1, 4, 2), (9e-4, 8, 2e-4), (7e3, 8, 1e3)],
)
def test_a_step_is_round_and_gives_no_more_ticks_than_asked_for(span, most, step):
    assert nice_step(span, most) == pytest.approx(step)


def test_every_tick_of_an_axis_has_as_many_decimals():
    assert percent_ticks(0.5) == {"dtick": pytest.approx(0.1), "tickformat": ".1f", "ticksuffix": "%"}
    assert percent_ticks(40)["tickformat"] == ".0f"
    assert fraction_ticks(0.03)["tickformat"] == ".1%"
    assert fraction_ticks(0.002)["tickformat"] == ".2%"
    assert [share(tick, 0.005) for tick in (0.0, 0.005, 0.01)] == ["0.0%", "0.5%", "1.0%"]
    assert share(0.2, 0.1) == "20%"


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_in_cells_have_contrast(dark):
    """WCAG 2 asks for 4.5 to 1; opacity runs along FLIP_SCALE as Plotly interpolates it."""
    faint, solid = ([float(part) for part in colour[5:-1].split(",")] for _, colour in FLIP_SCALE[1:])
    page = PAGE_ON_DARK if dark else PAGE
    for step in range(101):
        opacity = faint[3] + (solid[3] - faint[3]) * step / 100
        behind = luminance(
            [opacity * over + (1 - opacity) * under for over, under in zip(solid[:3], page, strict=True)]
        )
        text = luminance(bytes.fromhex(ink_on_flips(step / 100, dark)[1:]))
        light, low = max(behind, text), min(behind, text)
        assert (light + 0.05) / (low + 0.05) >= 4.5
