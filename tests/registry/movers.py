"""Processes that promote against each other and are killed while they do, and what must hold of what they leave."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
import time
import uuid
from collections import Counter
from contextlib import suppress

from moving_store import MODEL, locks, state

from pct_mlops.config import PctError
from pct_mlops.registry import Registry, history, promote, repair

VERSIONS = (1, 2, 3, 4)
JUDGING = 1.0  # seconds, at most


def mover(uri, log, target, seed, lease):
    """Judge against production and promote, again and again, until `log` has `target` lines; one line a success."""
    os.environ["PCT_PROMOTION_LEASE"] = str(lease)
    choice, registry = random.Random(seed), Registry(uri)
    while len(log.read_text().splitlines()) < target:
        time.sleep(choice.uniform(0, JUDGING))  # judging takes its time
        with suppress(PctError):  # somebody was faster, or the registry is busy: judge again
            old = registry.find(MODEL, "production")
            candidate = choice.choice([version for version in VERSIONS if old is None or version != old.version])
            tag = uuid.uuid4().hex
            new = registry.get(MODEL, candidate)
            made = promote(registry, new, old, verdict="PASS", policy_digest="", reason=tag)
            with log.open("a") as file:
                file.write(json.dumps([tag, made.from_version, made.to_version]) + "\n")


def run(uris, watching, folder, *, target, kills, lease, limit, seed=0):
    """Movers, one for each of `uris`, `kills` of which are killed, every second time the one that holds the lock.

    `watching` is the address for this process: no connection that it has opened may be used by those it forks.

    Returns how many died with the lock, how many died, and the lines of success; fails when it takes over `limit` s.
    """
    log, choice, context = folder / "successes", random.Random(seed), multiprocessing.get_context("fork")
    log.touch()
    seeds, registry, began = itertools.count(seed), Registry(watching), time.monotonic()

    def start(uri):
        process = context.Process(target=mover, args=(uri, log, target, next(seeds), lease))
        process.start()
        return process

    movers = [start(uri) for uri in uris]
    held = done = died = 0
    try:
        while any(process.is_alive() for process in movers):
            assert time.monotonic() - began < limit, f"{len(log.read_text().splitlines())} moves in {limit} s"
            time.sleep(choice.uniform(0.02, 0.1))
            if done * target > kills * len(log.read_text().splitlines()) or done >= kills:
                continue
            place = choice.randrange(len(movers)) if done % 2 else _holder(registry, movers)
            if place is None:
                continue
            os.kill(movers[place].pid, signal.SIGKILL)
            movers[place].join()
            died += 1
            with_lock = _holder(registry, movers) == place
            held += with_lock
            # One that was aimed at and had let go of the lock meanwhile is aimed at again.
            done += with_lock or done % 2
            movers[place] = start(uris[place])
    finally:
        for process in movers:
            process.kill()
            process.join()
    assert done == kills
    return held, died, [json.loads(line) for line in log.read_text().splitlines()]


def _holder(registry, movers):
    """Which of them holds the lock."""
    for name in locks(registry):
        with suppress(Exception):
            pid = int(registry.client.get_registered_model(name).tags["pid"])
            return next((place for place, process in enumerate(movers) if process.pid == pid), None)
    return None


def check(uri, successes, kills):
    """Every record goes on from the one before it, production is where the last one put it, and none is lost."""
    registry = Registry(uri)
    assert repair(registry, MODEL).is_right
    moves = history(registry, MODEL)
    broken = [
        (before.to_version, after.from_version)
        for before, after in itertools.pairwise(moves)
        if before.to_version != after.from_version
    ]
    assert not broken, f"{len(broken)} of {len(moves)} moves did not replace what they were judged on: {broken[:5]}"
    assert moves[0].from_version is None
    now = state(registry)
    assert now.production == moves[-1].to_version
    assert now.previous == moves[-1].from_version
    recorded = Counter(move.reason for move in moves)
    assert set(recorded.values()) == {1}, "a move was recorded twice"
    by_reason = {move.reason: [move.reason, move.from_version, move.to_version] for move in moves}
    assert all(by_reason.get(success[0]) == success for success in successes), "a success was not recorded"
    # Those whose worker died after the alias was set and before it could say so; in time for that, one a kill.
    assert len(moves) - len(successes) <= kills
    assert locks(registry) == []
    return moves
