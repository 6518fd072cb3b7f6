"""The gate's evidence is fixed: tables, weights and served models that change after they were recorded move nothing."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from tiny_store import NAME

from pct_mlops.errors import DataError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.with_info import save_with_info
from pct_mlops.registry import add_predictions, history
from pct_mlops.workflows.gating import gate_run


def said(capsys):
    """Output on one line: the console wraps at its width."""
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def path_of(store, number):
    return store.registry.predictions(store.registry.get(NAME, number))


def forge(store, number, *, lost):
    """Write another table into the artifacts, as somebody does who may edit the experiment. All of it fits together.

    `lost` of the examples that the model gets right become wrong, or for a negative number as many wrong ones right.
    """
    path = path_of(store, number)
    table = Predictions.load(path)
    rows = pq.read_table(path).to_pydict()
    logits, labels = np.array(rows["logits"], np.float32), np.array(rows["label"])
    right = logits.argmax(1) == labels
    places = np.flatnonzero(right if lost > 0 else ~right)[: abs(lost)]
    targets = (labels[places] + 1) % 10 if lost > 0 else labels[places]
    logits[places, targets] = logits[places].max(1) + 3
    about = {key: getattr(table.info, key) for key in ("class_names", "dataset", "split", "preprocessing")}
    made = Predictions.from_arrays(rows["sample_id"], labels, logits, **about)
    words = {key: getattr(table.info, key) for key in ("model_name", "model_version", "model_uri", "weights")}
    save_with_info(made, store.folder / "forged.parquet", **words)
    assert Predictions.load(store.folder / "forged.parquet").info.digest == table.info.digest
    (store.folder / "forged.parquet").replace(path)


def promote(store, policy="lenient", *words):
    return store.pct("gate", f"{NAME}/2", "--policy", store.policy(policy), "--promote", *words)


def test_a_worse_table_of_production_lets_nothing_pass(store, capsys):
    """The candidate loses nothing against a baseline that is made to look bad."""
    limit = store.folder / "strict.yaml"
    limit.write_text(yaml.safe_dump({"rules": [{"metric": "nfr", "max": 0.0001, "bound": "point"}]}))
    assert promote(store, "strict") == 1
    capsys.readouterr()
    rows = pq.read_table(path_of(store, 1))
    forge(store, 1, lost=pc.sum(pc.equal(rows["prediction"], rows["label"])).as_py())
    report = store.folder / "report.json"
    assert promote(store, "strict", "--json", report) == 2
    text = said(capsys)
    assert "models:/digits/1" in text
    assert "was changed" in text
    assert "pct score digits/1" in text
    assert json.loads(report.read_text())["verdict"] == "ERROR"
    assert store.registry.aliases(NAME)["production"] == 1


@pytest.mark.parametrize("number", [1, 2])
def test_a_table_that_is_swapped_between_decision_and_move_moves_nothing(store, capsys, monkeypatch, number):
    write_record = gate_run.write_record

    def swapped(*arguments, **options):
        monkeypatch.setattr(gate_run, "write_record", write_record)
        forge(store, number, lost=30)
        return write_record(*arguments, **options)

    monkeypatch.setattr(gate_run, "write_record", swapped)
    assert promote(store) == 2
    text = said(capsys)
    assert f"models:/digits/{number}" in text
    assert "nothing was promoted" in text
    assert store.registry.aliases(NAME)["production"] == 1
    assert len(history(store.registry, NAME)) == 1


@pytest.mark.parametrize("number", [1, 2])
def test_a_forged_table_that_is_put_back_after_the_move_is_found(store, capsys, number):
    assert promote(store) == 0
    assert store.pct("verify", NAME) == 0
    capsys.readouterr()
    forge(store, number, lost=30)
    assert store.pct("verify", NAME) == 1
    text = said(capsys)
    assert f"models:/digits/{number}" in text
    assert "was changed" in text


def confident(store, number, confidence):
    """Edit the confidences of a version's table, and nothing else, so that they look calibrated."""
    path = path_of(store, number)
    rows = pq.read_table(path)
    index = rows.schema.get_field_index("confidence")
    values = pa.array(np.full(len(rows), confidence, np.float32))
    pq.write_table(rows.set_column(index, rows.schema.field(index), values), path)


def test_confidences_that_are_not_those_of_the_logits_are_refused(store, capsys):
    """Also in a version whose evidence was never recorded, and in files."""
    path = path_of(store, 2)
    old, new = store.folder / "old.parquet", store.folder / "new.parquet"
    Predictions.load(path_of(store, 1)).save(old)
    confident(store, 2, Predictions.load(path).accuracy())
    Predictions.load(path).save(new)
    rules = store.folder / "calibrated.yaml"
    rules.write_text(yaml.safe_dump({"rules": [{"metric": "ece_new", "max": 0.01, "bound": "point"}]}))
    unrecorded(store)
    for words in ((new, "--baseline", old), (f"{NAME}/2",)):
        assert store.pct("gate", *words, "--policy", rules) == 2
        assert "confidence" in said(capsys)


def copies(store, folder):
    """One table as a .result file, and one of another program in three formats."""
    rows = pq.read_table(path_of(store, 2)).to_pydict()
    arrays = {"pred": rows["prediction"], "gt": rows["label"], "outputs": np.array(rows["logits"], np.float32)}
    for name in ("a.result", "b.result"):
        torch.save({key: torch.tensor(np.array(value)) for key, value in arrays.items()}, folder / name)
    plain = pa.table(
        {
            "sample_id": rows["sample_id"],
            "label": [str(label) for label in rows["label"]],
            "prediction": [str(label) for label in rows["prediction"]],
            "confidence": [float(value) for value in rows["confidence"]],
        }
    )
    pq.write_table(plain, folder / "a.parquet")
    frame = plain.to_pandas()
    frame.to_csv(folder / "a.csv", index=False, float_format="%.6g")
    frame.sample(frac=1, random_state=0).to_json(folder / "a.jsonl", orient="records", lines=True)


def test_a_copy_in_another_format_is_no_candidate(shared_store, tmp_path, capsys):
    copies(shared_store, tmp_path)
    table = tmp_path / "imported.parquet"
    assert shared_store.pct("import", tmp_path / "a.result", table) == 0
    pairs = [("a.result", "b.result"), ("a.result", "imported.parquet"), ("a.csv", "a.parquet")]
    pairs += [("a.jsonl", "a.csv"), ("a.parquet", "a.jsonl")]
    for new, old in pairs:
        words = ("gate", tmp_path / new, "--baseline", tmp_path / old, "--policy", shared_store.policy("lenient"))
        capsys.readouterr()
        assert shared_store.pct(*words) == 2, (new, old)
        assert "the same table" in said(capsys)
    # Exported from the table that the registry holds.
    assert shared_store.pct("gate", tmp_path / "a.csv", "--baseline", path_of(shared_store, 2), *words[4:]) == 2
    assert "the same table" in said(capsys)


def test_two_models_that_say_the_same_of_every_example_are_judged_with_a_loud_note(shared_store, tmp_path, capsys):
    """Other confidences or other names are no copy: the verdict is that of the rules."""
    rows = pq.read_table(path_of(shared_store, 2)).to_pydict()
    about = {"class_names": [str(digit) for digit in range(10)], "split": "test"}
    for name, factor in (("old", 1), ("new", 2)):
        logits = factor * np.array(rows["logits"], np.float32)
        made = Predictions.from_arrays(rows["sample_id"], rows["label"], logits, model_name=name, **about)
        made.save(tmp_path / f"{name}.parquet")
    report = tmp_path / "report.json"
    words = ("--baseline", tmp_path / "old.parquet", "--policy", shared_store.policy("lenient"), "--json", report)
    assert shared_store.pct("gate", tmp_path / "new.parquet", *words) == 0
    assert "Both tables hold the same predictions" in json.loads(report.read_text())["sentence"]


def test_report_tags_and_history_name_what_was_judged(store, capsys):
    report, summary = store.folder / "report.json", store.folder / "summary.md"
    assert promote(store, "lenient", "--json", report, "--markdown", summary) == 0
    digests = json.loads(report.read_text())["digests"]
    assert [digests[role]["recorded"] for role in ("candidate", "baseline")] == [True, True]
    wholes = {role: digests[role]["whole"] for role in digests}
    shown = ", ".join(f"{role} {whole[:12]}" for role, whole in wholes.items())
    assert f"Digests of the evidence: {shown}." in said(capsys)
    assert f"candidate {wholes['candidate'][:12]}" in summary.read_text()
    tags, last = store.registry.get(NAME, 2).tags, history(store.registry, NAME)[-1]
    assert (tags["gate.candidate_evidence"], tags["gate.baseline_evidence"]) == tuple(wholes.values())
    assert (last.split, last.candidate_evidence, last.baseline_evidence) == ("test", *wholes.values())


def unrecorded(store):
    """Both versions as an earlier release left them."""
    for number in (1, 2):
        for key in list(store.registry.get(NAME, number).tags):
            if key.startswith("pct.evidence."):
                store.registry.client.delete_model_version_tag(NAME, str(number), key)


def test_versions_of_earlier_releases_are_judged_and_fixed_from_then_on(store, capsys):
    unrecorded(store)
    words = ("gate", f"{NAME}/2", "--policy", store.policy("lenient"))
    assert store.pct(*words) == 0
    text = said(capsys)
    assert "The evidence of models:/digits/2 and models:/digits/1 was not recorded before it was judged." in text
    assert "It is judged as it is, and recorded now where you may write to the version." in text
    assert store.pct(*words) == 0
    assert "was not recorded" not in said(capsys)
    forge(store, 1, lost=30)
    assert store.pct(*words) == 2
    assert "The table of predictions of models:/digits/1 was changed" in said(capsys)


@pytest.mark.parametrize(
    ("file", "says"),
    [("model.safetensors", "weights of models:/digits/1 were"), ("MLmodel", "served model of models:/digits/1 was")],
)
def test_another_model_behind_the_same_table_is_refused(store, capsys, file, says):
    """And no table is stored for it: scoring again would record another model's predictions."""
    new = Predictions.load(path_of(store, 2)).save(store.folder / "new.parquet")
    path = store.registry.download(store.registry.get(NAME, 1), file)
    path.write_bytes(path.read_bytes() + b"\n")
    before = store.state()
    for words in ((), ("--recompute",)):
        assert promote(store, "lenient", *words) == 2
        text = said(capsys)
        assert f"The {says} changed since its evidence on test was recorded" in text
        assert "delete the tag pct.evidence.test of models:/digits/1" in text
        assert "--recompute" not in text
    assert store.pct("attach", f"{NAME}/1", new.path, "--replace") == 2
    with pytest.raises(DataError, match=f"The {says} changed since its evidence was recorded: register the model"):
        add_predictions(store.registry, store.registry.get(NAME, 1), new.path.rename(store.folder / "test.parquet"))
    assert store.state() == before


def test_what_was_replaced_with_pct_is_no_fault_and_what_was_deleted_is_said(store, capsys):
    assert promote(store) == 0
    table = Predictions.load(path_of(store, 1))
    new = save_with_info(table, store.folder / "new.parquet", preprocessing="another")
    assert store.pct("attach", f"{NAME}/1", new.path, "--replace") == 0
    capsys.readouterr()
    assert store.pct("verify", NAME) == 0
    assert "The evidence is what was recorded" in said(capsys)
    store.registry.client.delete_model_version(NAME, "1")
    assert store.pct("verify", NAME) == 0
    assert "Version 1 of digits was deleted, so its evidence cannot be compared." in said(capsys)
    path_of(store, 2).unlink()
    assert store.pct("verify", NAME) == 1
    assert "models:/digits/2 carries no table on test" in said(capsys)


def released(store):
    """Production of a model of its own, which is a copy of digits/2. Return the next table of digits/2."""
    words = ("--policy", store.policy("lenient"), "--into", "shop", "--promote")
    assert store.pct("gate", f"{NAME}/2", *words) == 0
    table = Predictions.load(path_of(store, 2))
    return save_with_info(table, store.folder / "new.parquet", preprocessing="another").path


def test_a_copy_is_recorded_with_the_version_whose_files_it_shares(store, capsys):
    """Production stays right when the table is replaced through the version that it was copied from."""
    new = released(store)
    assert store.pct("attach", f"{NAME}/2", new, "--replace") == 0
    capsys.readouterr()
    assert store.pct("verify", "shop") == 0, said(capsys)
    assert "The evidence is what was recorded (2 tables compared, weights and served models included)." in said(capsys)
    words = ("--policy", store.policy("lenient"), "--into", "shop")
    assert store.pct("gate", f"{NAME}/1", *words) == 0
    # The other way round: through the copy.
    again = save_with_info(Predictions.load(path_of(store, 2)), store.folder / "again.parquet", preprocessing="third")
    assert store.pct("attach", "shop/1", again.path, "--replace") == 0
    records = {store.registry.get(*place).tags["pct.evidence.test"] for place in ((NAME, 2), ("shop", 1))}
    assert len(records) == 1
    assert store.pct("verify", "shop") == 0
    # A table that was replaced without pct is found through the copy, too.
    forge(store, 2, lost=30)
    assert store.pct("verify", "shop") == 1
    assert "The table of predictions of models:/shop/1 was changed" in said(capsys)


def test_a_copy_that_one_may_not_write_to_is_named(store, capsys, monkeypatch):
    new, write = released(store), MlflowClient.set_model_version_tag

    def refused(self, name, *arguments):
        if name == "shop":
            raise MlflowException("no", PERMISSION_DENIED)
        return write(self, name, *arguments)

    monkeypatch.setattr(MlflowClient, "set_model_version_tag", refused)
    assert store.pct("attach", f"{NAME}/2", new, "--replace") == 0
    assert "The table could not be recorded as evidence of models:/shop/1" in said(capsys)
