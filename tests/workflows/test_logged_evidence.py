"""Evidence of models that others logged: recorded with the logged model before any version of it is made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE

from pct_mlops.errors import DataError, RegistryError, RegistryForbiddenError, TableError
from pct_mlops.predictions import Predictions
from pct_mlops.registry import Registry, evidence_writing, record_evidence, recorded_evidence, verify_evidence
from pct_mlops.registry.evidence_writing import evidence_tags
from pct_mlops.workflows.gating.judged_tables import read_judged
from pct_mlops.workflows.gating.promotion import fix_evidence
from pct_mlops.workflows.tables.log_predictions import log_predictions


def table(seed, split="test"):
    rng = np.random.default_rng(seed)
    ids = [str(place) for place in range(30)]
    return Predictions.from_arrays(ids, rng.integers(0, 3, 30), rng.normal(0, 1, (30, 3)), split=split)


@pytest.fixture
def logged(empty):
    """A registry with a logged model that carries a table, and the candidate that was made of it."""
    registry = Registry(empty.uri, create=True)
    client = registry.client
    model_id = client.create_logged_model("0", name="m").model_id
    (empty.folder / "MLmodel").write_text("flavors: {}\n")
    client.log_model_artifact(model_id, str(empty.folder / "MLmodel"))
    log_predictions(model_id, table(1), tracking_uri=empty.uri)
    client.create_registered_model("pets")
    client.create_model_version("pets", f"models:/{model_id}", model_id=model_id)
    client.set_registered_model_alias("pets", "candidate", "1")
    return registry


def judged(registry):
    return read_judged(registry, registry.get("pets", 1), "test")


def forge(registry, *, tag):
    """Replace the table of the logged model without pct, and its record, too."""
    version = registry.get("pets", 1)
    table(3).save(registry.predictions(version))
    if tag:
        registry.client.set_logged_model_tags(
            registry.model_id(version), evidence_tags(registry.files(version), ["test"])
        )


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


def test_a_record_of_the_logged_model_is_written_on_the_version_that_is_judged(logged):
    """From then on, who may edit the experiment can change table and record, and is found."""
    first = judged(logged)
    assert (first.is_recorded, first.is_on_version) == (True, False)
    fix_evidence(logged, [first])
    assert judged(logged).is_on_version
    forge(logged, tag=True)
    with pytest.raises(TableError, match=r"The table of predictions of models:/pets/1 was changed"):
        judged(logged)
    assert "models:/pets/1 was changed" in verify_evidence(logged, "pets").faults[0]


def test_verify_reads_what_the_logged_model_alone_records(logged):
    assert verify_evidence(logged, "pets").compared == 1
    forge(logged, tag=False)
    assert "models:/pets/1 was changed" in verify_evidence(logged, "pets").faults[0]


def test_a_record_that_was_written_since_the_judgement_stays(logged):
    first = judged(logged)
    log_predictions("models:/pets/1", table(2), replace=True, tracking_uri=logged.tracking_uri)
    record = logged.get("pets", 1).tags["pct.evidence.test"]
    fix_evidence(logged, [first])
    assert logged.get("pets", 1).tags["pct.evidence.test"] == record
    # The logged model and the versions made of it later have the new record, too.
    logged.client.delete_model_version_tag("pets", "1", "pct.evidence.test")
    assert judged(logged).digests.text == record


def test_no_table_is_recorded_of_a_logged_model_that_changed(logged):
    version = logged.get("pets", 1)
    model = logged.files(version).here / "MLmodel"
    model.write_text("flavors: {other: {}}\n")
    owner = f"models:/{logged.model_id(version)}"
    before = logged.files(version).paths()
    for target, uri in ((logged.model_id(version), owner), ("pets/1", "models:/pets/1")):
        words = f"The weights of {uri} were changed since its evidence was recorded: .* pct.evidence.test of {owner}"
        with pytest.raises(DataError, match=words):
            log_predictions(target, table(2), replace=True, tracking_uri=logged.tracking_uri)
    # The version carries no tag, so the advice names the logged model, which does.
    with pytest.raises(TableError, match=f"delete the tag pct.evidence.test of {owner}"):
        judged(logged)
    assert logged.files(version).paths() == before


@pytest.mark.parametrize(
    ("code", "kind"), [(PERMISSION_DENIED, RegistryForbiddenError), (TEMPORARILY_UNAVAILABLE, RegistryError)]
)
def test_a_record_that_cannot_be_read_is_not_taken_for_none(logged, monkeypatch, code, kind):
    def failing(*arguments):
        raise MlflowException("no", code)

    monkeypatch.setattr(MlflowClient, "get_logged_model", failing)
    version = logged.get("pets", 1)
    with pytest.raises(kind):
        recorded_evidence(logged, version, "test")


def test_versions_without_a_logged_model_have_no_record(logged):
    version = logged.get("pets", 1)
    plain = dataclasses.replace(version, source="/somewhere/model")
    assert recorded_evidence(logged, plain, "test") is None
    logged.client.delete_logged_model(logged.model_id(version))
    assert recorded_evidence(logged, version, "test") is None


def test_the_files_of_a_model_are_hashed_once_for_all_splits(logged, monkeypatch):
    files, calls = logged.files(logged.get("pets", 1)), []
    log_predictions("pets/1", table(1, "val"), "val", tracking_uri=logged.tracking_uri)
    monkeypatch.setattr(evidence_writing, "stored_digests", lambda files: calls.append(files) or ("w", "s"))
    assert set(evidence_tags(files, ["test", "val"])) == {"pct.evidence.test", "pct.evidence.val"}
    assert len(calls) == 1
