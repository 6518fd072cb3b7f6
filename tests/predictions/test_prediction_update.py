"""The probabilistic update against slow loops over its definition, and where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from prediction_tables import CLASSES, table

from pct_mlops.config import PctError
from pct_mlops.predictions import STRATEGIES, Predictions, UpdateRule, update, updated
from pct_mlops.predictions.update import confusion_counts, estimate_beliefs, revise, revise_rows


def loop_posterior(stored_counts, new_counts, smoothing, a, b):
    """p(y | a, b), or p(y | a) with b None, for plain numbers."""
    size = len(stored_counts)
    weights = []
    for y in range(size):
        of_stored, of_new = sum(stored_counts[y]), sum(new_counts[y])
        weight = of_stored + smoothing
        weight *= (stored_counts[y][a] + smoothing) / (of_stored + smoothing * size)
        if b is not None:
            weight *= (new_counts[y][b] + smoothing) / (of_new + smoothing * size)
        weights.append(weight)
    return [weight / sum(weights) for weight in weights]


def loop_entropy(shares):
    return -sum(share * math.log(share) for share in shares if share > 0)


def loop_label(posterior, before, a, strategy, ratio):
    best = max(range(len(posterior)), key=lambda y: (posterior[y], y == a))
    if strategy == "mb":
        return best
    if strategy == "mbme":
        return best if loop_entropy(posterior) < loop_entropy(before) else a
    return best if posterior[best] / posterior[a] > ratio else a


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("smoothing", [1.0, 0.01])
def test_the_same_as_slow_loops(strategy, smoothing):
    random = np.random.default_rng(3)
    stored_counts, new_counts = random.integers(0, 9, (2, 5, 5))
    stored, new = random.integers(0, 5, (2, 60))
    found = revise(estimate_beliefs(stored_counts, new_counts, smoothing), stored, new, UpdateRule(strategy, 1.7))
    for i, (a, b) in enumerate(zip(stored.tolist(), new.tolist(), strict=True)):
        counts = stored_counts.tolist(), new_counts.tolist(), smoothing
        posterior = loop_posterior(*counts, a, b)
        np.testing.assert_allclose(found.posterior[i], posterior, rtol=1e-12)
        assert found.labels[i] == loop_label(posterior, loop_posterior(*counts, a, None), a, strategy, 1.7)


def test_strategies_differ_where_they_should():
    random = np.random.default_rng(4)
    beliefs = estimate_beliefs(*random.integers(0, 9, (2, 6, 6)), 1.0)
    stored, new = np.divmod(np.arange(36), 6)
    labels = {
        key: revise(beliefs, stored, new, UpdateRule(*rule)).labels
        for key, rule in {
            "mb": ("mb", 1.0),
            "mbme": ("mbme", 1.0),
            "cr 0.5": ("cr", 0.5),
            "cr 1": ("cr", 1.0),
            "cr 3": ("cr", 3.0),
            "never": ("cr", 1e30),
        }.items()
    }
    np.testing.assert_array_equal(labels["mb"], labels["cr 1"])
    np.testing.assert_array_equal(labels["mb"], labels["cr 0.5"])
    np.testing.assert_array_equal(labels["never"], stored)
    changed = {key: set(np.flatnonzero(value != stored)) for key, value in labels.items()}
    assert changed["mbme"] < changed["mb"]
    assert set() < changed["cr 3"] < changed["mb"]
    for kept in ("mbme", "cr 3"):
        where = list(changed[kept])
        np.testing.assert_array_equal(labels[kept][where], labels["mb"][where])


def test_the_stored_label_wins_a_tie():
    even = np.full((3, 3), 4)
    stored, new = np.divmod(np.arange(9), 3)
    for strategy in STRATEGIES:
        np.testing.assert_array_equal(
            revise(estimate_beliefs(even, even), stored, new, UpdateRule(strategy)).labels, stored
        )


def world(num, seed):
    """Labels and two models that err independently given the label, each good at other classes."""
    random = np.random.default_rng(seed)
    right = np.array([[0.95, 0.55, 0.7, 0.85], [0.6, 0.9, 0.88, 0.75]])
    labels = random.choice(4, num, p=[0.4, 0.3, 0.2, 0.1])
    answers = []
    for share in right:
        wrong = (labels + random.integers(1, 4, num)) % 4
        answers.append(np.where(random.random(num) < share[labels], labels, wrong))
    return labels, answers[0], answers[1]


def counts_of(labels, answers):
    counts = np.zeros((4, 4), int)
    np.add.at(counts, (labels, answers), 1)
    return counts


def test_with_the_right_confusions_belief_beats_both_models_and_costs_lower_flips():
    labels, stored, new = world(40_000, 1)
    val, val_stored, val_new = world(400_000, 2)
    beliefs = estimate_beliefs(counts_of(val, val_stored), counts_of(val, val_new))
    best = revise(beliefs, stored, new, UpdateRule("mb"))
    right = best.labels == labels
    assert right.mean() > max((stored == labels).mean(), (new == labels).mean()) + 0.02
    # Calibrated: of the examples believed to a share, that share is right.
    share = best.posterior.max(axis=1)
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1)):
        part = (share > low) & (share <= high)
        assert right[part].mean() == pytest.approx(share[part].mean(), abs=0.015)
    flips = {"all": ((stored == labels) & (new != labels)).mean()}
    for ratio in (1, 3, 10):
        kept = revise(beliefs, stored, new, UpdateRule("cr", ratio)).labels
        flips[ratio] = ((stored == labels) & (kept != labels)).mean()
    assert flips["all"] > flips[1] > flips[3] > flips[10]


def test_many_classes_with_few_examples_each_are_believed_as_often_as_they_are_right():
    num_classes, random = 200, np.random.default_rng(9)
    right = np.clip(random.normal([[0.7], [0.75]], 0.15, (2, num_classes)), 0.05, 0.98)
    alike = random.integers(1, num_classes, (num_classes, 5))

    def draw(num):
        labels = np.repeat(np.arange(num_classes), num)
        answers = []
        for share in right:
            wrong = (labels + alike[labels, random.integers(0, 5, len(labels))]) % num_classes
            answers.append(np.where(random.random(len(labels)) < share[labels], labels, wrong))
        return labels, answers

    labels, answers = draw(25)
    counts = np.zeros((2, num_classes, num_classes), int)
    for matrix, found in zip(counts, answers, strict=True):
        np.add.at(matrix, (labels, found), 1)
    labels, (stored, new) = draw(10)
    known, drowned = (
        revise(estimate_beliefs(*counts, smoothing), stored, new, UpdateRule()) for smoothing in (None, 1.0)
    )
    believed = [found.posterior.max(axis=1).mean() for found in (known, drowned)]
    assert believed[0] == pytest.approx((known.labels == labels).mean(), abs=0.05)
    assert believed[1] < 0.6 < (drowned.labels == labels).mean() < (known.labels == labels).mean()


@pytest.fixture(scope="module")
def tables():
    """(stored, new, stored val, new val) of one world, rows of new in another order, with a slice column."""
    made = []
    for name, num, seed in (("test", 500, 5), ("val", 900, 6)):
        labels, stored, new = world(num, seed)
        order = np.random.default_rng(0).permutation(num)
        info = {"class_names": (*CLASSES, "yak"), "split": name}
        ids = [f"{name}/{i:04d}" for i in range(num)]
        slices = {"camera": [("day", "night")[i % 2] for i in range(num)]}
        made.append(table(labels, stored, ids=ids, slices=slices, **info))
        other = [ids[i] for i in order]
        made.append(table(labels[order], new[order], ids=other, model_version="2", **info))
    return made[0], made[1], made[2], made[3]


CAREFUL = UpdateRule("cr", 2.0)


def run(tables, rule=CAREFUL, **options):
    stored, new, stored_val, new_val = tables
    return updated(stored, new, stored_val=stored_val, new_val=new_val, rule=rule, **options)


def test_the_table_holds_labels_and_beliefs_joined_by_id(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(update, "BATCH", 128)
    monkeypatch.setattr(update, "SLAB", 12)  # three pairs at once
    made = run(tables).save(tmp_path / "u.parquet")
    made.verify()
    labels, stored, new = world(500, 5)
    val, val_stored, val_new = world(900, 6)
    rows = pq.read_table(made.path).to_pydict()
    assert list(rows) == ["sample_id", "label", "prediction", "confidence", "label_confidence", "camera"]
    assert rows["sample_id"] == [f"test/{i:04d}" for i in range(500)]
    assert rows["label"] == labels.tolist()
    assert rows["camera"][:3] == ["day", "night", "day"]
    beliefs = estimate_beliefs(counts_of(val, val_stored), counts_of(val, val_new))
    whole = revise(beliefs, stored, new, UpdateRule("cr", 2.0))
    assert rows["prediction"] == whole.labels.tolist()
    every = np.arange(500)
    np.testing.assert_allclose(rows["confidence"], whole.posterior[every, whole.labels], rtol=1e-6)
    np.testing.assert_allclose(rows["label_confidence"], whole.posterior[every, labels], rtol=1e-6)
    assert 0 < (whole.labels != stored).sum() < (new != stored).sum()
    assert made.info.model_name == "pets/1 updated by pets/2 (cr 2)"
    assert made.info.digest == tables[0].info.digest
    assert made.nfr(tables[0]) < tables[1].nfr(tables[0])
    with pytest.raises(PctError, match="holds no logits"):
        made + made


def test_counts_are_by_label_then_answer(tables):
    val, val_stored, _ = world(900, 6)
    np.testing.assert_array_equal(confusion_counts(tables[2]), counts_of(val, val_stored))


def test_rows_in_parts_are_the_whole(monkeypatch):
    beliefs = estimate_beliefs(*np.random.default_rng(7).integers(0, 9, (2, 4, 4)))
    labels, stored, new = world(300, 8)
    whole = revise_rows(beliefs, labels, stored, new, UpdateRule("mb"))
    monkeypatch.setattr(update, "SLAB", 1)
    for one, other in zip(whole, revise_rows(beliefs, labels, stored, new, UpdateRule("mb")), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("rule", "options", "says"),
    [
        (UpdateRule("max"), {}, "Unknown strategy 'max': choose one of"),
        (UpdateRule("cr", 0.0), {}, "cost ratio is 0.0: give a positive number"),
        (UpdateRule("cr", -1.0), {}, "cost ratio"),
        (UpdateRule("cr", math.nan), {}, "cost ratio"),
        (UpdateRule("mb"), {"smoothing": 0.0}, "smoothing is 0.0: give a positive number"),
        (UpdateRule("mb"), {"smoothing": math.inf}, "smoothing"),
    ],
)
def test_impossible_rules(tables, rule, options, says):
    with pytest.raises(PctError, match=says):
        run(tables, rule, **options)


def test_tables_that_do_not_belong_together(tables):
    stored, new, stored_val, new_val = tables
    with pytest.raises(PctError, match="the very examples that are to be updated"):
        run((stored, new, stored, new_val))
    with pytest.raises(PctError, match="the very examples that are to be updated"):
        run((stored, new, stored_val, new))
    with pytest.raises(PctError, match="not comparable"):
        run((stored, new_val, stored_val, new_val))
    foreign = table([0, 1], [0, 1], class_names=("a", "b"))
    with pytest.raises(PctError, match="has other classes than pets/1"):
        run((stored, new, foreign, new_val))


def reordered(source, order):
    """The same predictions in a table whose classes stand in another order."""
    rows = pq.read_table(source.path).to_pydict()
    places = np.argsort(order)
    names = [source.info.class_names[place] for place in order]
    return table(
        places[rows["label"]],
        places[rows["prediction"]],
        ids=rows["sample_id"],
        class_names=names,
        model_version=source.info.model_version,
        split=source.info.split,
    )


@pytest.mark.parametrize("moved", [(1,), (2, 3), (1, 2, 3)])
def test_classes_in_another_order_are_matched_by_name(tables, tmp_path, moved):
    given = [each.save(tmp_path / f"{place}.parquet") for place, each in enumerate(tables)]
    for place in moved:
        given[place] = reordered(given[place], np.roll([2, 0, 3, 1], place))
    made, plain = (run(each).save(tmp_path / f"{name}.parquet") for name, each in (("a", given), ("b", tables)))
    made.verify()
    assert made.info.class_names == tables[0].info.class_names
    assert pq.read_table(made.path).to_pydict() == pq.read_table(plain.path).to_pydict()
    assert made.info.digest == plain.info.digest


def test_the_very_examples_are_refused_as_val_data_whatever_the_order_of_classes(tables, tmp_path):
    stored, new, stored_val, _ = tables
    same = reordered(new.save(tmp_path / "new.parquet"), [3, 2, 1, 0])
    with pytest.raises(PctError, match="the very examples that are to be updated"):
        run((stored, new, stored_val, same))


def test_classes_that_only_some_tables_show_are_counted(tmp_path):
    """Names taken from the data are those that occur: a class that the stored table never shows is no other class."""
    words = {"split": "test", "sample_ids": ["a", "b", "c"]}
    stored = Predictions.from_arrays(["cat", "cat", "owl"], predictions=["cat", "owl", "owl"], **words)
    new = Predictions.from_arrays(["cat", "cat", "owl"], predictions=["cat", "dog", "cat"], **words)
    val = Predictions.from_arrays(["yak", "cat", "owl"], predictions=["yak", "cat", "owl"], sample_ids=["v", "w", "x"])
    made = run((stored, new, val, val)).save(tmp_path / "u.parquet")
    assert set(made.info.class_names) == {"cat", "dog", "owl", "yak"}
    names = np.array(made.info.class_names)
    assert names[pq.read_table(made.path)["label"].to_numpy()].tolist() == ["cat", "cat", "owl"]
    made.verify()


def test_a_refusal_leaves_no_temporary_file(tables, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(*_args):
        raise PctError("stop")

    monkeypatch.setattr(update, "revise_rows", broken)
    with pytest.raises(PctError, match="stop"):
        run(tables)
    assert not [path for path in tmp_path.rglob("*.parquet")]
    monkeypatch.undo()
    made = run(tables)
    path = made.path
    assert isinstance(made, Predictions)
    assert path.exists()
    del made
    assert not path.exists()
