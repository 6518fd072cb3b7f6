"""Figures are drawn once for all readers, and anew for whatever else is shown."""

from __future__ import annotations

import dataclasses

import pytest

from pct_mlops.charts import flip_areas
from pct_mlops.comparison import FlipCounts
from pct_mlops.explorer.components import figure_cache
from pct_mlops.explorer.state import selection

COUNTS = FlipCounts(8, 1, 2, 3)


@pytest.fixture
def theme(monkeypatch):
    def choose(dark: bool) -> None:
        monkeypatch.setattr(selection, "is_dark", lambda: dark)

    choose(False)
    return choose


def test_the_same_numbers_are_drawn_once(theme):
    first = figure_cache.drawn(flip_areas, COUNTS)

    assert first == flip_areas(COUNTS, dark=False)
    assert figure_cache.drawn(flip_areas, dataclasses.replace(COUNTS)) is first


def test_other_numbers_options_and_themes_are_drawn_anew(theme):
    assert figure_cache.drawn(flip_areas, FlipCounts(8, 1, 3, 2)) == flip_areas(FlipCounts(8, 1, 3, 2))
    assert figure_cache.drawn(flip_areas, COUNTS, height=99).layout.height == 99
    theme(dark=True)
    assert figure_cache.drawn(flip_areas, COUNTS) == flip_areas(COUNTS, dark=True) != flip_areas(COUNTS)
