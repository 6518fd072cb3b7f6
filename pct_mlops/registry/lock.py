"""One mover of production at a time, over a registry that cannot compare and swap.

An alias is written by whoever comes last, and so is a tag. One thing fails atomically in MLflow, over every store:
creating a registered model that exists. So the lock of NAME is a registered model, NAME.promotion-lock-000007, that is
there while production of NAME moves. A lock that is merely created and deleted would never come back from a holder that
died, and one that others may delete can be deleted twice: by two who both waited long enough, the second taking away
what the first has made anew. Therefore locks have generations, and each generation is held once:

- Tags `pct.lock.over.<g>` of NAME say which generations are over; the next one is the highest of them + 1. They are
  separate keys because a late writer of one counter would turn it back, which a late writer of an old key cannot.
- To enter: read which generation is next, create its lock, read again. When that generation is over by then, the lock
  was made anew after its holder had left: delete it and start again. Otherwise it is held.
- To leave: first write that the generation is over, then delete its lock.
- One who finds the same lock (owner and time of creation) for longer than its lease, by the waiter's own clock, writes
  that it is over and tries for the next generation, as do the other waiters: one of them gets it. No clocks of two
  machines are ever compared, and no lock of somebody else is deleted to get in.
- The holder writes only in the first half of its lease, and requests to the server are bounded to the other half. A
  write whose outcome is unknown (no answer) leaves the lock to its lease: nobody enters while it may still arrive.
- The holder counts by the faster of its machine's clocks, for a write must not come too late; those who wait count by
  the one that nobody sets and that stands still while the machine sleeps, for they must not come too early.

What remains: a process, a server, or a database below it, that stops for half a lease between the check and its write;
a server's name with several addresses that do not answer, for each of them is waited for.
No lock without fencing in the store prevents that; the record shows it, `verify` says it, the next move is refused.
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
# A request may take half of it: two tries, each of which waits for the connection and for the answer, in whole seconds.
SHORTEST_LEASE, DEFAULT_LEASE, LONGEST_LEASE = 8.0, 60.0, 600.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds between two looks
MARKS = 8  # of generations that are over, before all but the last are removed
PATIENCE = 5  # leases that one waits in all
NAME_LIMIT = 256
_TAKEN = "taken over"


class Clock:
    """Seconds since it was made, by two clocks: one stands still while the machine sleeps, the other may be set."""

    def __init__(self) -> None:
        self._steady, self._wall = time.monotonic(), time.time()

    @property
    def at_least(self) -> float:
        """Seconds that have passed for certain: what one who waits for another goes by."""
        return time.monotonic() - self._steady

    @property
    def at_most(self) -> float:
        """Seconds that may have passed: what one goes by whom another waits for."""
        return max(self.at_least, time.time() - self._wall)


@dataclass
class Lock:
    """One generation of the lock of `name`; the clock starts before the lock can be seen by others."""

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
        """What NAME says now; PctError when this lock was given to somebody else meanwhile."""
        state = State.of(self.registry.registered(self.name))
        if over(state) >= self.generation:
            raise self._lost("took too long and was taken over")
        return state

    def hold(self) -> None:
        """PctError when too much of the lease has passed to write anything more."""
        if self.clock.at_most > self.lease / 2:
            raise self._lost(f"took longer than {self.lease / 2:.0f} seconds")

    def create(self) -> bool:
        """Make the lock; False when it is there and somebody else's."""
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
        """The lock of this generation as it is in the registry, whoever made it."""
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
        """Delete the lock of this generation; one that is gone is as good."""
        # What stays behind is no lock to anybody: its generation is over.
        with suppress(MlflowException):
            self.registry.client.delete_registered_model(self.key)

    def release(self) -> None:
        """Leave. When the registry does not answer, the lease ends it."""
        with suppress(MlflowException):
            self.end("released")
            self.delete()

    def _lost(self, what: str) -> PromotionError:
        return PromotionError(
            f"The move of {self.name} {what}, so it was stopped: 'pct verify {self.name} --repair' completes it or "
            "takes it back."
        )


def over(state: State) -> int:
    """The highest generation that is over; 0 when there was none."""
    numbers = [key.removeprefix(OVER_TAG) for key in state.tags if key.startswith(OVER_TAG)]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


@contextmanager
def locked(registry: Registry, name: str, check: Callable[[State], None] = lambda state: None) -> Iterator[Lock]:
    """Hold the lock of `name`. `check` sees the state before one waits and while one does, and may refuse.

    When the body fails with a write whose outcome is unknown, the lock stays until its lease is over.
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
                # A registry that is slow to answer is asked less: those who wait would keep the holder waiting.
                _wait(lock, held, waiting, max(pause, 5 * asked.at_least))
                pause = min(pause * 1.5, LONGEST_PAUSE)
        state = State.of(registry.registered(name))


def _entered(lock: Lock, state: State) -> bool:
    """Whether the generation is ours now."""
    if len(lock.key) > NAME_LIMIT:
        raise PromotionError(
            f"The name {lock.name} is too long: {NAME_LIMIT - 22} characters leave room for the lock of its moves."
        )
    # Written again as it is: who may not write to NAME is refused here, before there is a lock of his.
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
    """Remove what earlier generations left: locks of those who died before deleting them, marks but the last."""
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
    """Who holds a lock, in words."""
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
