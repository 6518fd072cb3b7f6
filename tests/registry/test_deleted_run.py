"""A judgement needs no training run: when that is deleted, the record goes to the version, and the verdict stands."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest
from tiny_store import NAME

from pct_mlops.errors import PctError
from pct_mlops.registry import history, record_decision, verify


def delete_run(store, version, how):
    client, run_id = store.registry.client, store.registry.get(NAME, version).run_id
    if how == "experiment":
        client.delete_experiment(client.get_run(run_id).info.experiment_id)
        return
    client.delete_run(run_id)
    if how == "for good":
        client._tracking_client.store._hard_delete_run(run_id)


@pytest.mark.parametrize("how", ["run", "for good", "experiment"])
def test_the_gate_records_promotes_and_rolls_back_without_the_run(store, capsys, how):
    for version in (1, 2):
        delete_run(store, version, how)
        if how == "experiment":
            break
    words = ("--policy", store.policy("lenient"), "--promote", "--reason", "weekly", "--json", store.folder / "r.json")
    assert store.pct("gate", f"{NAME}/2", *words) == 0
    assert "Promoted: models:/digits/2 is production now." in " ".join(capsys.readouterr().out.split())
    registry = store.registry
    version = registry.resolve(f"{NAME}@production")
    assert version.version == 2
    assert (version.tags["gate.verdict"], version.tags["gate.baseline_version"]) == ("PASS", "1")
    last = history(registry, NAME)[-1]
    assert (last.to_version, last.verdict, last.reason) == (2, "PASS", "weekly")
    assert last.report.startswith("models:/digits/2/gate/version-2-against-1-")
    kept = json.loads(Path(mlflow.artifacts.download_artifacts(last.report)).read_text())
    written = json.loads((store.folder / "r.json").read_text())
    assert kept["checks"] == written["checks"]
    assert kept["metrics"]["nfr"] == written["metrics"]["nfr"]
    assert verify(registry, NAME).is_right
    assert store.pct("verify", NAME) == 0
    assert store.pct("history", NAME) == 0
    assert "weekly" in capsys.readouterr().out
    assert store.pct("rollback", NAME, "--reason", "night images") == 0
    assert registry.resolve(f"{NAME}@production").version == 1


def test_a_refusal_is_recorded_without_the_run(store, capsys):
    delete_run(store, 2, "run")
    assert store.pct("gate", f"{NAME}/2", "--policy", store.policy("strict"), "--promote") in (1, 3)
    tags = store.registry.get(NAME, 2).tags
    assert tags["gate.verdict"] in ("FAIL", "INCONCLUSIVE")
    assert store.registry.resolve(f"{NAME}@production").version == 1


def test_a_run_that_is_there_keeps_the_report(store):
    assert store.pct("gate", f"{NAME}/2", "--policy", store.policy("lenient"), "--promote") == 0
    version = store.registry.get(NAME, 2)
    assert history(store.registry, NAME)[-1].report.startswith(f"runs:/{version.run_id}/gate/")
    assert "gate/nfr" in store.registry.client.get_run(version.run_id).data.metrics


def test_files_that_cannot_be_written_leave_the_report_to_a_tag_or_refuse_it(store):
    client = store.registry.client
    client.create_registered_model("foreign")
    client.create_model_version("foreign", "s3://elsewhere/model")
    version = store.registry.get("foreign", 1)
    report = {"verdict": "PASS", "text": "x"}
    assert record_decision(store.registry, version, {"gate.verdict": "PASS"}, {"gate/nfr": 0.01}, report) == ""
    tags = store.registry.get("foreign", 1).tags
    assert tags["gate.verdict"] == "PASS"
    assert json.loads(tags["gate.report"]) == report
    with pytest.raises(PctError):  # nothing is recorded of a decision whose report has no place
        record_decision(store.registry, version, {"gate.verdict": "FAIL"}, {}, {"text": "x" * 70_000})
    assert store.registry.get("foreign", 1).tags["gate.verdict"] == "PASS"
