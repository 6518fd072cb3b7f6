"""Production moves: recorded for ever, refused when somebody else was faster, and taken back."""

from __future__ import annotations

import itertools

import pytest
from moving_store import MODEL, Unreliable, move

from pct_mlops.errors import PctError, PromotionError, RegistryNotFoundError
from pct_mlops.registry import Registry, adopt, check_first, history, promote, rollback, verify
from pct_mlops.registry.moves import HISTORY_TAG

# A slow machine is not to lose its lock: the lock's time stands still.
pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def first(shoes):
    """Version 1 is in production, version 2 the candidate."""
    shoes.client.set_registered_model_alias(MODEL, "candidate", "2")
    move(shoes, 1, None)
    return shoes


def test_a_move_sets_both_aliases_and_says_who_and_when(first):
    made = move(first, 2, 1)
    assert (made.from_version, made.to_version, made.verdict, made.reason) == (1, 2, "PASS", "why")
    assert made.who
    assert made.when.endswith("+00:00")
    assert first.aliases(MODEL) == {"production": 2, "previous": 1, "candidate": 2}
    assert history(first, MODEL)[-1] == made


def test_the_first_move_has_no_origin(first):
    (made,) = history(first, MODEL)
    assert (made.from_version, made.to_version, made.verdict) == (None, 1, "BOOTSTRAP")
    assert made.report == "r"


def test_history_is_only_ever_added_to(first):
    records = []
    for number, baseline in ((2, 1), (1, 2), (2, 1)):
        records.append(history(first, MODEL))
        move(first, number, baseline)
    records.append(history(first, MODEL))
    assert [len(record) for record in records] == [1, 2, 3, 4]
    for before, after in itertools.pairwise(records):
        assert after[: len(before)] == before


def test_a_lost_record_is_not_written_over(first):
    """Numbers go on from the highest: where one is gone, the later ones stay."""
    move(first, 2, 1)
    client = first.client
    lost = min(key for key in client.get_registered_model(MODEL).tags if key.startswith(HISTORY_TAG))
    client.delete_registered_model_tag(MODEL, lost)
    (kept,) = history(first, MODEL)
    made = move(first, 1, 2)
    assert history(first, MODEL) == [kept, made]


def test_a_move_is_refused_when_production_moved_meanwhile(first):
    judged_against = first.resolve("shoes@production")
    move(first, 2, 1)
    before = history(first, MODEL)
    with pytest.raises(PromotionError, match="is version 2 since the gate judged: run 'pct gate' again"):
        promote(first, judged_against, judged_against, verdict="PASS", policy_digest="")
    with pytest.raises(PromotionError, match="is version 2 since"):
        move(first, 1, None)
    first.client.delete_registered_model_alias(MODEL, "production")
    with pytest.raises(PromotionError, match="is gone since the gate judged"):
        move(first, 1, 2)
    assert history(first, MODEL) == before


def test_rollback_changes_places_and_is_recorded(first):
    move(first, 2, 1)
    back = rollback(first, MODEL, "night images regressed")
    assert (back.from_version, back.to_version, back.verdict) == (2, 1, "ROLLBACK")
    assert back.reason == "night images regressed"
    assert first.aliases(MODEL) == {"production": 1, "previous": 2, "candidate": 2}
    assert history(first, MODEL)[-1] == back
    again = rollback(first, MODEL, "it was not them")
    assert (again.from_version, again.to_version) == (1, 2)


def test_rollback_needs_somewhere_to_go(first):
    with pytest.raises(PromotionError, match="no previous production to go back to"):
        rollback(first, MODEL, "why")
    with pytest.raises(RegistryNotFoundError, match="no model 'nobody'"):
        rollback(first, "nobody", "why")
    assert len(history(first, MODEL)) == 1


def test_too_long_a_reason_is_said_before_a_rollback_writes_anything(first):
    """Once the alias moved, a record that cannot be written would stand in the way of every later move."""
    move(first, 2, 1)
    before = first.client.get_registered_model(MODEL)
    with pytest.raises(PctError, match="longer than the history can keep"):
        rollback(first, MODEL, "x" * 6000)
    after = first.client.get_registered_model(MODEL)
    assert (after.aliases, after.tags) == (before.aliases, before.tags)
    assert rollback(first, MODEL, "x" * 3000).to_version == 1


def test_rollback_goes_nowhere_that_no_record_knows(first):
    """Whoever may edit the model may set the alias `previous`, to what no gate has judged."""
    move(first, 2, 1)
    first.client.set_registered_model_alias(MODEL, "previous", "4")
    with pytest.raises(PctError, match="shoes@previous is version 4, which no recorded move had in production: judge"):
        rollback(first, MODEL, "why")
    assert first.aliases(MODEL)["production"] == 2
    first.client.delete_registered_model_alias(MODEL, "production")
    with pytest.raises(PctError, match=r"Nothing is in production of shoes.*'pct gate shoes@previous --promote'"):
        rollback(first, MODEL, "why")
    for reason in ("", " "):
        with pytest.raises(PctError, match="A rollback needs a reason"):
            rollback(first, MODEL, reason)
    assert len(history(first, MODEL)) == 2


def test_of_two_rollbacks_at_once_one_takes_back(first):
    """The second would otherwise take the first one back."""
    move(first, 2, 1)
    other = Registry(first.tracking_uri)

    def somebody_is_faster(write):
        rollback(other, MODEL, "the first")
        return write()

    late = Registry(first.tracking_uri)
    late.client = Unreliable(late.client, 0, somebody_is_faster)
    with pytest.raises(PctError, match="moved from version 2 to version 1 meanwhile: see 'pct history shoes'"):
        rollback(late, MODEL, "the second")
    assert [made.reason for made in history(first, MODEL)][-1] == "the first"
    assert verify(first, MODEL).is_right


def test_times_are_in_the_order_of_the_moves(first, monkeypatch):
    """One who waited is recorded when it moved, and not when it was asked to."""
    other, times = Registry(first.tracking_uri), itertools.count(3000)
    monkeypatch.setattr("pct_mlops.registry.production.now", lambda: str(next(times)))

    def others_move(write):
        move(other, 2, 1)
        move(other, 1, 2)
        return write()

    late = Registry(first.tracking_uri)
    late.client = Unreliable(late.client, 1, others_move)
    made = move(late, 3, 1)
    when = [record.when for record in history(first, MODEL)]
    assert when == sorted(when)
    assert when[-1] == made.when


def test_a_first_version_is_one_only_where_none_was_before(shoes):
    assert check_first(shoes, MODEL, "production")
    assert not check_first(shoes, "nobody", "production")
    move(shoes, 1, None)
    with pytest.raises(PctError, match="no alias 'prodution', although version 1 is in production: correct 'baseline'"):
        check_first(shoes, MODEL, "prodution")
    with pytest.raises(PctError, match="has just become production: judge again"):
        check_first(shoes, MODEL, "production")
    shoes.client.delete_model_version(MODEL, "1")
    with pytest.raises(PctError, match=r"Nothing is in production of shoes, although its last recorded .*version 1"):
        check_first(shoes, MODEL, "production")
    adopt(shoes, MODEL, "taken down on purpose")
    assert check_first(shoes, MODEL, "production")
    with pytest.raises(PctError, match="reading the model a/b"):
        check_first(shoes, "a/b", "production")


def test_a_deleted_previous_version_is_said(first):
    move(first, 2, 1)
    first.client.delete_model_version(MODEL, "1")
    with pytest.raises(PctError, match="no previous production"):
        rollback(first, MODEL, "why")
    assert first.aliases(MODEL)["production"] == 2


def test_verify_is_content_with_what_went_through_the_gate(first):
    assert verify(first, MODEL).is_right
    move(first, 2, 1)
    assert verify(first, MODEL).is_right
    rollback(first, MODEL, "why")
    assert verify(first, MODEL).is_right


def test_verify_notices_an_alias_moved_past_the_gate(first):
    first.client.set_registered_model_alias(MODEL, "production", "2")
    assert "version 2, but the last recorded move" in verify(first, MODEL).sentence
    first.client.delete_registered_model_alias(MODEL, "production")
    assert "is nothing, but the last recorded move" in verify(first, MODEL).sentence


def test_verify_notices_production_without_any_record(first):
    client = first.client
    for key in client.get_registered_model(MODEL).tags:
        client.delete_registered_model_tag(MODEL, key)
    assert "no move was ever recorded" in verify(first, MODEL).sentence
    client.delete_registered_model_alias(MODEL, "production")
    assert verify(first, MODEL).is_right
