"""Lines and remaining time of a series of trainings."""

from __future__ import annotations

import io
import logging
import os

import pytest
from rich.console import Console

from pct_mlops.workflows.studies import sweep_progress as module
from pct_mlops.workflows.studies.sweep_progress import Pace, TimeLimit, duration, pace


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (90, "2 min"), (3599, "1 h 0 min"), (12_000, "3 h 20 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_what_was_complete_before_says_nothing_about_the_rest(clock, caplog):
    caplog.set_level(logging.INFO, "pct_mlops")
    steps = Pace(4)
    for title, seconds, trained in (("a", 5, False), ("b", 120, True), ("c", 240, True), ("d", 180, True)):
        steps.begin(title)
        clock[0] += seconds
        steps.end("ok", trained=trained)
    assert caplog.messages == [
        "1/4 a: ok",
        "2/4 b: ok, 2 min (about 4 min left)",
        "3/4 c: ok, 4 min (about 3 min left)",
        "4/4 d: ok, 3 min",
    ]


def test_a_bar_on_a_terminal_only_and_no_second_one_within(monkeypatch):
    screen = io.StringIO()

    def console(**options):
        return Console(file=screen, force_terminal=True, width=100)

    monkeypatch.setattr(module, "Console", console)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    with pace(2, visible=True) as steps:
        steps.begin("kl, seed 1001")
        with steps.training():
            logging.getLogger(f"{module.OF_TRAININGS}.job").warning("epoch [1/2]")
        assert os.environ["TTY_COMPATIBLE"] == "0"
        steps.end("ok", trained=True)
    assert "kl, seed 1001: epoch [1/2]" in screen.getvalue()
    assert "1/2" in screen.getvalue()
    assert "TTY_COMPATIBLE" not in os.environ
    before = len(screen.getvalue())
    with pace(2, visible=False) as steps:
        steps.begin("other")
    assert len(screen.getvalue()) == before


def test_a_clock_leaves_room_for_the_longest_training(clock):
    time_limit = TimeLimit(minutes=10)
    assert not time_limit.is_up(), "the first training may begin, however long it takes"
    with time_limit.training():
        clock[0] += 240
    with time_limit.training():
        clock[0] += 60
    assert not time_limit.is_up(), "300 s are gone, and another 240 s fit"
    clock[0] += 61
    assert time_limit.is_up()


def test_a_clock_without_a_limit_is_never_up(clock):
    with TimeLimit().training():
        clock[0] += 1e9
    assert not TimeLimit().is_up()


def test_a_training_that_is_left_has_no_remaining_time(clock, caplog):
    caplog.set_level(logging.INFO, "pct_mlops")
    steps = Pace(3)
    steps.begin("a")
    clock[0] += 60
    steps.end("ok", trained=True)
    steps.begin("b")
    steps.end("left", trained=False, goes_on=False)
    assert caplog.messages == ["1/3 a: ok, 1 min (about 2 min left)", "2/3 b: left"]
