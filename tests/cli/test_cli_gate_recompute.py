"""`pct gate --recompute`: tables that are missing or about other examples are named, and scored anew where asked."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_store import NAME

from pct_mlops.predictions import Predictions
from pct_mlops.registry import add_predictions


def gate(store, *words, candidate="digits/2"):
    return store.pct("gate", candidate, "--policy", store.policy("lenient"), *words)


def table(store, number):
    return store.registry.predictions(store.registry.get(NAME, number))


def lose(store, folder):
    table(store, 1).unlink()
    return "models:/digits/1 carries no predictions on test"


def shrink(store, folder):
    """As if the baseline had been scored when the test set was half as large."""
    rows = pq.read_table(table(store, 1))
    rows = rows.slice(0, len(rows) // 2)
    logits = np.array(rows["logits"].to_pylist(), np.float32)
    info = {"class_names": [str(digit) for digit in range(10)], "model_name": NAME, "split": "test"}
    cut = Predictions.from_arrays(rows["sample_id"].to_pylist(), rows["label"].to_numpy(), logits, **info)
    add_predictions(store.registry, store.registry.get(NAME, 1), cut.save(folder / "test.parquet").path)
    return "The predictions of models:/digits/1 (299 examples) are about another evaluation set"


def garble(store, folder):
    table(store, 1).write_bytes(table(store, 1).read_bytes()[:1000])
    return "The predictions of models:/digits/1 on test cannot be used: "


def test_what_is_said_meanwhile_stays_out_of_a_report_on_standard_output(store, tmp_path, capfd):
    lose(store, tmp_path)
    capfd.readouterr()
    assert gate(store, "--recompute", "--json", "-") == 0
    said = capfd.readouterr()
    assert json.loads(said.out)["verdict"] == "PASS"
    assert "models:/digits/1: 599 examples of test scored again." in said.err.splitlines()


@pytest.mark.parametrize("spoil", [lose, shrink, garble])
def test_what_does_not_fit_is_said_and_mended_where_asked(store, tmp_path, capsys, spoil):
    says = spoil(store, tmp_path)
    before = store.state()
    assert gate(store, "--promote", "--json", tmp_path / "r.json") == 2
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["verdict"] == "ERROR"
    assert report["sentence"].startswith(says)
    assert "or add --recompute to score both with their registered models" in report["sentence"]
    assert store.state() == before
    capsys.readouterr()
    assert gate(store, "--recompute", "--promote", "--json", tmp_path / "r.json") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["verdict"], report["num_examples"]) == ("PASS", 599)
    assert store.registry.aliases(NAME)["production"] == 2
    for number in (1, 2):
        assert Predictions.load(table(store, number)).info.digest == report["candidate"]["digest"]
    assert gate(store, "--baseline", "digits/1") == 0, "the tables stay with their versions"


def test_tables_that_fit_are_not_scored_again(store, capsys, monkeypatch):
    def fails(*_, **__):
        raise AssertionError("scored")

    monkeypatch.setattr("pct_mlops.workflows.gating.rescore.recompute", fails)
    assert gate(store, "--recompute") == 0


def test_what_cannot_be_scored_is_an_error_and_moves_nothing(store, tmp_path, capsys):
    lose(store, tmp_path)
    registry = store.registry
    registry.download(registry.get(NAME, 1), "model.safetensors").unlink()
    before = store.state()
    assert gate(store, "--recompute", "--promote", "--json", tmp_path / "r.json") == 2
    assert "digits/1 carries no model.safetensors" in capsys.readouterr().err
    assert json.loads((tmp_path / "r.json").read_text())["verdict"] == "ERROR"
    assert store.state() == before


def test_files_are_not_scored(store, tmp_path, capsys):
    assert gate(store, "--recompute", "--baseline", table(store, 1), candidate=table(store, 2)) == 2
    assert "--recompute and --pin-fixed are about registered versions" in capsys.readouterr().err
