"""Lets one process at a time move production, over a registry that cannot compare and swap.

An alias is written by whoever comes last, and so is a tag. One thing fails atomically in MLflow, over every store:
creating a registered model that exists. So the lock of NAME is a registered model, NAME.promotion-lock-000007, that is
there while production of NAME moves. A lock that is merely created and deleted would never come back from a holder that
died, and one that others may delete can be deleted twice: by two who both waited long enough, the second taking away
what the first has just made. Therefore locks have generations, and each generation is held once:

- Tags `pct.lock.over.<g>` of NAME say which generations are over. The next one is the highest of them + 1. They are
  separate keys because a late writer of one counter would turn it back, which a late writer of an old key cannot.
- To enter: read which generation is next, create its lock, read again. When that generation is over by then, the lock
  was made again after its holder had left: delete it and start again. Otherwise it is held.
- To leave: first write that the generation is over, then delete its lock.
- A process that waits measures by its own clock how long it finds the same lock (owner and time of creation). When
  that is longer than the lease, it writes that the generation is over and tries for the next one. Others may do the
  same, and one of them gets it. Clocks of two machines are never compared. Nobody deletes another's lock to get in.
- The holder writes only in the first half of its lease, and requests to the server are bounded to the other half. A
  write whose outcome is unknown (no reply) leaves the lock to its lease: nobody enters while it may still arrive.
- The holder counts by the faster of its machine's clocks, for a write must not come too late. Those who wait must not
  come too early: they count by the clock that nobody sets and that stands still while the machine sleeps.

Two cases remain. A process, a server or its database may stop for half a lease between the check and its write. A
server's name may have several addresses that do not respond, and each of them is waited for. No lock without fencing in
the store prevents that. The record shows it, `verify` says it, the next move is refused.
"""

from __future__ import annotations

import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pct_mlops.errors import ConfigError, PctError, PromotionError, RegistryForbiddenError
from pct_mlops.registry.connection import (
    MlflowException,
    bounded_requests,
    forbidden,
    missing,
    said_plainly,
    store_refused,
)
from pct_mlops.registry.moves import State, now, user
from pct_mlops.registry.registry import LOCK_TAG, Registry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel

OVER_TAG = "pct.lock.over."
LEASE = "PCT_PROMOTION_LEASE"  # seconds; each lock carries its own, so that machines need not agree
# A request may take half of it: two tries, each of which waits for the connection and for the reply, in whole seconds.
SHORTEST_LEASE, DEFAULT_LEASE, LONGEST_LEASE = 8.0, 60.0, 600.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds between two looks
MARKS = 8  # tags of generations that are over, before all but the last are removed
PATIENCE = 5  # leases to wait in all
NAME_LIMIT = 256
_TAKEN = "taken over"


class Clock:
    """Seconds since it was made. One clock stands still while the machine sleeps, the other one may be set."""

    def __init__(self) -> None:
        self._steady, self._wall = time.monotonic(), time.time()

    @property
    def at_least(self) -> float:
        """Seconds that have passed for certain. Those who wait go by this."""
        return time.monotonic() - self._steady

    @property
    def at_most(self) -> float:
        """Seconds that may have passed. The holder goes by this."""
        return max(self.at_least, time.time() - self._wall)


@dataclass
class Lock:
    """One generation of the lock of `name`. The clock starts before others can see the lock."""

    registry: Registry
    name: str
    generation: int
    lease: float
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    clock: Clock = field(default_factory=Clock)
    entered: State | None = None  # what NAME said when it became ours

    @property
    def key(self) -> str:
        """The name of the registered model that is this lock."""
        return f"{self.name}.promotion-lock-{self.generation:06d}"

    def read(self) -> State:
        """Read the state of NAME. Raise PctError when somebody else has taken this lock over."""
        state = State.of(self.registry.registered(self.name))
        if over(state) >= self.generation:
            raise self._lost("took too long and was taken over")
        return state

    def hold(self) -> None:
        """Raise PctError when too much of the lease has passed to write anything more."""
        if self.clock.at_most > self.lease / 2:
            raise self._lost(f"took longer than {self.lease / 2:.0f} seconds")

    def create(self) -> bool:
        """Make the lock, and tell whether it is ours: somebody else may have made it."""
        tags = {
            LOCK_TAG: self.name,
            "owner": self.owner,
            "host": socket.gethostname(),
            "pid": str(os.getpid()),
            "who": user(),
            "since": now(),
            "lease": f"{self.lease:g}",
        }
        try:
            self.registry.client.create_registered_model(
                self.key, tags, f"There while production of {self.name} moves, and deleted afterwards."
            )
        except MlflowException as error:
            # Deleted while the store was about to say that it exists: RESOURCE_DOES_NOT_EXIST.
            if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"):
                raise
            # A repeated request finds what the first one made.
            there = self.look()
            return there is not None and there.tags.get("owner") == self.owner
        return True

    def look(self) -> RegisteredModel | None:
        """Return the lock of this generation from the registry, whoever made it. None where there is none."""
        try:
            return self.registry.client.get_registered_model(self.key)
        except MlflowException as error:
            if not missing(error):
                raise
            return None

    def end(self, how: str) -> None:
        """Write that this generation is over. Somebody else may be writing just that."""
        try:
            self.registry.client.set_registered_model_tag(self.name, f"{OVER_TAG}{self.generation:06d}", how)
        except MlflowException as error:
            if error.error_code != "BAD_REQUEST":
                raise

    def delete(self) -> None:
        """Delete the lock of this generation, if it is still there."""
        # A lock that stays behind holds nobody up: its generation is over.
        with suppress(MlflowException):
            self.registry.client.delete_registered_model(self.key)

    def release(self) -> None:
        """Leave. When the registry does not respond, the lock ends with its lease."""
        with suppress(MlflowException):
            self.end("released")
            self.delete()

    def _lost(self, what: str) -> PromotionError:
        return PromotionError(
            f"The move of {self.name} {what}, so it was stopped: 'pct verify {self.name} --repair' completes it or "
            "takes it back."
        )


def over(state: State) -> int:
    """Return the highest generation that is over, 0 when there was none."""
    numbers = [key.removeprefix(OVER_TAG) for key in state.tags if key.startswith(OVER_TAG)]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


@contextmanager
def locked(registry: Registry, name: str, check: Callable[[State], None] = lambda state: None) -> Iterator[Lock]:
    """Hold the lock of `name`, for the time of a `with` block.

    `check` is called with the state before and during the wait, and may raise. When the block fails with a write whose
    outcome is unknown, the lock stays until its lease is over.
    """
    lease = _lease()
    with bounded_requests(lease / 2):
        lock = _allowed(registry, name, lease, check)
        try:
            yield lock
        except PctError as error:
            if error.__cause__ is None or store_refused(error):
                lock.release()
            raise
        lock.release()


def _allowed(registry: Registry, name: str, lease: float, check: Callable[[State], None]) -> Lock:
    try:
        with said_plainly(f"locking production of {name}"):
            return _acquire(registry, name, lease, check)
    except PctError as error:
        if forbidden(error):
            raise RegistryForbiddenError(
                f"The tracking server does not let {user()} move production of {name}: that takes the permission EDIT "
                "on this model, which often only CI has."
            ) from error
        raise


def _acquire(registry: Registry, name: str, lease: float, check: Callable[[State], None]) -> Lock:
    waiting, seen, pause = Clock(), dict[tuple[int, str], Clock](), SHORTEST_PAUSE
    state = State.of(registry.registered(name))
    while True:
        asked = Clock()
        check(state)
        lock = Lock(registry, name, over(state) + 1, lease)
        held = lock.look()
        if held is None and _entered(lock, state):
            return lock
        held = held or lock.look()
        if held is not None:
            mark = (lock.generation, f"{held.tags.get('owner')} {held.creation_timestamp}")
            if seen.setdefault(mark, Clock()).at_least > _lease_of(held, lease):
                lock.end(f"{_TAKEN} by {user()} on {socket.gethostname()}")
            else:
                # A slow registry is asked less often: those who wait would keep the holder waiting.
                _wait(lock, held, waiting, max(pause, 5 * asked.at_least))
                pause = min(pause * 1.5, LONGEST_PAUSE)
        state = State.of(registry.registered(name))


def _entered(lock: Lock, state: State) -> bool:
    """Try to make the lock of this generation, and tell whether it is ours now."""
    if len(lock.key) > NAME_LIMIT:
        raise PromotionError(
            f"The name {lock.name} is too long: {NAME_LIMIT - 22} characters leave room for the lock of its moves."
        )
    # Written again unchanged: a user who may not write to NAME is refused here, before a lock of theirs exists.
    last = over(state)
    key = f"{OVER_TAG}{last:06d}"
    Lock(lock.registry, lock.name, last, lock.lease).end(state.tags.get(key, "none yet"))
    if not lock.create():
        return False
    after = State.of(lock.registry.registered(lock.name))
    if over(after) >= lock.generation:
        lock.delete()
        return False
    if after.tags.get(key, "").startswith(_TAKEN):
        Lock(lock.registry, lock.name, last, lock.lease).delete()
    if sum(tag.startswith(OVER_TAG) for tag in after.tags) > MARKS:
        tidy(lock, after)
    lock.entered = after
    return True


def tidy(lock: Lock, state: State) -> None:
    """Remove what earlier generations left: locks whose holders died, and all marks but the last."""
    with suppress(MlflowException):
        for key in (key for key in state.tags if key.startswith(OVER_TAG)):
            number = key.removeprefix(OVER_TAG)
            if not number.isdecimal() or int(number) >= lock.generation:
                continue
            lock.hold()
            Lock(lock.registry, lock.name, int(number), lock.lease).delete()
            if int(number) < lock.generation - 1:
                lock.registry.client.delete_registered_model_tag(lock.name, key)


def _wait(lock: Lock, held: RegisteredModel, waiting: Clock, pause: float) -> None:
    if waiting.at_least > PATIENCE * max(lock.lease, _lease_of(held, lock.lease)):
        raise PromotionError(f"Others have kept moving production of {lock.name} ({holder(held)}): try again later.")
    time.sleep(pause * random.uniform(0.5, 1.5))


def holder(held: RegisteredModel) -> str:
    """Name the holder of a lock in words."""
    who, host, pid, since = (held.tags.get(key, "?") for key in ("who", "host", "pid", "since"))
    return f"{who} on {host}, process {pid}, since {since}"


def _lease_of(held: RegisteredModel, otherwise: float) -> float:
    try:
        lease = float(held.tags["lease"])
    except (KeyError, ValueError):
        return otherwise
    return min(lease, LONGEST_LEASE) if lease >= 0 else otherwise


def _lease() -> float:
    text = os.environ.get(LEASE, "")
    try:
        lease = float(text) if text else DEFAULT_LEASE
    except ValueError:
        lease = -1.0
    if not SHORTEST_LEASE <= lease <= LONGEST_LEASE:
        raise ConfigError(
            f"{LEASE} should be a number of seconds from {SHORTEST_LEASE:.0f} to {LONGEST_LEASE:.0f}, "
            f"and it is '{text}'."
        )
    return lease
