"""Production moves: recorded for ever, refused when somebody else was faster, and taken back."""

from __future__ import annotations

import itertools

import pytest
from tiny_store import NAME

from pct_mlops.config import PctError
from pct_mlops.registry import history, promote, rollback, verify
from pct_mlops.registry.moves import HISTORY_TAG


def move(store, number, baseline, verdict="PASS"):
    version = store.registry.resolve(f"{NAME}/{number}")
    old = store.registry.resolve(f"{NAME}/{baseline}") if baseline else None
    return promote(store.registry, version, old, verdict=verdict, policy_digest="d" * 64, report="r", reason="why")


def test_a_move_sets_both_aliases_and_says_who_and_when(store):
    made = move(store, 2, 1)
    assert (made.from_version, made.to_version, made.verdict, made.reason) == (1, 2, "PASS", "why")
    assert made.who
    assert made.when.endswith("+00:00")
    assert store.registry.aliases(NAME) == {"production": 2, "previous": 1, "candidate": 2}
    assert history(store.registry, NAME)[-1] == made


def test_the_first_move_has_no_origin(shared_store):
    (first,) = history(shared_store.registry, NAME)
    assert (first.from_version, first.to_version, first.verdict) == (None, 1, "BOOTSTRAP")
    assert first.report.startswith("runs:/")


def test_history_is_only_ever_added_to(store):
    records = []
    for number, baseline in ((2, 1), (1, 2), (2, 1)):
        records.append(history(store.registry, NAME))
        move(store, number, baseline)
    records.append(history(store.registry, NAME))
    assert [len(record) for record in records] == [1, 2, 3, 4]
    for before, after in itertools.pairwise(records):
        assert after[: len(before)] == before


def test_a_lost_record_is_not_written_over(store):
    """Numbers go on from the highest: where one is gone, the later ones stay."""
    move(store, 2, 1)
    client = store.registry.client
    first = min(key for key in client.get_registered_model(NAME).tags if key.startswith(HISTORY_TAG))
    client.delete_registered_model_tag(NAME, first)
    (kept,) = history(store.registry, NAME)
    made = move(store, 1, 2)
    assert history(store.registry, NAME) == [kept, made]


def test_a_move_is_refused_when_production_moved_meanwhile(store):
    judged_against = store.registry.resolve("digits@production")
    move(store, 2, 1)
    before = history(store.registry, NAME)
    with pytest.raises(PctError, match="is version 2 since the gate judged: run 'pct gate' again"):
        promote(store.registry, judged_against, judged_against, verdict="PASS", policy_digest="")
    with pytest.raises(PctError, match="is version 2 since"):
        move(store, 1, None, "BOOTSTRAP")
    store.registry.client.delete_registered_model_alias(NAME, "production")
    with pytest.raises(PctError, match="is gone since the gate judged"):
        move(store, 1, 2)
    assert history(store.registry, NAME) == before


def test_rollback_changes_places_and_is_recorded(store):
    move(store, 2, 1)
    back = rollback(store.registry, NAME, "night images regressed")
    assert (back.from_version, back.to_version, back.verdict) == (2, 1, "ROLLBACK")
    assert back.reason == "night images regressed"
    assert store.registry.aliases(NAME) == {"production": 1, "previous": 2, "candidate": 2}
    assert history(store.registry, NAME)[-1] == back
    again = rollback(store.registry, NAME, "it was not them")
    assert (again.from_version, again.to_version) == (1, 2)


def test_rollback_needs_somewhere_to_go(store):
    with pytest.raises(PctError, match="no previous production to go back to"):
        rollback(store.registry, NAME, "why")
    with pytest.raises(PctError, match="no model 'nobody'"):
        rollback(store.registry, "nobody", "why")
    assert len(history(store.registry, NAME)) == 1


def test_a_deleted_previous_version_is_said(store):
    move(store, 2, 1)
    store.registry.client.delete_model_version(NAME, "1")
    with pytest.raises(PctError, match="no previous production"):
        rollback(store.registry, NAME, "why")
    assert store.registry.aliases(NAME)["production"] == 2


def test_verify_is_content_with_what_went_through_the_gate(store):
    assert verify(store.registry, NAME) is None
    move(store, 2, 1)
    assert verify(store.registry, NAME) is None
    rollback(store.registry, NAME, "why")
    assert verify(store.registry, NAME) is None


def test_verify_notices_an_alias_moved_past_the_gate(store):
    store.registry.client.set_registered_model_alias(NAME, "production", "2")
    assert "version 2, but the last recorded move" in verify(store.registry, NAME)
    store.registry.client.delete_registered_model_alias(NAME, "production")
    assert "is nothing, but the last recorded move" in verify(store.registry, NAME)


def test_verify_notices_production_without_any_record(store):
    client = store.registry.client
    for key in client.get_registered_model(NAME).tags:
        client.delete_registered_model_tag(NAME, key)
    assert "no move was ever recorded" in verify(store.registry, NAME)
    client.delete_registered_model_alias(NAME, "production")
    assert verify(store.registry, NAME) is None
