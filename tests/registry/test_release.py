"""A copy of a candidate is of the version that was judged, whatever people do to the model that they train into."""

from __future__ import annotations

import pytest
from moving_store import MODEL

from pct_mlops.config import PctError
from pct_mlops.registry import history, promote, release

# A slow machine is not to lose its lock: the lock's time stands still.
pytestmark = pytest.mark.usefixtures("clock")

CANDIDATES = "shoes-candidates"


def register(registry):
    """A version of the candidates with files of its own."""
    client = registry.client
    model_id = client.create_logged_model("0", name="m").model_id
    made = client.create_model_version(CANDIDATES, f"models:/{model_id}", model_id=model_id)
    return registry.get(CANDIDATES, int(made.version))


@pytest.fixture
def source(shoes):
    shoes.client.create_registered_model(CANDIDATES)
    return register(shoes)


def test_a_source_that_was_made_anew_under_its_old_name_is_another_one(shoes, source):
    """Who trains may delete the model, and number its versions from 1 again."""
    copy = release(shoes, source, MODEL)
    files = shoes.model_id(copy)
    shoes.client.delete_registered_model(CANDIDATES)
    assert shoes.model_id(copy) == files, "what was released needs its source no more"
    shoes.client.create_registered_model(CANDIDATES)
    anew = register(shoes)
    assert anew.uri == source.uri
    assert shoes.model_id(copy) == files != shoes.model_id(anew)
    second = release(shoes, anew, MODEL)
    assert second.version != copy.version
    assert shoes.model_id(second) == shoes.model_id(anew)


def test_a_copy_that_was_made_anew_is_not_what_was_judged(shoes, source):
    """Its name, number and source are those of the other one; only when it was made tells them apart."""
    judged = release(shoes, source, "sandals")
    for name in (CANDIDATES, "sandals"):
        shoes.client.delete_registered_model(name)
    shoes.client.create_registered_model(CANDIDATES)
    anew = release(shoes, register(shoes), "sandals")
    assert (anew.uri, anew.source) == (judged.uri, judged.source)
    with pytest.raises(PctError, match="models:/sandals/1 is no longer what the gate judged: run 'pct gate' again"):
        promote(shoes, judged, None, verdict="BOOTSTRAP", policy_digest="")
    assert history(shoes, "sandals") == []
    promote(shoes, anew, None, verdict="BOOTSTRAP", policy_digest="")
