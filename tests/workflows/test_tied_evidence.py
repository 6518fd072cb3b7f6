"""Tables tied to the weights that made them: from train, score and recompute to the gate, its reports and explorer."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest
import yaml
from tiny_store import NAME

from pct_mlops.explorer.queries import decisions, pairs
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.gate import Tie, Ties
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.with_info import save_with_info
from pct_mlops.registry import WEIGHTS_TAG, add_predictions
from pct_mlops.registry.model_digests import digest_of_files, model_paths, weights_digest


def version(store, number):
    return store.registry.get(NAME, number)


def stored(store, number, split="test"):
    return Predictions.load(store.registry.predictions(version(store, number), split))


def policy(store, **more):
    path = store.folder / "demanding.yaml"
    path.write_text(yaml.safe_dump({"rules": [{"metric": "nfr", "max": 0.9}], **more}))
    return path


def judged(store, *words):
    report = store.folder / "report.json"
    code = store.pct("gate", f"{NAME}/2", "--json", report, *words)
    return code, json.loads(report.read_text())


def test_training_ties_its_tables_and_the_gate_says_so(store, capsys):
    for number in (1, 2):
        files = store.registry.files(version(store, number))
        digest = digest_of_files([files.find("architecture.json"), files.find("model.safetensors")])
        assert version(store, number).tags[WEIGHTS_TAG] == weights_digest(files) == digest
        assert {stored(store, number, split).info.weights for split in ("val", "test")} == {digest}
    code, report = judged(store, "--policy", policy(store, evidence={"tied": True}))
    assert code == 0
    assert report["evidence"] == {"candidate": "tied", "baseline": "tied"}
    assert report["candidate"]["weights"] == version(store, 2).tags[WEIGHTS_TAG]
    assert "Evidence: both tables are tied to their models' weights." in " ".join(capsys.readouterr().out.split())


def test_a_table_of_other_weights_is_an_error(store, tmp_path):
    """Also one that the candidate took from another version with a better table."""
    registry = store.registry
    table = save_with_info(stored(store, 1), tmp_path / "test.parquet", model_name="nobody")
    add_predictions(registry, version(store, 2), table.path)
    code, report = judged(store, "--policy", store.policy("lenient"))
    assert (code, report["verdict"], report["error_code"]) == (2, "ERROR", "table")
    assert "digits/2 was made by other weights" in report["sentence"]
    assert store.pct("score", f"{NAME}/2") == 0
    assert judged(store, "--policy", store.policy("lenient"))[0] == 0


@pytest.mark.parametrize("number", [1, 2])
def test_an_untied_table_is_said_and_refused_where_ties_are_demanded(store, tmp_path, number, capsys):
    """Production's counts as much as the candidate's."""
    table = save_with_info(stored(store, number), tmp_path / "own.parquet", weights="")
    assert store.pct("attach", f"{NAME}/{number}", table.path, "--replace") == 0
    capsys.readouterr()
    role = {1: "baseline", 2: "candidate"}[number]
    code, report = judged(store, "--policy", store.policy("lenient"))
    assert code == 0
    assert report["evidence"] == {"candidate": "tied", "baseline": "tied", role: "not tied"}
    pair = Pair(*(VersionTable(store.uri, NAME, each) for each in (1, 2)), "old", "new")
    pairs.forget_tables()
    assert decisions.ties_of(pair).both()[role] is Tie.NOT_TIED
    assert "not tied" in decisions.decision(pair, store.policy("lenient")).notes[-1]
    code, report = judged(store, "--policy", policy(store, evidence={"tied": True}))
    assert (code, report["verdict"]) == (2, "ERROR")
    assert (
        f"nothing shows that {NAME}/{number} made its table: make it with 'pct score {NAME}/{number}'"
        in (report["sentence"])
    )
    assert store.pct("score", f"{NAME}/{number}") == 0
    assert judged(store, "--policy", policy(store, evidence={"tied": True}))[0] == 0
    pairs.forget_tables()


def test_the_gate_computes_the_evidence_itself_where_that_is_demanded(store):
    demanding = policy(store, evidence="recomputed")
    code, report = judged(store, "--policy", demanding)
    assert (code, report["sentence"]) == (
        2,
        "The policy demands that the gate scores both models itself: add --recompute.",
    )
    code, report = judged(store, "--policy", demanding, "--recompute")
    assert code == 0
    assert report["evidence"] == {"candidate": "recomputed", "baseline": "recomputed"}
    store.without_production()
    code, report = judged(store, "--policy", demanding)
    assert (code, report["verdict"]) == (2, "ERROR")
    code, report = judged(store, "--policy", demanding, "--recompute")
    assert (code, report["verdict"], report["evidence"]) == (0, "BOOTSTRAP", {"candidate": "recomputed"})


def test_a_file_scored_elsewhere_comes_back_tied(store, tmp_path, capsys):
    output = tmp_path / "scored.parquet"
    assert store.pct("score", f"{NAME}/2", "--output", output) == 0
    assert store.pct("attach", f"{NAME}/1", output) == 2
    assert "made by other weights" in capsys.readouterr().err
    assert store.pct("attach", f"{NAME}/2", output, "--replace") == 0
    assert "It is tied to the version's weights, which made it." in capsys.readouterr().out
    assert store.pct("gate", output, "--baseline", f"{NAME}/1", "--policy", store.policy("lenient")) == 0
    assert store.pct("gate", output, "--baseline", f"{NAME}/1", "--policy", policy(store, evidence={"tied": True})) == 2
    assert "files belong to no model" in capsys.readouterr().out


def test_files_that_changed_after_registration_are_said(store, tmp_path, capsys):
    weights = store.registry.download(version(store, 2), "model.safetensors")
    other = store.registry.download(version(store, 1), "model.safetensors")
    shutil.copyfile(other, weights)
    table = save_with_info(stored(store, 2), tmp_path / "own.parquet", weights="")
    assert store.pct("attach", f"{NAME}/2", table.path, "--replace") == 2
    said = capsys.readouterr().err
    assert "changed since its weights were recorded" in said
    assert WEIGHTS_TAG in said


def test_mixtures_and_updates_are_tied_to_nothing(store, tmp_path):
    old, new = stored(store, 1), stored(store, 2)
    assert (old + new).info.weights == ""
    words = (f"{NAME}/1", f"{NAME}/2", "--output", tmp_path / "updated.parquet")
    assert store.pct("update-predictions", *words) == 0
    assert Predictions.load(tmp_path / "updated.parquet").info.weights == ""


def test_tables_of_earlier_releases_stay_readable(store, tmp_path):
    path = store.registry.predictions(version(store, 1))
    rows = pq.read_table(path)
    kept = {key: value for key, value in rows.schema.metadata.items() if key != b"pct.weights"}
    pq.write_table(rows.replace_schema_metadata(kept), tmp_path / "old.parquet")
    table = Predictions.load(tmp_path / "old.parquet")
    assert table.info.weights == ""
    assert table.save(tmp_path / "again.parquet").info.weights == ""
    store.registry.client.delete_model_version_tag(NAME, "2", WEIGHTS_TAG)
    code, report = judged(store, "--policy", store.policy("lenient"))
    assert (code, report["evidence"]["candidate"]) == (0, "not tied")


def test_what_a_foreign_models_digest_is_made_of(tmp_path):
    from pct_mlops.registry import ModelFiles

    def digest():
        return weights_digest(ModelFiles("m", str(tmp_path), "sqlite://"))

    (tmp_path / "MLmodel").write_text("a")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "model.bin").write_text("b")
    first = digest()
    for own in ("predictions", "images", "texts", "gate", "code/__pycache__"):
        (tmp_path / own).mkdir(parents=True)
        (tmp_path / own / "x").write_text("c")
    (tmp_path / "registered_model_meta").write_text("d")
    assert model_paths(tmp_path) == ["MLmodel", "data/model.bin"]
    assert digest() == first
    (tmp_path / "data" / "model.bin").rename(tmp_path / "data" / "other.bin")
    assert digest() != first
    (tmp_path / "data" / "other.bin").rename(tmp_path / "data" / "model.bin")
    (tmp_path / "data" / "model.bin").write_text("x")
    assert digest() != first
    assert Ties(Tie.TIED).both() == {"candidate": Tie.TIED}
