"""Reads and writes the record of every move of production. Entries are only ever added."""

from __future__ import annotations

import getpass
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from pct_mlops.errors import PromotionError, RegistryError
from pct_mlops.registry.registry import PREVIOUS, PRODUCTION, Registry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel

# A running number follows, and a random part for moves made at the same moment. MLflow keeps no history of aliases.
HISTORY_TAG = "pct.history."
INTENT_TAG = "pct.move"  # a move that has begun: key and record of the entry that the history will get next
# Characters. The registry's column for a registered model's tag holds 5,000, and an intent holds a record and its key.
MAX_RECORD = 4940


@dataclass(frozen=True)
class Move:
    """One move of the production alias.

    Attributes:
        from_version: What was in production before, None for nothing.
        to_version: What is in production since, None where nothing was found there and that was recorded.
        verdict: The gate's verdict, or ROLLBACK or ADOPTED.
        policy_digest: Digest of the policy that was applied, empty for none.
        report: Artifact URI of the gate's report, empty for none.
        who: The user.
        when: ISO 8601 in UTC.
        reason: What the user gave as reason.
        override: It moved against the verdict.
        split: The split that was judged, empty for none.
        candidate_evidence: Digest of the candidate's evidence that was judged, empty for none.
        baseline_evidence: The same of the baseline.
    """

    from_version: int | None
    to_version: int | None
    verdict: str
    policy_digest: str
    report: str
    who: str
    when: str
    reason: str
    override: bool = False
    split: str = ""
    candidate_evidence: str = ""
    baseline_evidence: str = ""

    @property
    def text(self) -> str:
        """Record as JSON. It raises PctError when the record is longer than the registry can keep."""
        text = json.dumps(asdict(self), ensure_ascii=False)
        if len(text) > MAX_RECORD:
            over = len(text) - MAX_RECORD
            raise PromotionError(f"The reason is {over:,} characters longer than the history can keep: shorten it.")
        return text


class MoveEvidence(NamedTuple):
    """Digests of the evidence on `split` that a move was decided on. That of the baseline is empty where there is none.

    The digests are `pct_mlops.registry.evidence_record.EvidenceDigests.whole`.
    """

    split: str = ""
    candidate: str = ""
    baseline: str = ""


@dataclass(frozen=True)
class Intent:
    """A move that has begun, under the key that its record will have."""

    key: str
    move: Move

    @property
    def text(self) -> str:
        """Intent as JSON, for the tag."""
        return json.dumps({"key": self.key, "move": asdict(self.move)}, ensure_ascii=False)


@dataclass(frozen=True)
class State:
    """Aliases, record and tags of a registered model, read at one moment."""

    name: str
    production: int | None
    previous: int | None
    keys: tuple[str, ...]
    intent: Intent | None
    tags: Mapping[str, str]

    @classmethod
    def of(cls, model: RegisteredModel) -> State:
        """Take the state from what MLflow returned."""
        name, tags, aliases = model.name, dict(model.tags), {key: int(at) for key, at in model.aliases.items()}
        return cls(
            name=name,
            production=aliases.get(PRODUCTION),
            previous=aliases.get(PREVIOUS),
            keys=tuple(sorted(key for key in tags if key.startswith(HISTORY_TAG))),
            intent=_intent(name, tags[INTENT_TAG]) if INTENT_TAG in tags else None,
            tags=tags,
        )

    @property
    def last(self) -> Move | None:
        """Last recorded move, None where none was recorded."""
        return _move(self.name, self.keys[-1], self.tags[self.keys[-1]]) if self.keys else None

    @property
    def moves(self) -> list[Move]:
        """Recorded moves, oldest first."""
        return [_move(self.name, key, self.tags[key]) for key in self.keys]

    @property
    def is_recorded(self) -> bool:
        """True where production is what the last recorded move made it, and where no move was ever recorded."""
        return self.last is None or self.last.to_version == self.production

    def next_key(self) -> str:
        """Return a key after all others, so that no record is overwritten, also where one was deleted."""
        last = int(self.keys[-1].removeprefix(HISTORY_TAG)[:6]) if self.keys else 0
        return f"{HISTORY_TAG}{last + 1:06d}-{uuid.uuid4().hex[:8]}"


def history(registry: Registry, name: str) -> list[Move]:
    """Read all moves of production, oldest first.

    Raises:
        PctError: There is no such model, or a record was changed by hand.
    """
    return State.of(registry.registered(name)).moves


def user() -> str:
    """Return the user at the tracking server, else the one of this machine, else "unknown"."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def now() -> str:
    """Return the present time as records carry it: ISO 8601 in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def shown(version: int | None) -> str:
    """Name a version in a sentence, "nothing" for None."""
    return "nothing" if version is None else f"version {version}"


def _move(name: str, key: str, text: str) -> Move:
    known = {field.name for field in fields(Move)}
    try:
        data = json.loads(text)
        int(key.removeprefix(HISTORY_TAG)[:6])
        # A later release may add fields. This one passes over them.
        return Move(**{field: value for field, value in data.items() if field in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise RegistryError(
            f"The tag {key} of {name} is no record of a move, because somebody changed it by hand: restore its text."
        ) from error


def _intent(name: str, text: str) -> Intent:
    try:
        data = json.loads(text)
        return Intent(data["key"], _move(name, data["key"], json.dumps(data["move"])))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RegistryError(
            f"The tag {INTENT_TAG} of {name} was changed by hand: restore its text, or delete the tag."
        ) from error
