"""Reads what is recorded of a version: its classes, architecture, size and recipe, as far as it carries them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from pct_mlops.config.base import read_yaml
from pct_mlops.errors import PctError
from pct_mlops.predictions import Predictions, sql
from pct_mlops.registry import Registry, Version
from pct_mlops.workflows.advice.change_facts import ModelFacts

if TYPE_CHECKING:
    from pct_mlops.predictions import TableInfo

T = TypeVar("T")
SPLITS = ("val", "test")
_MAX_HEADER = 100_000_000  # bytes of the header of a file of weights
_RELABELLED = """
SELECT count(*) FILTER (WHERE list_extract($old, o.label + 1) <> list_extract($new, n.label + 1))
FROM old_table AS o JOIN new_table AS n USING (sample_id)
"""


class FactsReader:
    """Reads facts of versions of one registry, each once. A file that is missing or damaged is a fact less."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, ModelFacts] = {}

    def facts(self, version: Version) -> ModelFacts:
        """Return what is recorded of a version."""
        if version.uri not in self._known:
            self._known[version.uri] = self._read(version)
        return self._known[version.uri]

    def recipe(self, version: Version) -> dict[str, Any]:
        """Return the recipe of a version as plain data. It is empty where the version carries none."""
        return self._file(version, "recipe.yaml", read_yaml) or {}

    def record(self, version: Version) -> dict[str, Any]:
        """Return the architecture record of a version as plain data. It is empty where the version carries none."""
        return self._file(version, "architecture.json", _json) or {}

    def table(self, version: Version, split: str) -> Predictions | None:
        """Return the stored predictions of a version, None where it carries none that can be read."""
        return self._file(version, f"predictions/{split}.parquet", Predictions.load)

    def relabelled(self, old: Version, new: Version) -> int:
        """Return the number of examples that both have in their tables, with another label in each."""
        pairs = [(self.table(old, split), self.table(new, split)) for split in SPLITS]
        return sum(relabelled_between(a, b) for a, b in pairs if a is not None and b is not None)

    def _read(self, version: Version) -> ModelFacts:
        record = self.record(version)
        val, test = (self.table(version, split) for split in SPLITS)
        infos = [table.info for table in (test, val) if table is not None]
        data = self.recipe(version).get("data")
        return ModelFacts(
            classes=_classes(record, infos[0] if infos else None),
            architecture=architecture_text(record),
            num_weights=self._num_weights(version),
            data=data if isinstance(data, dict) else {},
            num_val=None if val is None else val.info.num_examples,
            operation=version.tags.get("pct.update", ""),
        )

    def _num_weights(self, version: Version) -> int | None:
        """Count the weights where their file lies on this machine. It is not copied for that."""
        try:
            here = self._registry.files(version).here
        except PctError:
            return None
        return None if here is None else num_weights(here / "model.safetensors")

    def _file(self, version: Version, path: str, read: Callable[[Path], T]) -> T | None:
        try:
            found = self._registry.download(version, path)
            return None if found is None else read(found)
        except (PctError, OSError, ValueError):
            return None


def architecture_text(record: Mapping[str, Any]) -> str:
    """Return name and arguments of an architecture on one line, "" for an empty record."""
    if not isinstance(record.get("name"), str):
        return ""
    kwargs = record.get("kwargs") or {}
    words = [f"{key}={kwargs[key]}" for key in sorted(kwargs)] if isinstance(kwargs, dict) else []
    if record.get("embedding_dim"):
        words.append(f"embedding_dim={record['embedding_dim']}")
    return f"{record['name']} {' '.join(words)}".strip()


def num_weights(path: Path) -> int | None:
    """Count the numbers in a file of weights from its header alone, None where it cannot be read."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > _MAX_HEADER:
                return None
            header = json.loads(file.read(size))
        return sum(math.prod(part["shape"]) for name, part in header.items() if name != "__metadata__")
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
        return None


def relabelled_between(old: Predictions, new: Predictions) -> int:
    """Count the examples of both tables whose labels differ by class name. Return 0 where they cannot be joined."""
    if old.info.digest == new.info.digest:
        return 0
    connection = sql.connect()
    try:
        old.attach(connection, "old_table")
        new.attach(connection, "new_table")
        names = {"old": list(old.info.class_names), "new": list(new.info.class_names)}
        (count,) = sql.one(connection, _RELABELLED, names)
        return int(count)
    except (PctError, duckdb.Error):
        return 0
    finally:
        connection.close()


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def _classes(record: Mapping[str, Any], info: TableInfo | None) -> frozenset[str] | None:
    names = record.get("class_names")
    if isinstance(names, list) and names:
        return frozenset(map(str, names))
    return frozenset(info.model_classes) if info is not None else None
