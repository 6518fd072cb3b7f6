"""A version of a registered model, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes:
        name: of the registered model.
        version: its number.
        aliases: that point at it, in alphabetical order.
        run_id: of the MLflow run that registered it.
        source: where its files lie.
        created: milliseconds since 1970.
        tags: of the version.

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
        """`models:/name/version`: never moves, as an alias does."""
        return f"models:/{self.name}/{self.version}"
