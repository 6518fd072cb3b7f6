"""Lists the differences between two nested mappings, for example the recipes of two versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNSET = "–"


@dataclass(frozen=True)
class Difference:
    """A key whose value differs, with both values as text. The key is dotted. A missing value is UNSET."""

    key: str
    old: str
    new: str


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return every key whose value differs, in the order of `new`, then of `old`.

    Mappings are compared key by key. A list is one value.
    """
    before, after = _flat(old), _flat(new)
    keys = dict.fromkeys([*after, *before])
    return [
        Difference(key, _text(before.get(key, UNSET)), _text(after.get(key, UNSET)))
        for key in keys
        if before.get(key, UNSET) != after.get(key, UNSET)
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)
