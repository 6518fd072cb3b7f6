"""Evidence of models that others logged: recorded with the logged model before any version of it is made."""

from __future__ import annotations

import numpy as np
import pytest

from pct_mlops.errors import RegistryError
from pct_mlops.predictions import Predictions
from pct_mlops.registry import Registry, record_evidence, recorded_evidence
from pct_mlops.workflows.gating.judged_tables import read_judged
from pct_mlops.workflows.tables.log_predictions import log_predictions


def table(seed):
    rng = np.random.default_rng(seed)
    ids = [str(place) for place in range(30)]
    return Predictions.from_arrays(ids, rng.integers(0, 3, 30), rng.normal(0, 1, (30, 3)), split="test")


def test_versions_carry_the_record_of_their_logged_model(empty):
    uri = empty.uri
    registry = Registry(uri, create=True)
    client = registry.client
    made = client.create_logged_model("0", name="m")
    (empty.folder / "MLmodel").write_text("flavors: {}\n")
    client.log_model_artifact(made.model_id, str(empty.folder / "MLmodel"))
    log_predictions(made.model_id, table(1), tracking_uri=uri)
    client.create_registered_model("pets")
    number = client.create_model_version("pets", f"models:/{made.model_id}", model_id=made.model_id).version
    version = registry.get("pets", int(number))
    assert not any(key.startswith("pct.evidence.") for key in version.tags)
    assert read_judged(registry, version, "test").is_recorded

    record_evidence(registry, version, "test")
    log_predictions(made.model_id, table(2), replace=True, tracking_uri=uri)
    version = registry.get("pets", int(number))
    judged = read_judged(registry, version, "test")
    assert recorded_evidence(registry, version, "test") == judged.digests

    # Whoever may edit the experiment can change its tags, but not those of the version.
    client.set_logged_model_tags(made.model_id, {"pct.evidence.test": "{"})
    assert read_judged(registry, version, "test").digests == judged.digests
    client.delete_model_version_tag("pets", number, "pct.evidence.test")
    with pytest.raises(RegistryError, match="was changed by hand: restore its text, or delete the tag"):
        read_judged(registry, registry.get("pets", int(number)), "test")
