"""Which settings a tuning tries, and which one a wish chooses. Nothing is trained."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pct_mlops.config import PctError
from pct_mlops.workflows.studies.grid import Measured, Wish, choose_setting, read_wish, settings_of


def test_every_combination_in_the_order_of_the_words():
    found = settings_of(["objective.mix=0.1, 0.2,0.1", "objective.distance={name: ldi, margin: 0},{name: kl}"])
    assert [one.words for one in found] == [
        (f"objective.mix={mix}", f"objective.distance={distance}")
        for mix, distance in itertools.product(("0.1", "0.2"), ("{name: ldi, margin: 0}", "{name: kl}"))
    ]
    assert found[0].name == "mix 0.1, distance {name: ldi, margin: 0}"
    assert len({one.name for one in found}) == 4


@pytest.mark.parametrize(
    ("grids", "says"),
    [
        ([], "--try names no setting"),
        (["objective.mix"], "--try objective.mix names no values"),
        (["=0.1"], "--try =0.1 names no values"),
        (["objective.mix= , "], "names no values"),
        (["objective.mix=0.1", "objective.mix=0.2"], "one key twice"),
        ([f"a={','.join(map(str, range(40)))}", f"b={','.join(map(str, range(40)))}"], "1,600 combinations, and 1,000"),
    ],
)
def test_grids_that_try_nothing(grids, says):
    with pytest.raises(PctError, match=says):
        settings_of(grids)


def test_wishes():
    assert read_wish(None, None) == read_wish("0.1", None) == Wish(max_accuracy_loss=0.001)
    assert read_wish(None, "0.015") == read_wish(None, "1.5%") == Wish(nfr_target=0.015)
    assert read_wish(None, "-50%") == Wish(nfr_target=0.5, relative=True)


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-0.5", "1.5", "150%", "-150%", "100%"])
def test_wishes_that_nothing_can_meet(text):
    with pytest.raises(PctError, match="--nfr-target"):
        read_wish(None, text)


def test_one_wish_only():
    with pytest.raises(PctError, match="not both"):
        read_wish("0.1", "0.01")
    for text in ("-1", "x", "101"):
        with pytest.raises(PctError, match="--max-accuracy-loss"):
            read_wish(text, None)


rates = st.integers(0, 20).map(lambda part: part / 20)
settings = st.lists(st.builds(Measured, st.uuids().map(str), rates, rates), max_size=8)


@given(settings, st.builds(Measured, st.just("none"), rates, rates), rates)
def test_the_choice_is_the_best_that_meets_the_wish(found, untreated, limit):
    chosen = choose_setting(found, untreated, Wish(max_accuracy_loss=limit))
    kept = [one for one in found if one.accuracy - untreated.accuracy >= -limit - 1e-9]
    assert (chosen is None) == (not kept)
    if chosen is not None:
        assert chosen in kept
        assert chosen.nfr == min(one.nfr for one in kept)
    for relative in (False, True):
        chosen = choose_setting(found, untreated, Wish(nfr_target=limit, relative=relative))
        kept = [one for one in found if one.nfr <= limit * (untreated.nfr if relative else 1) + 1e-9]
        assert (chosen is None) == (not kept)
        if chosen is not None:
            assert chosen in kept
            assert chosen.accuracy == max(one.accuracy for one in kept)
