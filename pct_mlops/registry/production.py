"""Moves production, one move at a time, so that a crash at any point leaves the old state or the new one.

These steps are taken under the lock of the model:

1. Read again what was judged: production, the version, and the evidence on both.
2. Write down what is about to happen: the intent.
3. Set the alias. This is the moment at which production moves. Read it back.
4. Set `previous` and append the record.
5. Remove the intent.

Each write can be repeated without harm. So the next holder of the lock, or `repair`, completes a move whose alias was
set, and forgets one whose alias was not. The record's key is part of the intent, so no record is appended twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pct_mlops.errors import PctError, PromotionError
from pct_mlops.registry.connection import missing, said_plainly, store_refused
from pct_mlops.registry.lock import Lock, locked
from pct_mlops.registry.moves import INTENT_TAG, Intent, Move, MoveEvidence, State, now, shown, user
from pct_mlops.registry.registry import PREVIOUS, PRODUCTION, Registry, Version


def promote(
    registry: Registry,
    version: Version,
    baseline: Version | None,
    *,
    verdict: str,
    policy_digest: str,
    report: str = "",
    reason: str = "",
    override: bool = False,
    evidence: MoveEvidence = MoveEvidence(),  # noqa: B008 - it is immutable
    check: Callable[[], None] = lambda: None,
) -> Move:
    """Move production from `baseline` to `version`, keep the old one as `previous`, and append to the history.

    It waits for other moves.

    Args:
        registry: Where the model is.
        version: What is to be in production.
        baseline: What it was judged against, None where nothing was in production.
        verdict: The gate's verdict.
        policy_digest: Digest of the policy.
        report: Address of the gate's report.
        reason: Kept in the history.
        override: It moves against the verdict.
        evidence: Digests of what was judged, kept in the history.
        check: Called under the lock before anything is written. It raises PctError where what was judged has changed.

    Returns:
        The record of the move.

    Raises:
        PctError: Production is not the baseline that was judged, or went there past the gate, or the move was cut off.
    """
    move = Move(
        from_version=baseline.version if baseline else None,
        to_version=version.version,
        verdict=verdict,
        policy_digest=policy_digest,
        report=report,
        who=user(),
        when=now(),
        reason=reason,
        override=override,
        split=evidence.split,
        candidate_evidence=evidence.candidate,
        baseline_evidence=evidence.baseline,
    )
    move.text  # noqa: B018 - too long a reason is said before anything is written
    with locked(registry, version.name, lambda state: _check(state, move)) as lock:
        state = recover(lock)
        _check(state, move)
        _still_there(registry, version)
        check()
        _in_time(lock)
        # Others may have moved it while this one waited, and the record's times must be in the order of the moves.
        move = replace(move, when=now())
        _carry_out(lock, Intent(state.next_key(), move))
    return move


def _in_time(lock: Lock) -> None:
    """Raise PromotionError where what was read under the lock left too little of the lease to move anything."""
    if lock.clock.at_most > lock.lease / 2:
        raise PromotionError(
            f"Reading the evidence again took more than {lock.lease / 2:.0f} seconds, half of the time that a move of "
            f"{lock.name} may hold the registry's lock, so nothing was moved: set PCT_PROMOTION_LEASE to more than "
            f"{lock.lease:.0f} seconds."
        )


def rollback(registry: Registry, name: str, reason: str) -> Move:
    """Put the previous version back into production. The aliases `production` and `previous` change places.

    Args:
        registry: Where the model is.
        name: The model.
        reason: Kept in the history.

    Returns:
        The record of the move.

    Raises:
        PctError: There is no reason, or no previous version that a record had in production.
    """
    if not reason.strip():
        raise PromotionError("A rollback needs a reason: give one with --reason.")
    asked = State.of(registry.registered(name))
    if asked.intent is None:
        _way_back(asked, reason)
    with locked(registry, name) as lock:
        # A move that was cut off may not have set `previous` yet.
        state = recover(lock)
        move = _way_back(state, reason)
        if move.from_version != asked.production:
            raise PromotionError(
                f"Production of {name} moved from {shown(asked.production)} to {shown(move.from_version)} meanwhile: "
                f"see 'pct history {name}' before you take it back."
            )
        _check(state, move)
        _carry_out(lock, Intent(state.next_key(), move))
    return move


def _way_back(state: State, reason: str) -> Move:
    """Return the move that takes the last one back. Raise PctError where there is none."""
    name, before = state.name, state.previous
    if state.production is None and before is not None:
        raise PromotionError(
            f"Nothing is in production of {name}, so there is nothing to take back: see 'pct verify {name}', and judge "
            f"what was there before with 'pct gate {name}@{PREVIOUS} --promote'."
        )
    if state.production is None or before is None or before == state.production:
        raise PromotionError(f"{name} has no previous production to go back to: see 'pct history {name}'.")
    if before not in {version for move in state.moves for version in (move.from_version, move.to_version)}:
        # Everybody who may edit the model may also set this alias, to a version that no gate has seen.
        raise PromotionError(
            f"{name}@{PREVIOUS} is {shown(before)}, which no recorded move had in production: judge it with "
            f"'pct gate {name}@{PREVIOUS} --promote'."
        )
    move = Move(state.production, before, "ROLLBACK", "", "", user(), now(), reason)
    move.text  # noqa: B018 - too long a reason is said before anything is written
    return move


def recover(lock: Lock) -> State:
    """Complete or forget a move that an earlier holder of the lock left.

    Returns:
        The state after that.

    Raises:
        PctError: Production is neither the old nor the new version, so that a person must decide.
    """
    state = lock.entered or lock.read()
    if state.intent is None:
        return state
    move = state.intent.move
    if state.intent.key not in state.tags:
        if state.production == move.to_version:
            _complete(lock, state.intent)
        elif state.production != move.from_version:
            raise PromotionError(
                f"A move of {lock.name} from {shown(move.from_version)} to {shown(move.to_version)} was cut off, and "
                f"production is {shown(state.production)} now: see 'pct verify {lock.name}'."
            )
    remove_intent(lock)
    return lock.read()


def remove_intent(lock: Lock) -> None:
    """Remove the intent of a move that is complete or was never made."""
    lock.hold()
    with said_plainly(f"closing the move of {lock.name}"):
        lock.registry.client.delete_registered_model_tag(lock.name, INTENT_TAG)


def append(lock: Lock, key: str, move: Move) -> None:
    """Set `previous` to what production was, and write the record."""
    client = lock.registry.client
    with said_plainly(f"recording the move of {lock.name}"):
        if move.from_version is not None:
            lock.hold()
            try:
                client.set_registered_model_alias(lock.name, PREVIOUS, str(move.from_version))
            except Exception as error:
                # The old version was deleted. There is nothing to go back to, and the move is made all the same.
                if not missing(error):
                    raise
        lock.hold()
        client.set_registered_model_tag(lock.name, key, move.text)


def _check(state: State, move: Move) -> None:
    """Raise PctError unless production is what was judged against, and a record says how it came there."""
    name = state.name
    if state.production != move.from_version:
        at = "gone" if state.production is None else shown(state.production)
        raise PromotionError(
            f"Production of {name} is {at} since the gate judged: run 'pct gate' again to judge against it."
        )
    if move.to_version == move.from_version:
        raise PromotionError(f"{name}/{move.to_version} is in production already: there is nothing to move.")
    if state.intent is None and state.last is not None and not state.is_recorded:
        raise PromotionError(
            f"Production of {name} is {shown(state.production)}, and its last recorded move put "
            f"{shown(state.last.to_version)} there: see 'pct verify {name}' before anything else is moved."
        )


def _still_there(registry: Registry, version: Version) -> None:
    try:
        with said_plainly(f"reading {version.uri}"):
            found = registry.client.get_model_version(version.name, str(version.version))
    except PctError as error:
        if not missing(error):
            raise
        raise _deleted(version.name, version.version) from error
    if (found.source, int(found.creation_timestamp or 0)) != (version.source, version.created):
        raise PromotionError(f"{version.uri} is no longer what the gate judged: run 'pct gate' again.")


def _deleted(name: str, version: int | None) -> PromotionError:
    return PromotionError(f"{name}/{version} was deleted since the gate judged it, so production stays as it is.")


def _carry_out(lock: Lock, intent: Intent) -> None:
    """Make the move. Take it back where the store refused, and leave it to `recover` where no reply came."""
    client, move, name = lock.registry.client, intent.move, lock.name
    doing = f"moving production of {name}"
    try:
        with said_plainly(doing):
            lock.hold()
            client.set_registered_model_tag(name, INTENT_TAG, intent.text)
            # Read once more, to see that the lock is still ours and nobody moved the alias by hand.
            _check(lock.read(), move)
            lock.hold()
            client.set_registered_model_alias(name, PRODUCTION, str(move.to_version))
    except PctError as error:
        if not _taken_back(lock, error):
            raise _cut_off(name, move, error) from error
        if missing(error):
            raise _deleted(name, move.to_version) from error
        raise
    try:
        _complete(lock, intent)
        remove_intent(lock)
    except PctError as error:
        raise _cut_off(name, move, error) from error


def _taken_back(lock: Lock, error: PctError) -> bool:
    """Remove the intent where nothing was moved for certain, and tell whether that is so."""
    if error.__cause__ is not None and not store_refused(error):
        return False
    try:
        remove_intent(lock)
    except PctError:
        return False
    return True


def _complete(lock: Lock, intent: Intent) -> None:
    """Do what follows after the alias was set."""
    at = lock.read().production
    if at != intent.move.to_version:
        raise PromotionError(f"production did not stay on {shown(intent.move.to_version)}, it is {shown(at)}")
    append(lock, intent.key, intent.move)


def _cut_off(name: str, move: Move, error: PctError) -> PctError:
    why = str(error).rstrip(".")
    return PromotionError(
        f"The move of {name} from {shown(move.from_version)} to {shown(move.to_version)} was cut off ({why}): "
        f"'pct verify {name}' tells how far it came, and with --repair completes it or takes it back."
    )
