"""Where numbers lie on a line with their limit."""

from __future__ import annotations

import pytest

from pct_mlops.gate import ruler


@pytest.mark.parametrize("numbers", [(0.03, 0.02, 0.04, 0.05), (-0.01, -0.02, 0.001, -0.005), (0.9, 0.8, 0.95, 0.2)])
def test_places_keep_the_order_of_the_numbers_inside_the_line(numbers):
    value, lower, upper, limit = numbers
    line = ruler(value, lower, upper, limit)

    given = {line.start: lower, line.end: upper, line.value: value, line.limit: limit}
    assert [given[place] for place in sorted(given)] == sorted(numbers)
    assert all(0 < place < 1 for place in line)
    # Distances are in proportion: one scale for all four.
    assert (line.value - line.start) * (upper - lower) == pytest.approx((line.end - line.start) * (value - lower))


def test_without_bounds_they_are_the_value_and_without_a_limit_there_is_no_line():
    line = ruler(0.2, None, None, 0.1)
    assert line.start == line.end == line.value
    assert ruler(0.2, 0.1, 0.3, None) is None
    assert ruler(None, None, None, 0.1) is None


def test_nothing_but_zeros_divides_by_nothing():
    assert ruler(0.0, 0.0, 0.0, 0.0) is not None
