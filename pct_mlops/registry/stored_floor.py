"""Keeps with a registered model what retraining alone flips: the floor under every NFR."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pct_mlops.config.numbers import percent
from pct_mlops.errors import PctError
from pct_mlops.registry.connection import said_plainly
from pct_mlops.registry.moves import MAX_RECORD
from pct_mlops.registry.nested import run_file
from pct_mlops.registry.registry import Registry

FLOOR_TAG = "pct.floor"
FLOOR_FOLDER, MEMBERS_FILE = "floor", "members.parquet"  # where the run of a floor keeps its files


@dataclass(frozen=True)
class Floor:
    """NFR between equals: retrainings of one recipe with other seeds, each once the old and once the new model.

    Attributes:
        digest: Digest of the evaluation set.
        num_seeds: Number of retrainings.
        mean: Mean of `values`.
        std: Their standard deviation, None for too few.
        max: The highest of them.
        values: NFR of every ordered pair. Empty when read from the registry, where a tag cannot hold them all.
        recipe_digest: Digest of the recipe that was retrained.
        same_recipe: The version was trained by this recipe.
        version: Number of the version that is the old model.
        when: ISO 8601 in UTC.
        run_id: The run that carries the report.
    """

    digest: str
    num_seeds: int
    mean: float
    std: float | None
    max: float
    values: tuple[float, ...]
    recipe_digest: str
    same_recipe: bool
    version: int
    when: str
    run_id: str

    @property
    def sentence(self) -> str:
        """Sentence that stands beside a candidate's NFR."""
        whose = "" if self.same_recipe else f" of another recipe than version {self.version}'s"
        return f"retraining alone flips {percent(self.mean)} ({self.num_seeds} seeds{whose})"


def store_floor(registry: Registry, name: str, floor: Floor) -> None:
    """Keep the floor with the registered model. It replaces an earlier one."""
    text = json.dumps(asdict(floor))
    if len(text) > MAX_RECORD:
        text = json.dumps(asdict(replace(floor, values=())))
    with said_plainly(f"storing the floor of {name}"):
        registry.client.set_registered_model_tag(name, FLOOR_TAG, text)


def read_floor(registry: Registry, name: str, digest: str) -> Floor | None:
    """Read the floor on the evaluation set with this digest, None where it was not measured on these examples."""
    try:
        with said_plainly(f"reading the model {name}"):
            text = registry.client.get_registered_model(name).tags.get(FLOOR_TAG)
        data = json.loads(text) if text else {}
        if data.get("digest") != digest:
            return None
        return Floor(**{**data, "values": tuple(data["values"])})
    except (PctError, ValueError, KeyError, TypeError, AttributeError):
        # It is only a remark beside the verdict, so a floor that cannot be read must not stop a decision.
        return None


def floor_members(registry: Registry, floor: Floor) -> Path | None:
    """Return the file that says how many retrainings are right on each example, None where the floor's run has none.

    Floors that were measured before this file was kept have none.
    """
    try:
        return run_file(registry, floor.run_id, f"{FLOOR_FOLDER}/{MEMBERS_FILE}")
    except PctError:
        return None
