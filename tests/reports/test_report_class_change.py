"""What reports say of classes that only one model knows."""

from __future__ import annotations

from pct_mlops import Predictions, compare
from pct_mlops.reports import class_change_lines


def lines(labels, old, new, confidence=0.95):
    ids = [str(place) for place in range(len(labels))]
    tables = (Predictions.from_arrays(sample_ids=ids, labels=labels, predictions=said) for said in (old, new))
    return class_change_lines(compare(*tables), confidence)


def test_classes_parts_and_losses_are_said():
    labels = ["zip"] * 4 + ["npz"] * 3 + ["gif"]
    old = ["zip"] * 7 + ["gif"]
    new = ["zip", "zip", "zip", "npz", "npz", "npz", "zip", "zip"]
    classes, shared, added, losses = lines(labels, old, new)
    assert classes == "Classes: 1 shared; 1 (npz) known to the new model only; 1 (gif) known to the old model only."
    assert shared.startswith(
        "On 5 examples with a label that the old model knows: accuracy 100.00% before, 60.00% now (-40.00 points, "
    )
    assert "; NFR 40.00% (bounds 7.64% to 81.07%)." in shared
    assert added.startswith(
        "On 3 examples with a label that only the new model knows: accuracy 0.00% before, 66.67% now (+66.67 points, "
    )
    assert losses.startswith("The shared examples include 1 example of classes that only the old model knows")
    assert "(bounds 2.29% to 91.72%)" in lines(labels, old, new, 0.995)[1]


def test_no_change_says_nothing_and_many_names_are_cut():
    names = [f"c{place}" for place in range(8)]
    assert lines(names, names, names) == []
    classes, *rest = lines(names, ["c0"] * 8, names)
    assert classes.startswith("Classes: 1 shared; 7 (c1, c2, c3, c4, c5, ...) known to the new model only; none known")
    assert len(rest) == 2, "no class is gone, so nothing is said of losses"
