"""The lock of production: one holder at a time, taken over from the dead and from nobody else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from moving_store import MODEL, Killed, Unreliable, killed_after, locks, move, state

from pct_mlops.errors import ConfigError, PctError, PromotionError, RegistryForbiddenError
from pct_mlops.registry import Registry, history, lock, verify
from pct_mlops.registry.lock import OVER_TAG, Lock, locked, over

SEPARATION = Path(__file__).parents[2] / "projects" / "ci" / "SEPARATION.md"


def overs(registry):
    return sorted(key for key in state(registry).tags if key.startswith(OVER_TAG))


def test_it_is_there_while_it_is_held_and_says_whose_it_is(started, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ci")
    with locked(started, MODEL) as held:
        assert locks(started) == ["shoes.promotion-lock-000003"]
        assert started.models() == [MODEL], "a lock is no model"
        tags = held.look().tags
        assert tags[lock.LOCK_TAG] == MODEL
        assert tags["who"] == "ci"
        assert tags["lease"] == "60"
        assert {"host", "pid", "since", "owner"} <= set(tags)
    assert locks(started) == []


def test_marks_and_locks_that_were_left_are_removed(started, monkeypatch):
    monkeypatch.setattr(Lock, "delete", lambda self: None)
    for _ in range(5):
        with locked(started, MODEL):
            pass
    assert len(locks(started)) == 5
    assert len(overs(started)) == 8
    monkeypatch.undo()
    with locked(started, MODEL):
        assert len(locks(started)) == 6
    with locked(started, MODEL):
        assert locks(started) == ["shoes.promotion-lock-000009"]
        assert overs(started) == [f"{OVER_TAG}000008"]


def test_no_generation_is_held_twice(started):
    """One who read the counter long ago makes a lock that was deleted: he sees it, and begins again."""
    stale = state(started)
    for _ in range(3):
        with locked(started, MODEL):
            pass
    late = Lock(started, MODEL, over(stale) + 1, 60.0)
    assert not lock._entered(late, stale)
    assert locks(started) == []
    assert over(state(started)) == 5, "a late mark turns nothing back"


def test_a_mark_that_comes_late_does_not_turn_the_counter_back(started):
    with locked(started, MODEL) as held:
        Lock(started, MODEL, 1, 60.0).end("taken over, as somebody slow believes")
        assert over(state(started)) == held.generation - 1
        held.read()
        assert not Lock(started, MODEL, held.generation, 60.0).create(), "and nobody else gets in"


def test_one_waits_for_a_holder_and_says_so_when_it_never_ends(started, clock, monkeypatch):
    other = Registry(started.tracking_uri)
    with locked(other, MODEL):
        monkeypatch.setattr(lock, "PATIENCE", 0.2)
        with pytest.raises(PromotionError, match=r"Others have kept moving production of shoes \(.*process \d+, since"):
            move(started, 2, 1)
    assert history(started, MODEL)[-1].to_version == 1


def test_a_dead_holder_is_waited_for_one_lease_of_his_own(started, clock, monkeypatch):
    monkeypatch.setenv(lock.LEASE, "300")
    with pytest.raises(Killed):
        move(_killed_at(started, 1), 2, 1)
    monkeypatch.setenv(lock.LEASE, "8")
    began = clock.now
    move(started, 2, 1)
    assert clock.now - began > 300
    assert locks(started) == []


def test_an_owner_that_changes_is_no_dead_holder(started, clock):
    """Somebody may make and delete the same generation without ever entering; it is as old as its last owner."""
    seen = []

    def sleep(seconds):
        clock.now += 0.9
        seen.append(clock.now)
        if len(seen) < 6:
            started.client.delete_registered_model(intruder.key)
            intruder.owner = f"owner {len(seen)}"
            intruder.create()

    clock.sleep = sleep
    intruder = Lock(started, MODEL, 3, 2.0)
    intruder.create()
    move(started, 2, 1)
    assert len(seen) >= 8


def test_of_many_who_take_over_one_gets_in(started, clock):
    with pytest.raises(Killed):
        move(_killed_at(started, 1), 2, 1)
    first, second = Registry(started.tracking_uri), Registry(started.tracking_uri)
    for registry in (first, second):
        Lock(registry, MODEL, 3, 2.0).end("taken over")
    then = state(started)
    entered = [lock._entered(Lock(registry, MODEL, over(then) + 1, 2.0), then) for registry in (first, second)]
    assert entered == [True, False]


def test_a_holder_that_was_too_slow_writes_nothing_more(started, clock):
    def slow(write):
        clock.now += 4.1
        return write()

    registry = Registry(started.tracking_uri)
    registry.client = Unreliable(registry.client, 2, slow)  # the intent arrives, half of the lease is over
    with pytest.raises(PctError, match="took longer than 4 seconds, so it was stopped"):
        move(registry, 2, 1)
    assert state(started).production == 1
    move(started, 4, 1)
    assert [item.to_version for item in history(started, MODEL)] == [3, 1, 4]


def test_a_holder_that_was_taken_over_notices_before_it_moves(started, clock):
    def overtaken(write):
        Lock(started, MODEL, 3, 2.0).end("taken over")
        return write()

    registry = Registry(started.tracking_uri)
    registry.client = Unreliable(registry.client, 2, overtaken)
    with pytest.raises(PctError, match="took too long and was taken over"):
        move(registry, 2, 1)
    assert state(started).production == 1
    move(started, 4, 1)
    assert verify(started, MODEL).is_right


def test_a_repeated_request_finds_its_own_lock(started):
    def answer_lost(write):
        write()
        return write()

    registry = Registry(started.tracking_uri)
    registry.client = Unreliable(registry.client, 1, answer_lost)
    move(registry, 2, 1)
    assert verify(started, MODEL).is_right


def test_a_refusal_leaves_no_lock_and_no_mark(started, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")

    def refuse(write):
        raise MlflowException("Permission denied", error_code=PERMISSION_DENIED)

    kept = state(started)
    registry = Registry(started.tracking_uri)
    registry.client = Unreliable(registry.client, 0, refuse)
    with pytest.raises(RegistryForbiddenError, match="does not let ada move production of shoes: that takes") as caught:
        move(registry, 2, 1)
    assert f"\nError: {caught.value}\n" in SEPARATION.read_text(), "what the set-up's description shows"
    assert len(registry.client.calls) == 1
    assert state(started) == kept
    assert locks(started) == []


def test_a_clock_that_is_set_takes_no_lock_from_its_holder(started, clock, monkeypatch):
    """One who waits believes the slower clock, and the holder the faster one."""

    def sleep(seconds):
        clock.now += 0.5
        clock.set_by = 3600

    clock.sleep = sleep
    monkeypatch.setattr(lock, "PATIENCE", 0.5)
    with locked(started, MODEL) as held:
        with pytest.raises(PctError, match="Others have kept moving production of shoes"):
            move(Registry(started.tracking_uri), 2, 1)
        held.read()
        with pytest.raises(PctError, match="took longer than 4 seconds"):
            held.hold()
    assert state(started).production == 1


@pytest.mark.parametrize("text", ["soon", "0", "7", "-1", "nan", "9999"])
def test_a_lease_that_is_none_is_said(started, monkeypatch, text):
    monkeypatch.setenv(lock.LEASE, text)
    with pytest.raises(ConfigError, match="PCT_PROMOTION_LEASE should be a number of seconds from 8 to 600"):
        move(started, 2, 1)


def test_requests_are_bounded_within_and_as_before_afterwards(started, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    monkeypatch.delenv("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", raising=False)
    with locked(started, MODEL), lock.bounded_requests(20):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60"
    assert "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER" not in os.environ


@pytest.mark.parametrize("lease", [lock.SHORTEST_LEASE, 9, 23, lock.DEFAULT_LEASE, lock.LONGEST_LEASE])
def test_a_request_that_begins_in_the_first_half_of_a_lease_ends_within_it(started, monkeypatch, lease):
    monkeypatch.setenv(lock.LEASE, str(lease))
    with locked(started, MODEL) as held:
        tries = 1 + int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
        # Each waits for the connection, and as long for the answer; mlflow's pause before another is up to a second.
        asking = tries * 2 * int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
        pausing = (tries - 1) * float(os.environ.get("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "1"))
        assert asking + pausing <= held.lease / 2


def _killed_at(registry, at):
    other = Registry(registry.tracking_uri)
    other.client = Unreliable(other.client, at, killed_after)
    return other
