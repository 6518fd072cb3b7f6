"""The record of every move of production, which is only ever added to, and what a model's tags say of the last one."""

from __future__ import annotations

import getpass
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pct_mlops.errors import PromotionError, RegistryError
from pct_mlops.registry.registry import PREVIOUS, PRODUCTION, Registry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel

# + a running number and, for moves made at the same moment, a random part; MLflow keeps no history of aliases itself.
HISTORY_TAG = "pct.history."
INTENT_TAG = "pct.move"  # a move that has begun: key and record of what will be the history's next entry
MAX_RECORD = 4800  # characters; the registry's column for a registered model's tag holds 5,000


@dataclass(frozen=True)
class Move:
    """One move of the production alias. `when` is ISO 8601 in UTC; `report` is an artifact URI or empty.

    `from_version` is None where nothing was in production, `to_version` is None where that was found and recorded.
    `override`: it moved against the verdict.
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

    @property
    def text(self) -> str:
        """The record as JSON; PctError when it is longer than the registry can keep."""
        text = json.dumps(asdict(self), ensure_ascii=False)
        if len(text) > MAX_RECORD:
            over = len(text) - MAX_RECORD
            raise PromotionError(f"The reason is {over:,} characters longer than the history can keep: shorten it.")
        return text


@dataclass(frozen=True)
class Intent:
    """A move that has begun, under the key that its record will have."""

    key: str
    move: Move

    @property
    def text(self) -> str:
        """As JSON, for the tag."""
        return json.dumps({"key": self.key, "move": asdict(self.move)}, ensure_ascii=False)


@dataclass(frozen=True)
class State:
    """What a registered model says of its production, read at one moment."""

    name: str
    production: int | None
    previous: int | None
    keys: tuple[str, ...]
    intent: Intent | None
    tags: Mapping[str, str]

    @classmethod
    def of(cls, model: RegisteredModel) -> State:
        """The state in what MLflow returned."""
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
        """The last recorded move."""
        return _move(self.name, self.keys[-1], self.tags[self.keys[-1]]) if self.keys else None

    @property
    def moves(self) -> list[Move]:
        """All recorded moves, oldest first."""
        return [_move(self.name, key, self.tags[key]) for key in self.keys]

    @property
    def is_recorded(self) -> bool:
        """Whether production is where the last recorded move put it; true as well where none was ever recorded."""
        return self.last is None or self.last.to_version == self.production

    def next_key(self) -> str:
        """A key after all others, so that no record is written over, also where one was deleted."""
        last = int(self.keys[-1].removeprefix(HISTORY_TAG)[:6]) if self.keys else 0
        return f"{HISTORY_TAG}{last + 1:06d}-{uuid.uuid4().hex[:8]}"


def history(registry: Registry, name: str) -> list[Move]:
    """All moves of production, oldest first."""
    return State.of(registry.registered(name)).moves


def user() -> str:
    """Who is logged in at the tracking server, else at this machine."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def now() -> str:
    """The present time as records carry it: ISO 8601 in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def shown(version: int | None) -> str:
    """A version, or that there is none, in a sentence."""
    return "nothing" if version is None else f"version {version}"


def _move(name: str, key: str, text: str) -> Move:
    known = {field.name for field in fields(Move)}
    try:
        data = json.loads(text)
        int(key.removeprefix(HISTORY_TAG)[:6])
        # A later release may add to the record; what it adds is not this one's to understand.
        return Move(**{field: value for field, value in data.items() if field in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise RegistryError(
            f"The tag {key} of {name} is no record of a move, it was changed by hand: put it back."
        ) from error


def _intent(name: str, text: str) -> Intent:
    try:
        data = json.loads(text)
        return Intent(data["key"], _move(name, data["key"], json.dumps(data["move"])))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RegistryError(
            f"The tag {INTENT_TAG} of {name} was changed by hand: put it back, or delete it."
        ) from error
