"""What reports say of classes that only one model knows."""

from __future__ import annotations

import pytest

from pct_mlops import Predictions, compare
from pct_mlops.reports import class_change_lines

ALL = ["zip", "npz", "gif"]
# Words for what is inferred from predictions, and for what the tables say.
WORDS = {
    False: ("never predicted by the {} model", "that the {} model predicts at least once", "never predicts"),
    True: ("known to the {} model only", "that the old model knows", "only the old model knows"),
}


def lines(labels, old, new, confidence=0.95, known=(None, None)):
    ids = [str(place) for place in range(len(labels))]
    tables = [
        Predictions.from_arrays(sample_ids=ids, labels=labels, predictions=said, **about(names))
        for said, names in zip((old, new), known, strict=True)
    ]
    return class_change_lines(compare(*tables), confidence)


def about(names):
    return {} if names is None else {"class_names": ALL, "known_classes": names}


@pytest.mark.parametrize("stated", [False, True])
def test_classes_parts_and_losses_are_said(stated):
    labels = ["zip"] * 4 + ["npz"] * 3 + ["gif"]
    old = ["zip"] * 7 + ["gif"]
    new = ["zip", "zip", "zip", "npz", "npz", "npz", "zip", "zip"]
    known = (["zip", "gif"], ["zip", "npz"]) if stated else (None, None)
    classes, shared, added, losses = lines(labels, old, new, known=known)
    words, knows, gone = WORDS[stated]
    sides = ("new", "old") if stated else ("old", "new")
    new_only, old_only = (words.format(side) for side in sides)
    assert classes == f"Classes: 1 shared; 1 (npz) {new_only}; 1 (gif) {old_only}."
    assert shared.startswith(
        f"On 5 examples with a label {knows.format('old')}: accuracy 100.00% before, 60.00% now (-40.00 points, "
    )
    assert "; NFR 40.00% (bounds 7.64% to 81.07%)." in shared
    assert added.startswith("On 3 examples with a label that ")
    assert ": accuracy 0.00% before, 66.67% now (+66.67 points, " in added
    assert losses.startswith("The shared examples include 1 example of classes that ")
    assert gone in losses
    assert "(bounds 2.29% to 91.72%)" in lines(labels, old, new, 0.995, known)[1]


def test_no_change_says_nothing_and_many_names_are_cut():
    names = [f"c{place}" for place in range(8)]
    assert lines(names, names, names) == []
    classes, *rest = lines(names, ["c0"] * 8, names)
    assert classes.startswith(
        "Classes: 1 shared; 7 (c1, c2, c3, c4, c5, ...) never predicted by the old model; none never"
    )
    assert len(rest) == 2, "no class is gone, so nothing is said of losses"
