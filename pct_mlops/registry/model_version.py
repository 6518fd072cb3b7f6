"""Holds what is read of a version of a registered model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAX_TAG = 60_000  # bytes of a version's tag; MySQL's TEXT column holds 65,535


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes:
        name: Name of the registered model.
        version: Its number.
        aliases: Aliases that point at it, in alphabetical order.
        run_id: The MLflow run that registered it, empty for none.
        source: Where its files lie.
        created: Milliseconds since 1970.
        tags: Tags of the version.

    Example:
        >>> from pct_mlops import Version
        >>> Version("pets", 3, ("candidate",), "", "models:/m-1", 0, {}).uri
        'models:/pets/3'
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    run_id: str
    source: str
    created: int
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """`models:/name/version`, which never moves as an alias does."""
        return f"models:/{self.name}/{self.version}"
