"""Noise and systematic flips: counts and shares against loops over the members, filters, and what is refused."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from prediction_tables import table

from pct_mlops.comparison import CauseSearch, FlipNoise, compare, flip_noise
from pct_mlops.errors import PctError
from pct_mlops.predictions.member_counts import MemberCounts, count_correct, save_counts
from pct_mlops.workflows.runtime.retrainings import Retrainings, noise_among_flips

NUM, MEMBERS = 300, 4


@pytest.fixture(scope="module")
def rights():
    """Which examples the old model [N], the members [K, N] and a candidate [N] get right."""
    rng = np.random.default_rng(3)
    hard = rng.random(NUM) ** 3
    return rng.random(NUM) > hard / 2, rng.random((MEMBERS, NUM)) > hard, rng.random(NUM) > 0.5 * hard + 0.05


@pytest.fixture(scope="module")
def tables(rights):
    labels = np.arange(NUM) % 3
    old, members, new = rights

    def made(right, **info):
        sharpness = 1 + np.arange(NUM) / NUM
        return table(labels, np.where(right, labels, (labels + 1) % 3), sharpness=sharpness, **info)

    return made(old), [made(right) for right in members], made(new, model_version="2")


def test_counts_are_those_of_the_members(tables, rights, tmp_path):
    old, members, _ = tables
    save_counts(old, members, tmp_path / "members.parquet")
    counts = MemberCounts.load(tmp_path / "members.parquet")
    assert (counts.digest, counts.num_members, counts.num_examples) == (old.info.digest, MEMBERS, NUM)
    found = pq.read_table(counts.path).to_pydict()
    assert dict(zip(found["sample_id"], found["num_correct"], strict=True)) == {
        f"test/{i}": number for i, number in enumerate(rights[1].sum(axis=0))
    }


def test_shares_are_those_of_members_in_the_place_of_the_candidate(tables, rights):
    old, members, new = rights
    found = flip_noise(compare(tables[0], tables[2]), count_correct(tables[0], tables[1]))
    flips = old & ~new
    assert found.num_flips == flips.sum()
    assert found.num_noise == (flips & ~members.all(axis=0)).sum()
    assert found.num_systematic == (flips & members.all(axis=0)).sum()
    assert found.share == found.num_systematic / found.num_flips

    turns = [np.delete(members, out, axis=0).all(axis=0) for out in range(MEMBERS)]
    own = [old & ~member for member in members]
    assert found.reference_flips == sum(flipped.sum() for flipped in own)
    assert found.reference_systematic == sum((f & others).sum() for f, others in zip(own, turns, strict=True))
    assert found.share_one_less == pytest.approx(np.mean([(flips & others).sum() / flips.sum() for others in turns]))


def test_a_retraining_is_all_noise_on_average():
    """Equal models: one more member flips systematically as often as the reference says, within chance."""
    rng = np.random.default_rng(5)
    chance = rng.beta(0.3, 3, 200_000)
    old, *members, new = (rng.random(len(chance)) > chance for _ in range(6))
    wrong = np.sum([~member for member in members], axis=0)
    values = range(len(members) + 1)
    found = FlipNoise.of(
        {w: int((old & (wrong == w)).sum()) for w in values},
        {w: int((old & ~new & (wrong == w)).sum()) for w in values},
        len(members),
    )
    assert found.share_one_less == pytest.approx(found.reference_share, abs=0.01)
    assert found.share < found.reference_share


def test_the_sentence():
    found = FlipNoise.of({0: 900, 1: 30, 2: 10}, {0: 44, 1: 30, 2: 50}, 4)
    assert found.sentence == (
        "Of 124 negative flips 80 are noise (at least one of 4 retrainings is wrong there too) and 44 systematic "
        "(35%). Judged by 3 retrainings, 42% are systematic; of the flips of retraining itself 60%."
    )
    assert FlipNoise.of({0: 5}, {0: 1}, 2).sentence.endswith(
        "Judged by 1 retraining, 100% are systematic; retraining itself flips nothing."
    )
    assert FlipNoise.of({0: 5}, {}, 2).sentence == "There is no negative flip to tell noise from."


def test_flips_are_filtered_by_cause_and_ordered_by_risk(tables, rights):
    old, members, new = rights
    comparison, counts = compare(tables[0], tables[2]), count_correct(tables[0], tables[1])
    number = members.sum(axis=0)
    for cause, wanted in (("systematic", number == MEMBERS), ("noise", number < MEMBERS), ("", number >= 0)):
        search = CauseSearch(cause, counts)
        expected = {f"test/{i}" for i in np.flatnonzero(old & ~new & wanted)}
        assert {row.sample_id for row in comparison.flips(cause=search, limit=NUM)} == expected
        assert comparison.num_flips(cause=search) == len(expected)
    # Only negative flips have a cause.
    assert comparison.num_flips("positive", cause=CauseSearch("noise", counts)) == 0
    ranked = comparison.flips(sort="flip_risk", cause=CauseSearch("", counts), limit=NUM)
    keys = [(number[int(row.sample_id.removeprefix("test/"))], row.old_confidence) for row in ranked]
    assert keys == sorted(keys)
    alone = [row.old_confidence for row in comparison.flips(sort="flip_risk", limit=NUM)]
    assert alone == sorted(alone)
    with pytest.raises(PctError, match="cause of flips"):
        comparison.num_flips(cause=CauseSearch("chance", counts))


def test_what_cannot_be_told_is_refused(tables, tmp_path):
    old, members, new = tables
    with pytest.raises(PctError, match="1 retraining is too few"):
        count_correct(old, members[:1])
    for twice in ([members[0], members[0]], [members[0], old]):
        with pytest.raises(PctError, match=r"the same prediction as .* on every example"):
            count_correct(old, twice)
    other = table([0, 1, 2], [0, 1, 2])
    with pytest.raises(PctError, match="not comparable"):
        count_correct(old, [members[0], other])
    counts = count_correct(other, [other, other])
    with pytest.raises(PctError, match="other examples"):
        flip_noise(compare(old, new), counts)
    with pytest.raises(PctError, match="without aliases"):
        flip_noise(compare(old, new, aliases={"cat": "owl"}), count_correct(old, members))
    new.save(tmp_path / "table.parquet")
    with pytest.raises(PctError, match="holds no counts"):
        MemberCounts.load(tmp_path / "table.parquet")


def test_a_comparison_with_aliases_says_why_noise_is_not_told(tables):
    old, members, new = tables
    stored = Retrainings(counts=count_correct(old, members))
    noise, lines = noise_among_flips(compare(old, new, aliases={"cat": "owl"}), stored)
    assert noise is None
    assert lines == [
        "Which flips are noise is not told here: Retrainings are counted without aliases: compare without them."
    ]
    noise, lines = noise_among_flips(compare(old, new), stored)
    assert lines == [noise.sentence]


@pytest.mark.parametrize(("aliases", "is_on"), [({}, True), ({"cat": "owl"}, False)])
def test_the_filter_by_cause_is_off_where_there_are_aliases(tables, monkeypatch, aliases, is_on):
    from pct_mlops.explorer.queries import flip_causes

    old, members, new = tables
    stored = Retrainings(counts=count_correct(old, members))
    monkeypatch.setattr(flip_causes, "retrainings_of", lambda old: stored)
    monkeypatch.setattr(flip_causes.pairs, "comparison", lambda pair: compare(old, new, aliases=aliases))
    pair = SimpleNamespace(old=None)
    assert (flip_causes.cause_search(pair, "noise") is not None) is is_on


def test_models_that_are_all_right_are_no_copies():
    perfect, *members = (table([0, 1, 2], [0, 1, 2]) for _ in range(3))
    assert count_correct(perfect, members).num_members == 2


def test_members_may_number_their_classes_in_another_order(tables):
    old, members, _ = tables
    order = ("owl", "cat", "dog")
    moved = [member.aligned(table([0], [0], class_names=order))[0] for member in members]
    assert moved[0].info.class_names != old.info.class_names
    kept = [count_correct(old, given) for given in (members, moved)]
    first, second = (pq.read_table(counts.path) for counts in kept)
    assert first.equals(second)


def test_the_pairs_of_a_floor_follow_from_the_counts(tables, rights):
    """The mean NFR between members, from the number of members that are wrong."""
    from pct_mlops.predictions.flip_risk import FlipRisk

    old, members, _ = tables
    risk = FlipRisk(old, count_correct(old, members))
    pairs = [one.nfr(two) for one, two in itertools.permutations(members, 2)]
    assert risk.nfr_between_members == pytest.approx(np.mean(pairs))
    assert risk.expected_nfr == pytest.approx(np.mean([member.nfr(old) for member in members]))
