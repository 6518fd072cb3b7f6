"""The flip matrix: every count in its cell, and the busiest classes when there are many."""

from __future__ import annotations

from pct_mlops.charts import busiest, flip_matrix
from pct_mlops.comparison import FlipCell

NAMES = ("ant", "bee", "cow")
CELLS = [FlipCell(target=0, wrong=2, count=5), FlipCell(target=2, wrong=1, count=1)]


def test_counts_stand_in_their_cells():
    heat, markers = flip_matrix(CELLS, [0, 1, 2], [0, 1, 2], NAMES).data

    assert [list(row) for row in heat.z] == [[0, 0, 5], [0, 0, 0], [0, 1, 0]]
    assert [list(point) for point in markers.customdata] == [[0, 2], [2, 1]]
    assert list(zip(markers.x, markers.y, markers.text, strict=True)) == [(2, 0, "5"), (1, 2, "1")]


def test_rows_and_columns_may_be_a_selection():
    heat, markers = flip_matrix(CELLS, [2], [1], NAMES).data

    assert [list(row) for row in heat.z] == [[1]]
    assert [list(point) for point in markers.customdata] == [[2, 1]]


def test_a_class_name_is_shown_literally():
    figure = flip_matrix(CELLS, [0, 2], [1, 2], ("<b>x", "<i>y", "<u>z"))

    shown = [*figure.layout.xaxis.ticktext, *figure.layout.yaxis.ticktext, *figure.data[1].hovertext]
    assert all("<i>" not in text and "<u>" not in text and "<b>x" not in text for text in shown)


def test_nothing_to_draw_says_so():
    figure = flip_matrix([], [0, 1], [0, 1], NAMES)

    assert not figure.data
    assert figure.layout.annotations[0].text == "No negative flips here"


def test_few_classes_are_all_drawn():
    assert busiest(CELLS, 3) == ([0, 1, 2], [0, 1, 2])


def test_of_many_classes_the_busiest_are_drawn_in_class_order():
    cells = [FlipCell(9, 4, 2), FlipCell(3, 8, 7), FlipCell(3, 4, 1), FlipCell(5, 8, 1)]

    rows, columns = busiest(cells, num_classes=100, limit=2)

    assert rows == [3, 9]
    assert columns == [4, 8]


def test_a_search_narrows_the_targets_and_columns_follow():
    cells = [FlipCell(9, 4, 2), FlipCell(3, 8, 7)]

    assert busiest(cells, 100, 30, wanted=lambda index: index == 9) == ([9], [4])


def test_no_row_of_many_classes_stands_empty():
    # Row 1's only answer is rare among all, and would not be among the two columns with most flips.
    cells = [FlipCell(0, 5, 9), FlipCell(0, 6, 8), FlipCell(0, 7, 7), FlipCell(1, 8, 1)]

    rows, columns = busiest(cells, 100, 2)

    assert (rows, columns) == ([0, 1], [5, 8])
    assert busiest(cells, 100, 3)[1] == [5, 6, 8]
