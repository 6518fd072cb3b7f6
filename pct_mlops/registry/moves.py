"""Moving aliases, with a record of every move of production that is only ever added to."""

from __future__ import annotations

import getpass
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from pct_mlops.config import PctError
from pct_mlops.registry.connection import Metric, said_plainly
from pct_mlops.registry.registry import PREVIOUS, PRODUCTION, Registry, Version

# + a running number and, for moves made at the same moment, a random part; MLflow keeps no history of aliases itself.
HISTORY_TAG = "pct.history."


@dataclass(frozen=True)
class Move:
    """One move of the production alias. `when` is ISO 8601 in UTC; `report` is an artifact URI or empty."""

    from_version: int | None
    to_version: int
    verdict: str
    policy_digest: str
    report: str
    who: str
    when: str
    reason: str


def history(registry: Registry, name: str) -> list[Move]:
    """All moves of production, oldest first."""
    with said_plainly(f"reading the history of {name}"):
        registry.aliases(name)  # says so when there is no such model
        tags = registry.client.get_registered_model(name).tags
    return [Move(**json.loads(tags[key])) for key in sorted(tags) if key.startswith(HISTORY_TAG)]


def promote(
    registry: Registry,
    version: Version,
    baseline: Version | None,
    *,
    verdict: str,
    policy_digest: str,
    report: str = "",
    reason: str = "",
) -> Move:
    """Move production from `baseline` to `version`, keep the old one as previous, and append to the history.

    Refuses when production is no longer the baseline that was judged.
    """
    now = registry.find(version.name, PRODUCTION)
    if (now and now.version) != (baseline and baseline.version):
        shown = f"version {now.version}" if now else "gone"
        raise PctError(
            f"Production of {version.name} is {shown} since the gate judged: run 'pct gate' again to judge against it."
        )
    move = Move(
        from_version=baseline.version if baseline else None,
        to_version=version.version,
        verdict=verdict,
        policy_digest=policy_digest,
        report=report,
        who=_user(),
        when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        reason=reason,
    )
    with said_plainly(f"moving production of {version.name}"):
        client = registry.client
        if baseline is not None:
            client.set_registered_model_alias(version.name, PREVIOUS, str(baseline.version))
        client.set_registered_model_alias(version.name, PRODUCTION, str(version.version))
        key = _next_key(client.get_registered_model(version.name).tags)
        client.set_registered_model_tag(version.name, key, json.dumps(asdict(move)))
    moved = registry.find(version.name, PRODUCTION)
    if moved is None or moved.version != version.version:
        raise PctError(f"Production of {version.name} did not stay on version {version.version}: judge again.")
    return move


def rollback(registry: Registry, name: str, reason: str) -> Move:
    """Production goes back to what it was before; the two aliases change places."""
    now, before = registry.find(name, PRODUCTION), registry.find(name, PREVIOUS)
    if now is None or before is None or now.version == before.version:
        registry.aliases(name)
        raise PctError(f"{name} has no previous production to go back to: see 'pct history {name}'.")
    return promote(registry, before, now, verdict="ROLLBACK", policy_digest="", reason=reason)


def verify(registry: Registry, name: str) -> str | None:
    """None when production is where the last recorded move put it (or never moved), else what is wrong, in a sentence.

    An alias can be moved by anyone who may edit the model; only what goes through `promote` leaves a record.
    """
    moves, now = history(registry, name), registry.find(name, PRODUCTION)
    at = f"version {now.version}" if now else "nothing"
    if not moves:
        return None if now is None else f"Production of {name} is {at}, and no move was ever recorded: judge it anew."
    last = moves[-1]
    if now is None or now.version != last.to_version:
        return (
            f"Production of {name} is {at}, but the last recorded move ({last.when}, {last.verdict}) put version "
            f"{last.to_version} there: it was moved past the gate."
        )
    return None


def record_decision(
    registry: Registry,
    version: Version,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    report: Mapping[str, Any],
) -> str:
    """Keep a gate's decision with the version: tags, metrics on its run, the report as artifact; returns its URI."""
    baseline = tags.get("gate.baseline_version") or "none"
    path = f"gate/version-{version.version}-against-{baseline}.json"
    with said_plainly(f"recording the decision on {version.uri}"):
        registry.client.log_dict(version.run_id, dict(report), path)
        now = int(time.time() * 1000)
        points = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
        registry.client.log_batch(version.run_id, metrics=points)
        for key, text in tags.items():
            registry.client.set_model_version_tag(version.name, str(version.version), key, text)
    return f"runs:/{version.run_id}/{path}"


def _next_key(tags: Mapping[str, str]) -> str:
    """A key after all others: no record is written over, also where one was deleted or another process is as fast."""
    numbers = [int(key.removeprefix(HISTORY_TAG)[:6]) for key in tags if key.startswith(HISTORY_TAG)]
    return f"{HISTORY_TAG}{max(numbers, default=0) + 1:06d}-{uuid.uuid4().hex[:8]}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
