"""What retraining alone flips, kept with the registered model: the floor under every NFR."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from pct_mlops.config.numbers import percent
from pct_mlops.errors import PctError
from pct_mlops.registry.connection import said_plainly
from pct_mlops.registry.moves import MAX_RECORD
from pct_mlops.registry.registry import Registry

FLOOR_TAG = "pct.floor"


@dataclass(frozen=True)
class Floor:
    """NFR between equals: retrainings of one recipe with other seeds, each once the old and once the new model.

    `digest` is that of the evaluation set, `values` holds the NFR of every ordered pair, `version` is the old
    model's, and `same_recipe` says whether it was trained by this recipe. `when` is ISO 8601 in UTC, `run_id` the run
    that carries the report. From the registry `values` is empty where there are more than a tag can hold.
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
        """What is said beside a candidate's NFR."""
        whose = "" if self.same_recipe else f" of another recipe than version {self.version}'s"
        return f"retraining alone flips {percent(self.mean)} ({self.num_seeds} seeds{whose})"


def store_floor(registry: Registry, name: str, floor: Floor) -> None:
    """Keep the floor with the registered model, in the place of an earlier one."""
    text = json.dumps(asdict(floor))
    if len(text) > MAX_RECORD:
        text = json.dumps(asdict(replace(floor, values=())))
    with said_plainly(f"storing the floor of {name}"):
        registry.client.set_registered_model_tag(name, FLOOR_TAG, text)


def read_floor(registry: Registry, name: str, digest: str) -> Floor | None:
    """The floor on the evaluation set with this digest; None when it was not measured, or on other examples."""
    try:
        with said_plainly(f"reading the model {name}"):
            text = registry.client.get_registered_model(name).tags.get(FLOOR_TAG)
        data = json.loads(text) if text else {}
        if data.get("digest") != digest:
            return None
        return Floor(**{**data, "values": tuple(data["values"])})
    except (PctError, ValueError, KeyError, TypeError, AttributeError):
        # A remark beside the verdict: one that cannot be read must not stop a decision.
        return None
