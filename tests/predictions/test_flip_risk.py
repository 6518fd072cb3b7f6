"""The risk of each example: by members and by margin, against numpy; its files, and how well it ranks flips."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from prediction_tables import CLASSES, table

from pct_mlops.errors import PctError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.flip_risk import FlipRisk, ranking_quality
from pct_mlops.predictions.member_counts import count_correct

LABELS = [0, 1, 2, 0, 1, 2]
SHARPNESS = np.array([1.0, 2.0, 3.0, 0.5, 4.0, 5.0])
# The example 3 is wrong, and cannot flip.
OLD = [0, 1, 2, 1, 1, 2]


@pytest.fixture(scope="module")
def old():
    return table(LABELS, OLD, sharpness=SHARPNESS)


@pytest.fixture(scope="module")
def counts(old):
    members = ([0, 1, 0, 0, 1, 2], [0, 0, 1, 0, 1, 2])
    made = [table(LABELS, answers) for answers in members]
    found = count_correct(old, made)
    assert found.num_members == 2
    return found


def ids(rows):
    return [row["sample_id"][-1] for row in rows]


def margins():
    winner = np.exp(SHARPNESS) / (np.exp(SHARPNESS) + 2)
    return winner - (1 - winner) / 2


def test_members_give_a_share_and_the_margin_orders_equal_ones(old, counts):
    risk = FlipRisk(old, counts)
    rows = risk.top()
    assert ids(rows) == ["2", "1", "0", "4", "5", "3"]
    assert {row["sample_id"][-1]: row["risk"] for row in rows} == {
        "0": 0, "1": 0.5, "2": 1, "3": 0, "4": 0, "5": 0
    }  # fmt: skip
    assert [row["margin"] for row in rows] == pytest.approx([margins()[int(i)] for i in ids(rows)], abs=1e-6)
    assert {row["num_members"] for row in rows} == {2}
    assert risk.expected_nfr == pytest.approx(1.5 / 6)
    assert risk.num_at_risk == 2
    assert [(part.name, part.num_examples, part.rate) for part in risk.classes()] == [
        ("owl", 2, 0.5), ("dog", 2, 0.25), ("cat", 2, 0)
    ]  # fmt: skip


def test_the_margin_takes_their_place(old):
    risk = FlipRisk(old)
    rows = risk.top(6)
    assert (risk.by, risk.own_score, risk.expected_nfr, risk.nfr_between_members) == ("margin", "margin", None, None)
    assert ids(rows) == ["0", "1", "2", "4", "5", "3"]
    assert [row["risk"] for row in rows] == pytest.approx([*(1 - margins()[[0, 1, 2, 4, 5]]), 0], abs=1e-6)


def test_confidence_or_nothing_is_known():
    sure = Predictions.from_arrays(LABELS, predictions=OLD, scores=[0.9, 0.8, 0.7, 0.9, 0.6, 0.5], class_names=CLASSES,
                                   sample_ids=[f"test/{i}" for i in range(6)])  # fmt: skip
    risk = FlipRisk(sure)
    assert risk.own_score == "confidence"
    assert ids(risk.top()) == ["5", "4", "2", "1", "0", "3"]
    bare = Predictions.from_arrays(LABELS, predictions=OLD, class_names=CLASSES, sample_ids=sure_ids())
    with pytest.raises(PctError, match="no probabilities: measure 'pct floor'"):
        FlipRisk(bare)
    members = [Predictions.from_arrays(LABELS, predictions=p, class_names=CLASSES, sample_ids=sure_ids())
               for p in ([1, 1, 2, 0, 1, 2], LABELS)]  # fmt: skip
    found = FlipRisk(bare, count_correct(bare, members))
    assert (found.top()[0]["sample_id"], found.top()[0]["risk"], found.top()[0]["margin"]) == ("test/0", 0.5, None)
    assert [item.order for item in found.rankings(members[0])] == ["members alone"]


def sure_ids():
    return [f"test/{i}" for i in range(6)]


@pytest.mark.parametrize("name", ["risk.parquet", "risk.csv"])
def test_every_example_is_written_in_order(old, counts, tmp_path, name):
    risk = FlipRisk(old, counts)
    risk.save(tmp_path / name)
    read = pq.read_table if name.endswith("parquet") else pyarrow.csv.read_csv
    written = read(tmp_path / name)
    assert written.column_names == ["sample_id", "label", "prediction", "confidence", "margin", "risk", "num_members"]
    assert written["sample_id"].to_pylist() == [row["sample_id"] for row in risk.top(100)]
    assert written["label"].to_pylist()[:3] == ["owl", "dog", "cat"]


def test_auroc_counts_pairs_and_equals_half():
    rng = np.random.default_rng(1)
    place, flips = rng.integers(0, 6, 60), rng.random(60) < 0.3
    found = ranking_quality("risk", place, flips)
    pairs = list(itertools.product(place[flips], place[~flips]))
    assert found.auroc == pytest.approx(np.mean([(one > two) + (one == two) / 2 for one, two in pairs]))
    # Of equals at the end of the first tenth a part counts, whatever their order.
    order = rng.permutation(60)
    assert ranking_quality("risk", place[order], flips[order]).top_share == pytest.approx(found.top_share)
    assert ranking_quality("risk", np.zeros(60), flips).top_share == pytest.approx(0.1)
    assert ranking_quality("risk", place, flips & False).auroc is None


def test_flips_are_ranked_among_examples_that_were_right(old, counts):
    new = table(LABELS, [1, 0, 0, 1, 1, 2])  # 0, 1 and 2 flip; 3 was wrong before
    both, members, margin = FlipRisk(old, counts).rankings(new)
    assert [item.order for item in (both, members, margin)] == ["members, then margin", "members alone", "margin alone"]
    assert (both.num_flips, both.num_right) == (3, 5)
    assert (both.auroc, margin.auroc) == (1, 1)
    assert members.auroc == pytest.approx((2 + 2 + 1) / 6)
    with pytest.raises(PctError, match="not comparable"):
        FlipRisk(old).rankings(table([0, 1], [0, 1]))
