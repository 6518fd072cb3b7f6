"""`pct score`, `compare`, `ensemble`, `list`, `history`, `rollback`, over versions and files."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_store import NAME

from pct_mlops.comparison import METRICS
from pct_mlops.losses import PRESETS
from pct_mlops.predictions import Predictions
from pct_mlops.registry import history


def logits(path):
    table = pq.read_table(path, columns=["sample_id", "logits"])
    return dict(zip(table["sample_id"].to_pylist(), np.array(table["logits"].to_pylist()), strict=True))


def assert_same_logits(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        np.testing.assert_allclose(value, other[key], atol=1e-5)


@pytest.mark.parametrize("split", ["val", "test"])
def test_score_repeats_what_training_stored(store, capsys, split):
    assert store.pct("score", "digits@candidate", "--split", split, "--output", "again.parquet") == 0
    stored = store.registry.predictions(store.registry.resolve("digits/2"), split)
    assert_same_logits(logits("again.parquet"), logits(stored))
    table = Predictions.load("again.parquet")
    assert (table.info.model_uri, table.info.split) == ("models:/digits/2", split)
    assert f"accuracy {table.accuracy():.2%}: again.parquet" in capsys.readouterr().out


def test_score_of_a_checkpoint_needs_no_registry(store, capsys, monkeypatch):
    """A training's own folder, and a file of the original code with a recipe beside it."""
    import torch
    from safetensors.torch import load_file

    folder = store.registry.download(store.registry.resolve("digits/2"), "model.safetensors").parent
    state = load_file(folder / "model.safetensors")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, "model_best.pth.tar")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store.folder / 'nowhere.db'}")
    assert store.pct("score", folder, "--output", "folder.parquet") == 0
    assert store.pct("score", "model_best.pth.tar", "--recipe", store.recipe, "--output", "legacy.parquet") == 0
    assert_same_logits(logits("folder.parquet"), logits("legacy.parquet"))
    assert_same_logits(logits("folder.parquet"), logits(folder / "predictions" / "test.parquet"))
    capsys.readouterr()
    assert store.pct("score", folder) == 2
    assert "say where to write, with --output" in capsys.readouterr().err
    assert store.pct("score", "model_best.pth.tar", "--output", "x.parquet") == 2
    assert "give one with --recipe" in capsys.readouterr().err


def test_score_stores_with_the_version(store, capsys):
    assert store.pct("score", "digits/2", "--split", "train", "--set", "data.train_fraction=0.1") == 0
    path = store.registry.predictions(store.registry.resolve("digits/2"), "train")
    assert Predictions.load(path).info.num_examples < 200
    assert "digits/2, predictions/train.parquet" in capsys.readouterr().out


def test_score_over_a_table_that_was_read_before_shows_the_new_one(store):
    version = store.registry.resolve("digits/2")
    first = Predictions.load(store.registry.predictions(version)).info
    assert store.pct("score", "digits/2") == 0
    second = Predictions.load(store.registry.predictions(version)).info
    assert first.model_uri.startswith("runs:/")
    assert second.model_uri == "models:/digits/2"


def test_compare_versions_and_files_agree(store, capsys):
    assert store.pct("compare", "digits@production", "digits@candidate", "--json", "versions.json") == 0
    text = capsys.readouterr().out
    for number in (1, 2):
        path = store.registry.predictions(store.registry.resolve(f"digits/{number}"))
        Predictions.load(path).save(f"{number}.parquet")
    assert store.pct("compare", "1.parquet", "models:/digits/2", "--json", "files.json") == 0
    first, second = (json.loads((store.folder / f"{name}.json").read_text()) for name in ("versions", "files"))
    assert first["kind"] == "comparison"
    assert first["metrics"].keys() == second["metrics"].keys()
    for name, found in first["metrics"].items():  # threads add up the parts of a mean in any order
        assert found == pytest.approx(second["metrics"][name]), name
    old, new = Predictions.load("1.parquet"), Predictions.load("2.parquet")
    assert first["metrics"]["nfr"]["value"] == pytest.approx(new.nfr(old))
    assert first["metrics"]["pfr"]["value"] == pytest.approx(new.pfr(old))
    assert "nfr" in text
    assert store.pct("compare", "digits/1", "digits/2", "--split", "val") == 0


def test_ensemble_is_the_mean_of_logits(store, capsys):
    assert store.pct("ensemble", "mean.parquet", "digits/1", "digits/2") == 0
    assert "Mean of 2 models" in capsys.readouterr().out
    members = [logits(store.registry.predictions(store.registry.resolve(f"digits/{n}"))) for n in (1, 2)]
    assert_same_logits(logits("mean.parquet"), {key: (members[0][key] + members[1][key]) / 2 for key in members[0]})
    assert store.pct("gate", "mean.parquet", "--baseline", "digits/1", "--policy", store.policy("lenient")) in (0, 3)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("losses", set(PRESETS)),
        ("metrics", set(METRICS)),
        ("datasets", {"digits"}),
        ("models", {"small_resnet8"}),
        ("distances", {"ldi", "sum"}),
        ("focuses", {"old_correct"}),
    ],
)
def test_list_shows_each_name_once_with_a_summary(capsys, kind, expected):
    from pct_mlops.cli import main

    assert main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert expected <= set(names)
    assert len(names) == len(set(names))
    assert all(len(line.split()) > 1 for line in lines), "a line without a summary"


def test_history_and_rollback(store, capsys):
    assert store.pct("rollback", NAME, "--reason", "too early") == 2
    assert "no previous production to go back to" in capsys.readouterr().err
    assert store.pct("gate", "digits/2", "--policy", store.policy("lenient"), "--promote") == 0
    assert store.pct("rollback", NAME, "--reason", "night images") == 0
    assert "digits/1 is production again (it was digits/2)" in capsys.readouterr().out
    assert store.registry.aliases(NAME)["production"] == 1
    assert [move.verdict for move in history(store.registry, NAME)] == ["BOOTSTRAP", "PASS", "ROLLBACK"]
    assert store.pct("history", NAME) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("BOOTSTRAP", "PASS", "ROLLBACK", "night images"))
    assert len(text.splitlines()) == 4


def test_history_of_a_model_that_never_moved(store, capsys):
    store.registry.client.create_registered_model("young")
    assert store.pct("history", "young") == 0
    assert "has never moved" in capsys.readouterr().out
    assert store.pct("history", "yung") == 2
    assert "no model 'yung' (it has young" in capsys.readouterr().err
    assert store.pct("rollback", NAME) == 2
    assert "--reason" in capsys.readouterr().err
