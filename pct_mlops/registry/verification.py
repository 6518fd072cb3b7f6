"""Checks whether production is where its record says, and repairs what is not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pct_mlops.errors import ConfigError, PromotionError
from pct_mlops.registry.connection import said_plainly
from pct_mlops.registry.lock import Lock, holder, locked, over, tidy
from pct_mlops.registry.moves import Move, State, now, shown, user
from pct_mlops.registry.production import append, recover, remove_intent
from pct_mlops.registry.registry import PRODUCTION, Registry

ADOPTED = "ADOPTED"  # the verdict of a record that was made after the move


class ProductionState(str, Enum):
    """The relation of production to its record."""

    EMPTY = "empty"  # nothing in production, no move recorded
    RECORDED = "recorded"
    UNRECORDED = "unrecorded"  # something in production, no move recorded
    MOVED = "moved"  # past the gate
    BEGUN = "begun"  # a move was cut off, production is still the old one
    MADE = "made"  # a move was cut off, production is the new one already
    UNCLEAR = "unclear"  # a move was cut off, and production is neither

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Verification:
    """The result of a check of production.

    Attributes:
        sentence: Where production is, and what to do.
        state: The relation of production to its record.
        is_right: Nothing needs to be done.
        can_repair: `repair` settles it without a person's decision.
    """

    sentence: str
    state: ProductionState
    is_right: bool
    can_repair: bool


def verify(registry: Registry, name: str) -> Verification:
    """Check whether production is where the last recorded move put it, and whether that move is complete.

    Anybody who may edit the model can move an alias, but only `promote` leaves a record.

    Raises:
        PctError: There is no such model, or its record was changed by hand.
    """
    state = State.of(registry.registered(name))
    found = _production_state(state)
    sentence = _sentence(state, found) + (_mover(registry, state) if state.intent else "")
    right = found in (ProductionState.EMPTY, ProductionState.RECORDED)
    return Verification(sentence, found, right, found in (ProductionState.BEGUN, ProductionState.MADE))


def check_first(registry: Registry, name: str, alias: str) -> bool:
    """Tell whether there is a model `name`, after no `alias` of it was found.

    Raises:
        PctError: The model has had something in production, and no record says that it is empty now. An alias is also
            missing when its version was deleted, or when it is misspelt.
    """
    model = registry.look(name)
    if model is None:
        return False
    state = State.of(model)
    if state.production is not None and alias != PRODUCTION:
        raise ConfigError(
            f"{name} has no alias '{alias}', although {shown(state.production)} is in production: correct 'baseline' "
            "in the policy."
        )
    if state.production is not None:
        raise PromotionError(
            f"{shown(state.production).capitalize()} of {name} has just become production: judge again."
        )
    if state.last is not None and not state.is_recorded:
        raise PromotionError(
            f"Nothing is in production of {name}, although its last recorded move ({state.last.when}, "
            f"{state.last.verdict}) put {shown(state.last.to_version)} there: see 'pct verify {name}' before anything "
            "is judged."
        )
    return True


def repair(registry: Registry, name: str) -> Verification:
    """Complete or take back a move that was cut off. It waits for a move that is under way."""
    with locked(registry, name) as lock:
        state = lock.read()
        if _production_state(state) is not ProductionState.UNCLEAR:
            recover(lock)
        tidy(lock, state)
    return verify(registry, name)


def adopt(registry: Registry, name: str, reason: str) -> Move:
    """Record that production is where somebody put it past the gate, so that moves can go on from there.

    Raises:
        PctError: There is no reason, or nothing to adopt.
    """
    if not reason.strip():
        raise PromotionError("An adoption needs a reason: give one with --reason.")
    with locked(registry, name) as lock:
        state = lock.read()
        if _production_state(state) is not ProductionState.UNCLEAR:
            state = recover(lock)
        if _production_state(state) in (ProductionState.EMPTY, ProductionState.RECORDED):
            raise PromotionError(f"Production of {name} is where its record says, so there is nothing to adopt.")
        before = state.last.to_version if state.last else None
        move = Move(before, state.production, ADOPTED, "", "", user(), now(), reason)
        move.text  # noqa: B018 - too long a reason is said before anything is written
        append(lock, state.next_key(), move)
        if state.intent is not None:
            remove_intent(lock)
    return move


def _production_state(state: State) -> ProductionState:
    if state.intent is not None and state.intent.key not in state.tags:
        move = state.intent.move
        if state.production == move.to_version:
            return ProductionState.MADE
        return ProductionState.BEGUN if state.production == move.from_version else ProductionState.UNCLEAR
    if state.last is None:
        return ProductionState.EMPTY if state.production is None else ProductionState.UNRECORDED
    if not state.is_recorded:
        return ProductionState.MOVED
    # The move is recorded. Only its intent is still there.
    return ProductionState.RECORDED if state.intent is None else ProductionState.MADE


def _sentence(state: State, found: ProductionState) -> str:
    name, at, last = state.name, shown(state.production), state.last
    if found is ProductionState.EMPTY:
        return f"Nothing is in production of {name}, and no move was ever recorded."
    if found is ProductionState.UNRECORDED:
        return f"Production of {name} is {at}, and no move was ever recorded: judge it, or adopt it with --adopt."
    if state.intent is not None and found in (ProductionState.BEGUN, ProductionState.MADE, ProductionState.UNCLEAR):
        return _cut_off(state, found)
    assert last is not None
    if found is ProductionState.MOVED:
        return (
            f"Production of {name} is {at}, but the last recorded move ({last.when}, {last.verdict}) put "
            f"{shown(last.to_version)} there: it was moved past the gate; move it back, or adopt it with --adopt."
        )
    return f"Production of {name} is {at}, where its last recorded move put it ({last.when}, {last.verdict})."


def _cut_off(state: State, found: ProductionState) -> str:
    assert state.intent is not None
    move, at = state.intent.move, shown(state.production)
    begun = (
        f"A move of {state.name} from {shown(move.from_version)} to {shown(move.to_version)} ({move.verdict}, by "
        f"{move.who}, {move.when}) is not complete; "
    )
    if found is ProductionState.BEGUN:
        return f"{begun}production is the old one, {at}: --repair takes the move back."
    if found is ProductionState.MADE:
        return f"{begun}production is the new one, {at}: --repair completes the record."
    return (
        f"{begun}production is neither, it is {at}: move it to one of them and use --repair, or take it with --adopt."
    )


def _mover(registry: Registry, state: State) -> str:
    """Name who holds the lock now, in a sentence that is empty where nobody does."""
    with said_plainly(f"reading the lock of {state.name}"):
        held = Lock(registry, state.name, over(state) + 1, 0.0).look()
    return "" if held is None else f" It may be under way still, by {holder(held)}."
