"""Tables whose classes differ: counts as numpy finds them by name, whatever was added, removed or renamed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pct_mlops import Predictions, compare
from pct_mlops.comparison import shared_loss
from pct_mlops.config import Policy, Rule
from pct_mlops.errors import PctError
from pct_mlops.gate import Verdict, decide

IDS = [f"{place:03d}" for place in range(400)]


def named(labels, said, name="old", ids=IDS, **more):
    """A table of labels and predictions by name, whose classes are those that occur."""
    ids = list(ids)[: len(labels)]
    return Predictions.from_arrays(
        sample_ids=ids, labels=list(labels), predictions=list(said), model_name=name, split="test", **more
    )


def stated(names, labels, said, name="old", **more):
    """A table with logits that states its classes in an order of its own."""
    logits = 3.0 * np.eye(len(names))[[names.index(item) for item in said]]
    places = [names.index(item) for item in labels]
    ids = IDS[: len(labels)]
    return Predictions.from_arrays(ids, places, logits, class_names=names, model_name=name, split="test", **more)


def counted(old, new, labels, of=None):
    """The 2x2 by names, over the examples whose label is in `of`."""
    old, new, labels = map(np.asarray, (old, new, labels))
    within = np.isin(labels, list(of)) if of is not None else np.ones(len(labels), bool)
    was, now = (old == labels)[within], (new == labels)[within]
    return tuple(int(part.sum()) for part in (was & now, was & ~now, ~was & now, ~was & ~now))


def four(counts):
    return counts.both_right, counts.negative_flips, counts.positive_flips, counts.both_wrong


def drawn(labels, names, seed, right=0.7):
    random = np.random.default_rng(seed)
    labels = np.asarray(labels)
    return np.where(random.random(len(labels)) < right, labels, random.choice(names, len(labels)))


LABELS = np.random.default_rng(3).choice(["gif", "npz", "png", "zip"], len(IDS))


def test_classes_added_in_files_of_labels_and_predictions():
    # The old model does not know npz, and so is wrong on all of them.
    old = drawn(np.where(LABELS == "npz", "zip", LABELS), ["gif", "png", "zip"], 1)
    new = drawn(LABELS, ["gif", "npz", "png", "zip"], 2)
    found = compare(named(LABELS, old), named(LABELS, new, "new"))
    change = found.class_change
    assert (change.shared, change.new, change.gone) == (("gif", "png", "zip"), ("npz",), ())
    assert (change.num_shared, change.num_new) == (int((LABELS != "npz").sum()), int((LABELS == "npz").sum()))
    known = ("gif", "png", "zip")
    assert four(found.counts) == counted(old, new, LABELS)
    assert four(found.counts_on("shared")) == counted(old, new, LABELS, known)
    assert four(found.counts_on("new")) == counted(old, new, LABELS, ("npz",))
    estimate = found.estimate("nfr", on="shared")
    assert (estimate.numerator, estimate.denominator) == (counted(old, new, LABELS, known)[1], change.num_shared)
    # Both directions: for the old model as replacement, npz is gone and its flips count as shared.
    back = compare(named(LABELS, new), named(LABELS, old, "new"))
    assert (back.class_change.gone, back.class_change.num_gone) == (("npz",), change.num_new)
    assert four(back.counts_on("shared")) == counted(new, old, LABELS) == four(back.counts)
    assert back.counts_on("new").total == 0


def test_classes_added_and_removed_in_tables_that_state_them():
    labels = np.random.default_rng(4).choice(["gif", "png"], 200)
    old_names, new_names = ["exe", "png", "gif"], ["gif", "npz", "png", "svg"]
    old, new = drawn(labels, old_names, 5), drawn(labels, new_names, 6)
    tables = stated(old_names, labels, old), stated(new_names, labels, new, "new")
    assert tables[0].info.digest != tables[1].info.digest
    found = compare(*tables)
    change = found.class_change
    assert found.new.class_names == ("gif", "npz", "png", "svg", "exe")
    assert (change.shared, change.new, change.gone) == (("gif", "png"), ("npz", "svg"), ("exe",))
    assert (change.num_new, change.num_gone) == (0, 0)
    assert four(found.counts) == four(found.counts_on("shared")) == counted(old, new, labels)
    assert tables[1].nfr(tables[0]) == counted(old, new, labels)[1] / 200
    names = found.new.class_names
    by_class = {part.name: four(part.counts) for part in found.classes()}
    assert by_class == {name: counted(old, new, labels, (name,)) for name in names}
    changed = {
        row.sample_id: (names[row.old_prediction], names[row.new_prediction]) for row in found.flips("all", limit=400)
    }
    truth = {key: (a, b) for key, a, b in zip(IDS, old, new, strict=False) if a != b}
    assert changed == truth
    # The table's own digests are reported, not those of the joined classes.
    assert [found.old.digest, found.new.digest] == [table.info.digest for table in tables]
    # A mean of logits needs the same classes.
    with pytest.raises(PctError, match="only in the first: exe; only in the second: npz, svg"):
        tables[0] + tables[1]


def test_classes_in_another_order_are_the_same_classes():
    labels = np.random.default_rng(4).choice(["gif", "png", "zip"], 200)
    old, new = (drawn(labels, ["gif", "png", "zip"], seed) for seed in (7, 8))
    found = compare(stated(["zip", "gif", "png"], labels, old), stated(["gif", "png", "zip"], labels, new, "new"))
    assert found.class_change is None
    assert four(found.counts) == four(found.counts_on("shared")) == counted(old, new, labels)
    assert found.counts_on("new").total == 0
    assert found.estimate("ece_new", on="shared") == found.estimate("ece_new")


def test_other_examples_and_labels_are_still_refused():
    old, new = (
        stated(["png", "gif"], ["png", "gif"], ["png", "png"]),
        stated(["png", "gif", "svg"], ["png", "png"], ["png", "svg"], "new"),
    )
    with pytest.raises(PctError, match=r"1 example with another label \(001: gif became png\)"):
        compare(old, new)
    other = named(["png", "gif"], ["png", "gif"], "new", ids=["000", "x"])
    with pytest.raises(PctError, match=r"1 example only in the old table \(001\)"):
        compare(named(["png", "gif"], ["png", "png"]), other)
    twice = Predictions.from_arrays(["000"], [0], [[2.0, 0, 0]], class_names=["png", "gif", "gif"])
    with pytest.raises(PctError, match="class names"):
        compare(stated(["png", "gif"], ["png"], ["png"]), twice)


def test_a_table_that_was_altered_is_refused(tmp_path):
    old = stated(["png", "gif"], ["png", "gif"], ["png", "png"]).save(tmp_path / "old.parquet")
    new = stated(["png", "gif", "svg"], ["gif", "gif"], ["png", "svg"], "new")
    other = stated(["png", "gif"], ["gif", "gif"], ["png", "png"])
    altered = Predictions(replace(other.info, digest=old.info.digest), path=other.save(tmp_path / "b.parquet").path)
    with pytest.raises(PctError, match="was altered after it was written"):
        compare(altered, new)
    assert compare(Predictions.load(tmp_path / "b.parquet"), new).counts.total == 2


#: (label, prediction of the old, prediction of the new, is the old right, is the new right) under {zip: npz}, where
#: only the new model knows npz.
ALIASED = [
    ("zip", "zip", "zip", True, True),
    ("zip", "zip", "npz", True, True),  # finer than the label
    ("npz", "zip", "npz", True, True),  # the old model could not say more
    ("npz", "zip", "zip", True, False),  # the new model could
    ("npz", "png", "npz", False, True),
    ("png", "zip", "npz", False, False),
    ("png", "png", "png", True, True),
]


def test_aliases():
    labels, old, new, was, now = (list(column) for column in zip(*ALIASED, strict=True))
    found = compare(named(labels, old), named(labels, new, "new"), aliases={"zip": "npz"})
    kinds = {True: {True: "both_right", False: "negative"}, False: {True: "positive", False: "both_wrong"}}
    assert [found.example(key).kind for key in IDS[: len(labels)]] == [
        kinds[a][b] for a, b in zip(was, now, strict=True)
    ]
    # A label that the old model is right on under an alias counts as shared.
    assert found.class_change is None
    listed = compare(named(labels, old), named(labels, new, "new"), aliases={"zip": ["npz"]})
    assert listed.counts == found.counts
    # Where both know the finer class, a coarser prediction is wrong for both.
    both = compare(named(labels, new), named(labels, old, "other"), aliases={"zip": "npz"})
    assert four(both.counts)[:2] == (4, 1)
    with pytest.raises(PctError, match="class under 'aliases' 'npx'"):
        compare(named(labels, old), named(labels, new, "new"), aliases={"zip": "npx"})


def test_a_renamed_class_is_an_alias():
    labels = ["jpg", "jpg", "png", "png"]
    # One table of each spelling cannot be: labels agree by name. Predictions follow either spelling.
    old = stated(["jpg", "png"], labels, ["jpg", "png", "png", "png"])
    new = stated(["jpg", "jpeg", "png"], labels, ["jpeg", "jpeg", "png", "jpeg"], "new")
    assert four(compare(old, new).counts) == (1, 2, 0, 1)
    found = compare(old, new, aliases={"jpg": "jpeg"})
    assert four(found.counts) == (2, 1, 1, 0)
    # The table that knows both is wrong with the coarser one.
    assert four(compare(new, old, aliases={"jpeg": "jpg"}).counts) == (1, 0, 2, 1)


def test_the_split_is_told_first_where_it_hides_a_loss():
    labels = ["png"] * 100 + ["npz"] * 100
    old = ["png"] * 96 + ["gif"] * 4 + ["png"] * 100
    new = ["png"] * 94 + ["gif"] * 6 + ["npz"] * 95 + ["png"] * 5
    found = compare(named(labels, old), named(labels, new, "new"))
    assert shared_loss(found) == (
        "On the labels that the old model predicts at least once, accuracy fell from 96.00% to 94.00%, although over "
        "all examples it rose from 48.00% to 94.50%."
    )
    assert shared_loss(compare(named(labels, old), named(labels, [*old[:100], *new[100:]], "new"))) == ""
    assert shared_loss(compare(named(labels, new), named(labels, old, "new"))) == ""


def decided(old, new, *rules, **more):
    policy = Policy(rules=tuple(Rule(**rule) for rule in rules), **more)
    return decide(policy, compare(old, new, aliases=policy.aliases))


def test_rules_on_a_part_of_the_examples():
    labels = ["png"] * 100 + ["npz"] * 300
    old = named(labels, ["png"] * 400)
    new = named(labels, ["npz"] * 10 + ["png"] * 90 + ["npz"] * 300, "new")
    limit = {"metric": "nfr", "max": 0.05, "bound": "point"}
    whole, shared, added = decided(
        old, new, limit, {**limit, "on": "shared"}, {"metric": "accuracy_new", "min": 0.9, "on": "new"}
    ).checks
    assert [(check.value, check.support, str(check.verdict)) for check in (whole, shared, added)] == [
        (0.025, 400, "PASS"),
        (0.1, 100, "FAIL"),
        (1.0, 300, "PASS"),
    ]
    assert shared.sentence.startswith("nfr on shared classes is 10.00%")
    notes = " ".join(decided(old, new, limit, {**limit, "on": "all"}).notes)
    assert "Rule 1 of the policy judged all examples: write 'on: shared'" in notes
    assert "on: shared" not in " ".join(decided(old, new, {**limit, "on": "shared"}).notes)
    by_class = decided(old, new, {"metric": "class_nfr", "max": 0.5, "on": "shared"}).checks
    assert [check.class_name for check in by_class] == ["png"]
    (refused,) = decided(old, new, {**limit, "classes": ["npz"], "on": "shared"}).checks
    assert (refused.verdict, refused.sentence) == (
        Verdict.ERROR,
        "'npz' is no shared class: leave it out of the rule on nfr.",
    )


def test_rules_on_a_part_where_the_classes_are_equal():
    labels = ["png", "gif"] * 50
    old, new = named(labels, labels), named(labels, [*labels[:95], *["png"] * 5], "new")
    limit = {"metric": "nfr", "max": 0.05, "bound": "point"}
    plain, on_all, shared, added = decided(
        old, new, limit, *({**limit, "on": on} for on in ("all", "shared", "new"))
    ).checks
    assert plain.value == on_all.value == shared.value == 0.03
    assert (added.verdict, added.sentence) == (Verdict.ERROR, "nfr on new classes needs 1 examples, and there are 0.")
    assert not [note for note in decided(old, new, limit).notes if "class" in note]


def test_parts_of_slices_and_of_calibration():
    labels = np.array(["png", "npz"] * 100)
    old = np.array(["png"] * 200)
    new = np.where(np.arange(200) % 7 == 0, "png", labels)
    new[[0, 4]] = "npz"
    sites = ["x", "y", "y", "x"] * 50
    scores = np.linspace(0.1, 0.9, 200)
    tables = (
        named(labels, old, scores=scores, slices={"site": sites}),
        named(labels, new, "new", scores=scores, slices={"site": sites}),
    )
    found = compare(*tables)
    at = np.array(sites) == "x"
    assert four(found.counts_on("shared", ("site", "x"))) == counted(old[at], new[at], labels[at], ("png",))
    rule = {"metric": "nfr", "max": 0.5, "bound": "point", "on": "shared", "slice": {"column": "site"}}
    assert [check.support for check in decided(*tables, rule).checks] == [50, 50]
    png = labels == "png"
    bins = np.ceil(scores[png] * 15)
    right = (new == labels)[png]
    gaps = [abs(right[bins == place].sum() - scores[png][bins == place].sum()) for place in np.unique(bins)]
    assert found.estimate("ece_new", on="shared").value == pytest.approx(sum(gaps) / png.sum(), abs=1e-6)
    assert found.estimate("ece_new").value != pytest.approx(sum(gaps) / png.sum(), abs=1e-6)


def test_a_policy_whose_aliases_the_comparison_lacks_does_not_decide():
    labels = ["zip", "npz"]
    found = compare(named(labels, ["zip", "zip"]), named(labels, ["npz", "npz"], "new"))
    policy = Policy(rules=(Rule(metric="nfr", max=0.5),), aliases={"zip": "npz"})
    decision = decide(policy, found)
    assert decision.verdict is Verdict.ERROR
    assert "other aliases than the policy's" in decision.sentence


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_counts_of_any_two_class_lists(data):
    names = ["a", "b", "c", "d", "e"]
    label_names = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    lists = [
        data.draw(st.permutations([*label_names, *data.draw(st.sets(st.sampled_from(names))) - set(label_names)]))
        for _ in range(2)
    ]
    size = data.draw(st.integers(1, 12))
    labels = data.draw(st.lists(st.sampled_from(label_names), min_size=size, max_size=size))
    said = [data.draw(st.lists(st.sampled_from(found), min_size=size, max_size=size)) for found in lists]
    kinds = [data.draw(st.sampled_from(["named", "stated"])) for _ in range(2)]
    tables = [
        named(labels, said[side], str(side))
        if kinds[side] == "named"
        else stated(list(lists[side]), labels, said[side], str(side))
        for side in (0, 1)
    ]
    found = compare(*tables)
    assert four(found.counts) == counted(*said, labels)
    occur = [set(labels) | set(said[side]) if kinds[side] == "named" else set(lists[side]) for side in (0, 1)]
    # Only a label that is never predicted tells that a model does not know a class.
    never = set(labels) - set(said[0]), set(labels) - set(said[1])
    knows = [(occur[0] | occur[1]) - never[side] if kinds[side] == "named" else occur[side] for side in (0, 1)]
    if knows[0] == knows[1]:
        assert found.class_change is None
        return
    assert set(found.class_change.new) == knows[1] - knows[0]
    assert set(found.class_change.gone) == knows[0] - knows[1]
    assert four(found.counts_on("shared")) == counted(*said, labels, knows[0])
    assert four(found.counts_on("new")) == counted(*said, labels, knows[1] - knows[0])
