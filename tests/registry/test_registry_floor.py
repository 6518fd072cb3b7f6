"""The floor that is kept with a model: read back for the examples that it is about, however many seeds it took."""

from __future__ import annotations

import json
from dataclasses import replace

from moving_store import MODEL

from pct_mlops.registry import Floor, read_floor, store_floor
from pct_mlops.registry.stored_floor import FLOOR_TAG

DIGESTS = {"digest": "d" * 64, "recipe_digest": "r" * 64, "run_id": "f" * 32}
FACTS = {"num_seeds": 2, "same_recipe": True, "version": 1, "when": "2030-01-01T00:00:00+00:00"}
FLOOR = Floor(mean=0.01, std=0.001, max=0.02, values=(), **DIGESTS, **FACTS)


def test_a_floor_fits_into_its_tag(shoes):
    """A database other than SQLite holds a registered model's tag to 5,000 characters."""
    for number in (2, 15, 40):
        values = tuple(round(0.01 + index / 1e9, 9) for index in range(number * (number - 1)))
        floor = replace(FLOOR, num_seeds=number, values=values)
        store_floor(shoes, MODEL, floor)
        assert len(shoes.registered(MODEL).tags[FLOOR_TAG]) <= 5000
        found = read_floor(shoes, MODEL, FLOOR.digest)
        assert found == (floor if number < 20 else replace(floor, values=()))
    assert read_floor(shoes, MODEL, "e" * 64) is None


def test_a_floor_that_cannot_be_read_is_none(shoes):
    for text in ("", "{", "[]", "7", json.dumps({"digest": FLOOR.digest})):
        shoes.client.set_registered_model_tag(MODEL, FLOOR_TAG, text)
        assert read_floor(shoes, MODEL, FLOOR.digest) is None
    assert read_floor(shoes, "nobody", FLOOR.digest) is None
