"""`pct gate` over versions and over files: verdicts, exit codes, what is recorded, and when production moves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_store import NAME

from pct_mlops.predictions import Predictions
from pct_mlops.registry import history, record_evidence


def gate(store, candidate=f"{NAME}@candidate", policy="lenient", *words):
    return store.pct("gate", candidate, "--policy", store.policy(policy), *words)


def said(capsys):
    """Output on one line: the console wraps at its width."""
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


@pytest.mark.parametrize(
    ("policy", "verdict", "code"), [("lenient", "PASS", 0), ("strict", "FAIL", 1), ("narrow", "INCONCLUSIVE", 3)]
)
def test_verdicts_and_exit_codes(store, capsys, policy, verdict, code):
    tie(store)
    assert gate(store, "digits/2", policy, "--promote") == code
    text = said(capsys)
    assert verdict in text
    assert ("Promoted: models:/digits/2 is production now." in text) == (verdict == "PASS")
    assert ("Not promoted: production stays as it is." in text) == (verdict != "PASS")
    assert store.registry.aliases(NAME)["production"] == (2 if verdict == "PASS" else 1)
    version = store.registry.resolve("digits/2")
    assert version.tags["gate.verdict"] == verdict
    assert version.tags["gate.baseline_version"] == "1"
    assert len(version.tags["gate.policy_digest"]) == 64
    assert len(history(store.registry, NAME)) == (2 if verdict == "PASS" else 1)


def tie(store):
    """Version 2 answers like version 1 but for 20 examples gained and 20 lost: no change of accuracy is certain."""
    old = Predictions.load(store.registry.predictions(store.registry.resolve("digits/1")))
    columns = pq.read_table(old.path).to_pydict()
    logits, labels = np.array(columns["logits"], np.float32), np.array(columns["label"])
    right = logits.argmax(1) == labels
    lost, gained = np.flatnonzero(right)[:20], np.flatnonzero(~right)[:20]
    logits[gained, labels[gained]] = logits[gained].max(1) + 1
    logits[lost, (labels[lost] + 1) % 10] = logits[lost].max(1) + 1
    replace(store, "digits/2", columns["sample_id"], labels, logits, old.info)


def replace(store, reference, ids, labels, logits, info, **changes):
    """Put another test table in the version's place."""
    info = dataclasses.replace(info, **changes)
    keep = {key: getattr(info, key) for key in ("class_names", "dataset", "split", "preprocessing", "model_name")}
    client, version = store.registry.client, store.registry.resolve(reference)
    table = Predictions.from_arrays(ids, labels, logits, **keep)
    file = table.save(store.folder / "aside" / "test.parquet").path
    client.log_model_artifact(store.registry.model_id(version), str(file), "predictions")
    store.registry.forget(version, "predictions/test.parquet")
    record_evidence(store.registry, version, "test")


def test_bootstrap_promotes_when_there_is_no_production(store, capsys):
    store.without_production()
    assert gate(store) == 0
    assert "production" not in store.registry.aliases(NAME), "without --promote nothing moves"
    assert gate(store, f"{NAME}@candidate", "lenient", "--promote") == 0
    assert "BOOTSTRAP" in said(capsys)
    assert store.registry.aliases(NAME)["production"] == 2
    last = history(store.registry, NAME)[-1]
    assert (last.from_version, last.verdict) == (None, "BOOTSTRAP")


@pytest.mark.parametrize("words", [(), ("--promote",)])
def test_production_that_is_gone_is_no_first_one(store, capsys, words):
    """An alias goes with its version when that is deleted, and judging against nothing would let anything pass."""
    store.registry.client.delete_registered_model_alias(NAME, "production")
    before = store.state()
    assert gate(store, "digits/2", "lenient", *words) == 2
    assert "although its last recorded move" in said(capsys)
    assert store.state() == before


def test_a_baseline_or_a_model_that_is_misspelt_is_no_first_one(store, capsys):
    (store.folder / "typo.yaml").write_text("baseline: prodution\nrules: [{metric: nfr, max: 0.9}]")
    before = store.state()
    assert gate(store, "digits/2", "typo") == 2
    assert "digits has no alias 'prodution', although version 1 is in production" in said(capsys)
    assert gate(store, "digits/2", "lenient", "--into", "dig/its") == 2
    assert "dig/its" in said(capsys)
    assert store.state() == before
    assert gate(store, "digits/2", "lenient", "--into", "digist") == 0
    text = said(capsys)
    assert "BOOTSTRAP" in text
    assert "There is no model digist yet: promoting makes it." in text
    assert store.registry.models() == [NAME]


def test_a_decision_is_recorded_with_its_evidence(store, tmp_path):
    assert gate(store, f"{NAME}@candidate", "lenient", "--json", tmp_path / "report.json", "--reason", "weekly") == 0
    version, client = store.registry.resolve("digits/2"), store.registry.client
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "PASS"
    assert report["exit_code"] == 0
    assert report["context"] == {
        "candidate_uri": "models:/digits/2",
        "baseline_uri": "models:/digits/1",
        "reason": "weekly",
    }
    assert report["candidate"]["model_version"] == "2", "the table is named by the version that carries it"
    stored = client.download_artifacts(version.run_id, "gate/version-2-against-1.json", str(tmp_path))
    with open(stored, encoding="utf-8") as file:
        assert json.load(file) == report
    nfr = report["metrics"]["nfr"]["value"]
    assert client.get_run(version.run_id).data.metrics["gate/nfr"] == pytest.approx(nfr)
    assert float(version.tags["gate.nfr"]) == pytest.approx(nfr, abs=1e-6)
    assert version.tags["gate.policy_digest"] == report["policy"]["digest"]
    assert len(history(store.registry, NAME)) == 1, "judging alone is no move"


def test_a_promotion_points_to_its_report_which_stays_what_it_was(store, tmp_path):
    words = ("--json", tmp_path / "report.json")
    assert gate(store, f"{NAME}@candidate", "lenient", "--promote", "--reason", "weekly", *words) == 0
    version, last = store.registry.resolve("digits/2"), history(store.registry, NAME)[-1]
    for again in ((), ("strict", "--baseline", "digits/1")):
        if again:
            assert gate(store, "digits/2", *again) == 1
        path = last.report.removeprefix(f"runs:/{version.run_id}/")
        assert path.startswith("gate/version-2-against-1-")
        kept = json.loads(Path(store.registry.client.download_artifacts(version.run_id, path)).read_text())
        report = json.loads((tmp_path / "report.json").read_text())
        assert kept == {**report, "promotion": {**report["promotion"], "done": None}}
    assert (last.verdict, last.reason) == ("PASS", "weekly")
    assert last.policy_digest == version.tags["gate.policy_digest"]


def test_the_candidate_in_production_is_an_error_and_nothing_is_written(store, capsys):
    before = store.state()
    assert gate(store, f"{NAME}@production", "lenient", "--promote") == 2
    text = said(capsys)
    assert "models:/digits/1 is the baseline itself" in text
    assert "Not promoted" in text
    assert store.state() == before


def test_no_rules_and_other_examples_are_errors(store, capsys):
    (store.folder / "nothing.yaml").write_text("rules: []")
    before = store.state()
    assert gate(store, f"{NAME}@candidate", "nothing", "--promote") == 2
    assert "would let anything pass" in said(capsys)
    assert store.state() == before

    table = Predictions.load(store.registry.predictions(store.registry.resolve("digits/2")))
    replace(store, "digits/2", ["a", "b"], [0, 1], np.eye(10)[:2], table.info)
    before = store.state()
    assert gate(store, f"{NAME}@candidate", "lenient", "--promote") == 2
    assert "ERROR" in said(capsys)
    assert store.state() == before


def test_another_baseline_judges_but_never_promotes(store, capsys):
    store.registry.client.set_registered_model_alias(NAME, "production", "2")
    assert gate(store, "digits/2", "lenient", "--baseline", "digits/1") == 0
    assert gate(store, "digits/2", "lenient", "--baseline", "digits/1", "--promote") == 2
    assert "only a judgement against production can promote" in said(capsys)
    assert store.registry.aliases(NAME)["production"] == 2
    assert len(history(store.registry, NAME)) == 1


def test_naming_production_as_the_baseline_promotes(store):
    assert gate(store, "digits/2", "lenient", "--baseline", "digits@production", "--promote") == 0
    assert store.registry.aliases(NAME) == {"production": 2, "previous": 1, "candidate": 2}


@pytest.fixture
def files(store):
    for number, name in ((1, "old"), (2, "new")):
        table = Predictions.load(store.registry.predictions(store.registry.resolve(f"digits/{number}")))
        table.save(store.folder / f"{name}.parquet")
    return store


def test_files_are_judged_alike(files, capsys, tmp_path):
    assert gate(files, "digits/2", "lenient", "--json", tmp_path / "versions.json") == 0
    words = ("--baseline", "old.parquet", "--json", tmp_path / "files.json")
    assert gate(files, "new.parquet", "lenient", *words) == 0
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("versions", "files"))
    assert second["metrics"] == first["metrics"]
    assert second["checks"] == first["checks"]
    assert gate(files, "new.parquet", "strict", "--baseline", "old.parquet") == 1
    assert gate(files, "old.parquet", "lenient", "--baseline", "old.parquet") == 2


@pytest.mark.parametrize(
    ("candidate", "words", "says"),
    [
        ("new.parquet", (), "give it with --baseline OLD.parquet"),
        ("new.parquet", ("--baseline", "old.parquet", "--promote"), "only a registered version can be promoted"),
        ("digits/2", ("--baseline", "old.parquet"), "judge two versions, or two files"),
        ("absent.parquet", ("--baseline", "old.parquet"), "There is no prediction table absent.parquet"),
        ("digits/2", ("--policy", "absent.yaml"), "There is no file absent.yaml"),
        ("digits/2", ("--baseline", "digits@nobody"), "no alias 'nobody'"),
    ],
)
def test_what_cannot_be_judged_is_said_in_one_sentence(files, capsys, candidate, words, says):
    before = files.state()
    assert gate(files, candidate, "lenient", *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("Error: ")
    assert says in line
    assert files.state() == before


def test_the_policy_of_the_folder_is_the_default(store, capsys):
    assert store.pct("gate", "digits/2") == 2
    assert "There is no policy.yaml in this folder" in capsys.readouterr().err
    (store.folder / "policy.yaml").write_text((store.folder / "lenient.yaml").read_text())
    assert store.pct("gate", "digits/2") == 0


def test_a_first_version_whose_table_is_unsound_is_no_first_version(store, capsys):
    """There is nothing to compare its rows with, and yet they will be what later candidates are held against."""
    store.without_production()
    path = store.registry.predictions(store.registry.resolve("digits/2"))
    rows = pq.read_table(path)
    shares = rows["confidence"].to_numpy().copy()
    shares[3] = np.nan
    index = rows.schema.get_field_index("confidence")
    pq.write_table(rows.set_column(index, "confidence", pa.array(shares, rows.schema.field(index).type)), path)
    store.registry.forget(store.registry.resolve("digits/2"), "predictions/test.parquet")
    record_evidence(store.registry, store.registry.resolve("digits/2"), "test")
    before = store.state()
    assert gate(store, "digits/2", "lenient", "--promote") == 2
    assert "confidences outside 0 to 1" in said(capsys)
    assert store.state() == before
