"""A promoter that dies anywhere, or whose registry does: the old state or the new one, told apart and mended."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException
from moving_store import MODEL, Killed, Unreliable, killed_after, killed_before, locks, move, state

from pct_mlops.config import PctError
from pct_mlops.registry import ProductionState, Registry, adopt, history, promote, repair, rollback, verify
from pct_mlops.registry.moves import HISTORY_TAG, INTENT_TAG

# A slow machine is not to lose its lock: the lock's time stands still.
pytestmark = pytest.mark.usefixtures("clock")

# Every write of a move, in order. What is killed before the alias is set never happened.
MOVE = [
    ("set_registered_model_tag", "pct.lock.over."),
    ("create_registered_model", "shoes.promotion-lock-"),
    ("set_registered_model_tag", INTENT_TAG),
    ("set_registered_model_alias", "production"),
    ("set_registered_model_alias", "previous"),
    ("set_registered_model_tag", HISTORY_TAG),
    ("delete_registered_model_tag", INTENT_TAG),
    ("set_registered_model_tag", "pct.lock.over."),
    ("delete_registered_model", "shoes.promotion-lock-"),
]
COMMIT = 3


def with_client(registry, at=None, do=None):
    """The same registry behind an unreliable client."""
    other = Registry(registry.tracking_uri)
    other.client = Unreliable(other.client, at, do)
    return other


def whole(registry):
    """Aliases and history, and that nothing else is left of a move."""
    now = state(registry)
    assert now.intent is None
    assert locks(registry) == []
    return {"production": now.production, "previous": now.previous}, history(registry, MODEL)


def test_these_are_all_writes_of_a_move(started):
    watched = with_client(started)
    move(watched, 2, 1)
    for (name, *arguments), (wanted, about) in zip(watched.client.calls, MOVE, strict=True):
        assert name == wanted
        assert any(argument.startswith(about) for argument in arguments)


# Before the first write nothing has happened, and before a later one no more than after the one before it.
@pytest.mark.parametrize(("at", "do"), [(0, killed_before), *((at, killed_after) for at in range(len(MOVE)))])
def test_killed_at_any_write_the_state_is_the_old_or_the_new_one(started, clock, at, do):
    old, before = whole(started)
    with pytest.raises(Killed):
        move(with_client(started, at, do), 2, 1)
    committed = at + (do is killed_after) > COMMIT
    found = verify(started, MODEL)
    assert state(started).production == (2 if committed else 1)
    assert found.is_right != found.can_repair, "either there is nothing to mend, or it can be mended"
    if not found.is_right:
        assert found.state is (ProductionState.MADE if committed else ProductionState.BEGUN)
        assert "new one, version 2" in found.sentence if committed else "old one, version 1" in found.sentence
        assert "It may be under way still, by" in found.sentence

    mended = repair(started, MODEL)
    assert mended.is_right
    new, after = whole(started)
    assert after[: len(before)] == before
    if committed:
        assert new == {"production": 2, "previous": 1}
        assert [(made.from_version, made.to_version, made.reason) for made in after[len(before) :]] == [(1, 2, "why")]
    else:
        assert new == old
        assert after == before
    move(started, 4, new["production"])
    assert len(history(started, MODEL)) == len(after) + 1


@pytest.mark.parametrize("at", [1, *range(COMMIT - 1, COMMIT + 3)])
def test_the_next_promoter_mends_it_as_well(started, clock, at):
    before = history(started, MODEL)
    with pytest.raises(Killed):
        move(with_client(started, at, killed_after), 2, 1)
    now = state(started).production
    made = move(started, 4, now)
    wanted = [*before, *([history(started, MODEL)[2]] if now == 2 else []), made]
    assert history(started, MODEL) == wanted
    assert [item.to_version for item in wanted] == ([3, 1, 2, 4] if now == 2 else [3, 1, 4])
    assert whole(started)[0] == {"production": 4, "previous": now}


@pytest.mark.parametrize("at", range(2, 6))
def test_killed_while_mending_it_can_be_mended_again(started, clock, at):
    """The recovery of a move that was made has the same writes as the end of the move itself."""
    with pytest.raises(Killed):
        move(with_client(started, COMMIT, killed_after), 2, 1)
    with pytest.raises(Killed):
        repair(with_client(started, at, killed_after), MODEL)
    assert repair(started, MODEL).is_right
    assert whole(started)[0] == {"production": 2, "previous": 1}
    assert [item.to_version for item in history(started, MODEL)] == [3, 1, 2]


def test_a_rollback_takes_back_a_move_that_was_cut_off(started, clock):
    """The alias `previous` still is what it was before that move."""
    with pytest.raises(Killed):
        move(with_client(started, COMMIT, killed_after), 2, 1)
    assert state(started).previous == 3
    back = rollback(started, MODEL, "why")
    assert (back.from_version, back.to_version) == (2, 1)
    assert whole(started)[0] == {"production": 1, "previous": 2}
    assert [item.to_version for item in history(started, MODEL)] == [3, 1, 2, 1]


def test_an_adoption_that_cannot_be_recorded_changes_nothing(started):
    started.client.set_registered_model_alias(MODEL, "production", "4")
    kept = whole(started)
    for reason, says in (("é" * 6000, "characters longer than the history can keep"), (" ", "needs a reason")):
        with pytest.raises(PctError, match=says):
            adopt(started, MODEL, reason)
    assert whole(started) == kept


def no_answer(write):
    raise MlflowException("API request failed: Max retries exceeded with url: /api")


def answer_lost(write):
    write()
    no_answer(write)


@pytest.mark.parametrize("do", [no_answer, answer_lost])
@pytest.mark.parametrize("at", range(COMMIT - 1, COMMIT + 2))
def test_a_registry_that_stops_answering_is_said_and_nothing_is_given_away(started, clock, at, do):
    """Whether the write arrived, nobody knows: the lock stays until it cannot arrive any more."""
    broken = with_client(started, at, do)
    with pytest.raises(PctError, match=r"The move of shoes from version 1 to version 2 was cut off \(.*--repair"):
        move(broken, 2, 1)
    assert len(broken.client.calls) == at + 1, "nothing was written after that"
    assert locks(started)
    began = clock.now
    mended = repair(started, MODEL)
    assert mended.is_right
    assert clock.now - began > 8, "the lease was waited for"
    assert [item.to_version for item in whole(started)[1]] == (
        [3, 1, 2] if whole(started)[0]["production"] == 2 else [3, 1]
    )


def test_a_registry_that_stops_answering_after_the_record_changes_nothing(started, clock):
    move(with_client(started, len(MOVE) - 2, no_answer), 2, 1)
    assert verify(started, MODEL).is_right
    move(started, 4, 2)
    assert [item.to_version for item in whole(started)[1]] == [3, 1, 2, 4]


def test_a_candidate_that_is_deleted_before_or_in_mid_move_stays_out(started):
    second = started.get(MODEL, 2)
    kept = whole(started)

    def deleted(write):
        started.client.delete_model_version(MODEL, "2")
        return write()

    with pytest.raises(PctError, match="shoes/2 was deleted since the gate judged it, so production stays as it is"):
        move(with_client(started, COMMIT, deleted), 2, 1)
    assert whole(started) == kept
    with pytest.raises(PctError, match="shoes/2 was deleted since the gate judged it"):
        promote(started, second, started.get(MODEL, 1), verdict="PASS", policy_digest="")
    assert whole(started) == kept
    assert verify(started, MODEL).is_right


def test_an_old_version_that_is_deleted_in_mid_move_does_not_stop_it(started):
    def deleted(write):
        started.client.delete_model_version(MODEL, "1")
        return write()

    move(with_client(started, COMMIT + 1, deleted), 2, 1)
    assert whole(started)[0] == {"production": 2, "previous": 3}
    assert verify(started, MODEL).is_right


def test_an_alias_that_is_deleted_in_mid_move_is_said(started, clock):
    def gone_before(write):
        started.client.delete_registered_model_alias(MODEL, "production")
        return write()

    def gone_after(write):
        write()
        started.client.delete_registered_model_alias(MODEL, "production")

    # Before the intent is written, and the state is read once more.
    with pytest.raises(PctError, match="is gone since the gate judged"):
        move(with_client(started, COMMIT - 1, gone_before), 2, 1)
    assert state(started).intent is None
    started.client.set_registered_model_alias(MODEL, "production", "1")
    with pytest.raises(PctError, match=r"cut off .production did not stay on version 2, it is nothing"):
        move(with_client(started, COMMIT, gone_after), 2, 1)
    found = verify(started, MODEL)
    assert (found.state, found.is_right, found.can_repair) == (ProductionState.UNCLEAR, False, False)
    assert "production is neither, it is nothing" in found.sentence
    assert repair(started, MODEL).state is ProductionState.UNCLEAR, "a person has to decide"
    with pytest.raises(PctError, match="see 'pct verify shoes'"):
        move(started, 4, None)
    made = adopt(started, MODEL, "taken down on purpose")
    assert (made.from_version, made.to_version, made.verdict) == (1, None, "ADOPTED")
    assert verify(started, MODEL).is_right
    move(started, 4, None)
    assert [item.to_version for item in whole(started)[1]] == [3, 1, None, 4]


def test_production_that_was_moved_past_the_gate_stops_the_next_move_until_it_is_adopted(started):
    started.client.set_registered_model_alias(MODEL, "production", "4")
    kept = whole(started)
    for attempt in (lambda: move(started, 2, 4), lambda: rollback(started, MODEL, "why")):
        with pytest.raises(
            PctError, match="is version 4, and its last recorded move put version 1 there: see 'pct verify"
        ):
            attempt()
    assert whole(started) == kept
    assert verify(started, MODEL).state is ProductionState.MOVED
    assert not repair(started, MODEL).is_right, "what a person did, a person answers for"
    made = adopt(started, MODEL, "CI was down")
    assert (made.from_version, made.to_version, made.verdict, made.reason) == (1, 4, "ADOPTED", "CI was down")
    assert whole(started)[0] == {"production": 4, "previous": 1}
    with pytest.raises(PctError, match="nothing to adopt"):
        adopt(started, MODEL, "again")
    rollback(started, MODEL, "it was not good")
    assert [item.to_version for item in history(started, MODEL)] == [3, 1, 4, 1]


def test_a_registry_that_had_production_before_it_had_records(shoes):
    shoes.client.set_registered_model_alias(MODEL, "production", "1")
    assert verify(shoes, MODEL).state is ProductionState.UNRECORDED
    move(shoes, 2, 1)
    assert verify(shoes, MODEL).is_right
    assert whole(shoes)[0] == {"production": 2, "previous": 1}


def test_what_cannot_be_recorded_is_not_moved(started):
    kept = whole(started)
    with pytest.raises(PctError, match=r"The reason is 1,.* characters longer than the history can keep"):
        move(started, 2, 1, reason="é" * 6000)
    with pytest.raises(PctError, match="shoes/1 is in production already"):
        move(started, 1, 1)
    move(started, 2, 1, reason="é" * 4000, override=True)
    last = history(started, MODEL)[-1]
    assert last.override
    assert last.reason == "é" * 4000
    assert len(whole(started)[1]) == len(kept[1]) + 1


def test_records_changed_by_hand_are_said_and_later_fields_are_left_alone(started):
    key = state(started).keys[-1]
    text = state(started).tags[key]
    started.client.set_registered_model_tag(MODEL, key, text.replace("{", '{"from_a_later_release": 1, ', 1))
    assert history(started, MODEL)[-1].to_version == 1
    for tag, value in ((key, "[1, 2]"), (INTENT_TAG, "{")):
        started.client.set_registered_model_tag(MODEL, tag, value)
        for ask in (verify, repair, history):
            with pytest.raises(PctError, match=f"The tag {tag} of shoes"):
                ask(started, MODEL)
            if tag == INTENT_TAG:
                break
        started.client.set_registered_model_tag(MODEL, key, text)
