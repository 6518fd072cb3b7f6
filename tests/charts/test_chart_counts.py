"""The areas of the 2x2 are the numbers."""

from __future__ import annotations

import pytest

from pct_mlops.charts import flip_areas
from pct_mlops.comparison import FlipCounts


def area(bar) -> float:
    return bar.width[0] * bar.y[0]


@pytest.mark.parametrize("numbers", [(880, 20, 60, 40), (0, 0, 3, 5), (7, 0, 0, 0), (0, 9, 0, 0), (1, 1, 1, 1)])
def test_each_area_is_its_groups_share(numbers):
    figure = flip_areas(FlipCounts(*numbers))

    areas = {bar.name: area(bar) for bar in figure.data}
    names = ("Both right", "Negative flips", "Positive flips", "Both wrong")
    assert areas == pytest.approx({name: number / sum(numbers) for name, number in zip(names, numbers, strict=True)})


def test_the_areas_tile_the_unit_square_without_overlap():
    boxes = []
    for bar in flip_areas(FlipCounts(880, 20, 60, 40)).data:
        left = bar.x[0] - bar.width[0] / 2
        boxes.append((left, left + bar.width[0], bar.base[0], bar.base[0] + bar.y[0]))

    assert all(-1e-9 <= edge <= 1 + 1e-9 for box in boxes for edge in box)
    for i, (left, right, low, high) in enumerate(boxes):
        for other_left, other_right, other_low, other_high in boxes[i + 1 :]:
            wide = min(right, other_right) - max(left, other_left)
            tall = min(high, other_high) - max(low, other_low)
            assert min(wide, tall) <= 1e-9


def test_labels_carry_count_and_percent():
    labels = [note.text for note in flip_areas(FlipCounts(8800, 123, 677, 400)).layout.annotations]

    assert any("Negative flips" in text and "123" in text and "1.23%" in text for text in labels)
    assert any("Both right" in text and "8,800" in text and "88.00%" in text for text in labels)


def test_no_examples_say_so():
    figure = flip_areas(FlipCounts(0, 0, 0, 0))

    assert not figure.data
    assert figure.layout.annotations[0].text == "No examples"
