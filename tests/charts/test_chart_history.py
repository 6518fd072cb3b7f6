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
    assert named(figure) == {"&lt;i&gt;x&lt;/i&gt;", "2 → 3"}
    assert "&lt;b&gt;why" in promotions.hovertext[0]
    start, end = figure.layout.xaxis.range
    assert start < promotions.x[0] < promotions.x[1] < end


def named(figure):
    """Moves that have a title beside their point; headings are bold."""
    return {note.text for note in figure.layout.annotations if not note.text.startswith("<b>")}


def test_a_title_stands_where_it_covers_nothing():
    apart = [point(2), point(16), point(28)]
    assert named(move_history(apart)) == {"1 → 2", "15 → 16", "27 → 28"}
    # Taken back within the hour: the two points all but meet, so their titles stand to either side.
    soon = [*apart, point(16, kind="rollback", title="16 → 15", when="2026-01-16T10:20:00+00:00")]
    notes = {note.text: note for note in move_history(soon).layout.annotations}
    assert {notes[title].xanchor for title in ("15 → 16", "16 → 15")} == {"left", "right"}
    crowded = [point(1, when=f"2026-01-01T10:{minute:02d}:00+00:00", title=f"{minute}") for minute in range(60)]
    assert len(named(move_history(crowded))) < 20


def test_no_moves_are_an_empty_figure():
    assert not move_history([MOVES[0]]).data
    assert not move_history([]).data
