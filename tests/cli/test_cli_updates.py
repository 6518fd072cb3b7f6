"""`pct interpolate` and `pct update-predictions` over a registry and over files; what is wrong changes nothing."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from shadowing_modules import imported, write_modules
from tiny_store import NAME

from pct_mlops.config import Recipe
from pct_mlops.predictions import Predictions
from pct_mlops.workflows.runtime.distributed import relaunch


def table(store, number, split):
    return Predictions.load(store.registry.predictions(store.registry.get(NAME, number), split))


def refused(store, capsys, *words):
    before, files = store.state(), sorted(store.folder.iterdir())
    assert store.pct(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert "unexpected" not in captured.err
    assert store.state() == before
    assert sorted(store.folder.iterdir()) == files
    return captured.err.splitlines()[-1]


def test_the_curve_runs_from_new_to_old(shared_store, capsys):
    words = ("digits@candidate", "digits@production", "--grid", "0.3,0.9", "--json", "c.json", "--plot", "c.html")
    old, new = words[1], words[0]
    before = shared_store.state()
    assert shared_store.pct("interpolate", old, new, *words[2:]) == 0
    assert shared_store.state() == before
    report = json.loads((shared_store.folder / "c.json").read_text())
    assert (report["kind"], report["old_uri"], report["new_uri"]) == (
        "interpolation",
        "models:/digits/1",
        "models:/digits/2",
    )
    curve = report["curve"]
    assert [point["share"] for point in curve] == [0, 0.3, 0.9, 1]
    tables = {number: {split: table(shared_store, number, split) for split in ("val", "test")} for number in (1, 2)}
    assert curve[0]["accuracy"] == pytest.approx(tables[2]["val"].accuracy())
    assert curve[0]["nfr"] == pytest.approx(tables[2]["val"].nfr(tables[1]["val"]))
    assert curve[3]["accuracy"] == pytest.approx(tables[1]["val"].accuracy())
    assert curve[3]["nfr"] == 0
    allowed = [p for p in curve[:3] if p["accuracy"] >= curve[0]["accuracy"] - 0.002]
    assert report["chosen"] == min(allowed, key=lambda p: p["nfr"])
    metrics = report["test"]["new"]["metrics"]
    assert metrics["nfr"]["value"] == pytest.approx(tables[2]["test"].nfr(tables[1]["test"]))
    assert metrics["nfr"]["upper"] > metrics["nfr"]["value"]
    chosen = report["test"]["chosen"]
    assert chosen["old"]["digest"] == tables[1]["test"].info.digest
    text = capsys.readouterr().out
    assert "← chosen" in text
    assert all(f"{point['accuracy']:.2%}" in text for point in curve)
    html = (shared_store.folder / "c.html").read_text()
    assert html.startswith("<!DOCTYPE html>")
    assert "Plotly.newPlot" in html
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", html), "it opens without a network"


def test_old_is_an_answer_only_where_it_is_asked_for(shared_store, capsys):
    assert shared_store.pct("interpolate", "digits/1", "digits/2", "--grid", "1", "--json", "c.json") == 0
    assert json.loads((shared_store.folder / "c.json").read_text())["chosen"]["share"] == 1
    assert shared_store.pct("interpolate", "digits/1", "digits/2", "--grid", "0", "--json", "c.json") == 0
    assert json.loads((shared_store.folder / "c.json").read_text())["chosen"]["share"] == 0
    assert capsys.readouterr().err == ""


def test_a_registered_mix_is_a_version_like_any_other(store, capsys):
    words = ("interpolate", "digits/1", "digits/2", "--grid", "0.9", "--tolerance", "1", "--json", "c.json")
    assert store.pct(*words, "--register") == 0
    assert "Registered models:/digits/3 (0.9 of models:/digits/1) as digits@candidate." in capsys.readouterr().out
    version = store.registry.resolve("digits@candidate")
    assert version.version == 3
    tags = {key: version.tags[f"pct.update{key}"] for key in ("", ".a", ".old", ".new")}
    assert tags == {"": "interpolate", ".a": "0.9", ".old": "models:/digits/1", ".new": "models:/digits/2"}
    run = store.registry.client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert {key: run.data.params[f"cfg.update{key}"] for key in ("", ".a", ".old", ".new")} == tags
    assert run.data.metrics["curve/share"] == 1
    report = json.loads((store.folder / "c.json").read_text())
    test = table(store, 3, "test")
    assert test.accuracy() == pytest.approx(report["test"]["chosen"]["metrics"]["accuracy_new"]["value"])
    assert table(store, 3, "val").accuracy() == pytest.approx(report["chosen"]["accuracy"])
    assert Recipe.read(store.registry.download(version, "recipe.yaml")).model_name == NAME
    # It is scored and judged from its own files, with the statistics that were estimated for it.
    assert store.pct("score", "digits/3", "--output", "again.parquet") == 0
    logits = [np.array(pq.read_table(path)["logits"].to_pylist()) for path in ("again.parquet", test.path)]
    np.testing.assert_allclose(*logits, atol=1e-5)
    assert store.pct("gate", "digits@candidate", "--policy", store.policy("lenient"), "--promote") == 0


def test_what_is_registered_already_is_not_registered_again(store, capsys):
    before = store.state()
    assert store.pct("interpolate", "digits/1", "digits/2", "--grid", "0", "--register") == 2
    assert "The choice is models:/digits/2 itself, which is registered already" in capsys.readouterr().err
    assert store.state() == before


@pytest.mark.slow
def test_two_processes_make_the_same_curve_and_import_nothing_of_the_folder(shared_store, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(shared_store.folder)
    write_modules(shared_store.folder)
    words = ("interpolate", "digits/1", "digits/2", "--grid", "0.8", "--tracking-uri", shared_store.uri, "--json")
    assert relaunch([*words, "two.json"], 2) == 0
    assert imported(shared_store.folder) == []
    for path in (*shared_store.folder.glob("*.py"), shared_store.folder / "app"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert shared_store.pct(*words, "one.json") == 0
    one, two = (json.loads((shared_store.folder / f"{name}.json").read_text()) for name in ("one", "two"))
    for key in ("curve", "chosen", "tolerance", "old_uri", "new_uri"):
        assert one[key] == two[key]
    for name in ("new", "chosen"):
        assert one["test"][name]["counts"] == two["test"][name]["counts"]
        assert one["test"][name]["old"]["digest"] == two["test"][name]["old"]["digest"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("digits/1", "digits/2", "--grid", "0.5,1.5"), "from 0 to 1, and 1.5 is outside"),
        (("digits/1", "digits/2", "--grid", "-0.1"), "-0.1 is outside"),
        (("digits/1", "digits/2", "--grid", "nan"), "nan is outside"),
        (("digits/1", "digits/2", "--grid", "half"), "--grid 'half' is not a list of numbers"),
        (("digits/1", "digits/2", "--steps", "1"), "1 is not in the range"),
        (("digits/1", "digits/2", "--tolerance", "-1"), "-1.0 is not in the range"),
        (("digits/1", "digits/1"), "OLD and NEW are both models:/digits/1"),
        (("digits/1", "digits/9"), "digits has no version 9"),
        (("absent.parquet", "digits/2"), "absent.parquet"),
        (("digits/1", "digits/2", "--set", "data.name=digit"), "Unknown data set 'digit'"),
        (("digits/1", "digits/2", "--grid", "0", "--json", "/proc/no/c.json"), "cannot be written"),
        (("digits/1", "digits/2", "--grid", "0", "--plot", "/proc/no/c.html"), "cannot be written"),
    ],
)
def test_what_cannot_be_mixed(shared_store, capsys, words, says):
    before, files = shared_store.state(), sorted(shared_store.folder.iterdir())
    assert shared_store.pct("interpolate", *words) == 2
    error = capsys.readouterr().err
    assert says in error.splitlines()[-1]
    assert "unexpected" not in error
    assert shared_store.state() == before
    assert sorted(shared_store.folder.iterdir()) == files


def rewrite_architecture(store, number, change):
    """Store a version with another architecture record; returns the one that it had."""
    version = store.registry.get(NAME, number)
    before = json.loads(store.registry.download(version, "architecture.json").read_text())
    file = store.folder / "architecture.json"
    file.write_text(json.dumps({**before, **change(before)}))
    store.registry.client.log_model_artifact(store.registry.model_id(version), str(file))
    return before


def test_other_architectures_are_refused(store, capsys, monkeypatch):
    monkeypatch.setattr("pct_mlops.data.load_data", None)  # whoever reads data before this is said fails
    rewrite_architecture(store, 2, lambda record: {"kwargs": {**record["kwargs"], "stem_stride": 2}})
    line = refused(store, capsys, "interpolate", "digits/1", "digits/2")
    assert line == (
        "Error: Weights can be mixed between models of one architecture only, and these differ in kwargs "
        "(old {'width': 8}, new {'width': 8, 'stem_stride': 2}): train the new model from the old one's weights "
        "(model.init)."
    )


def test_what_a_warm_start_may_change_can_be_mixed(store, capsys):
    """Another dropout, and a normalisation that was rounded to float32 on its way through the weights."""

    def rounded(record):
        changed = {key: np.float32(record[key]).tolist() for key in ("mean", "std")}
        return {"dropout": 0.1, **changed}

    before = rewrite_architecture(store, 2, rounded)
    assert rounded(before)["mean"] != before["mean"]
    assert store.pct("interpolate", "digits/1", "digits/2", "--grid", "0.5", "--set", "data.ten_crop=true") == 0
    assert "← chosen" in capsys.readouterr().out


@pytest.mark.parametrize("strategy", ["mb", "mbme", "cr"])
def test_versions_are_updated_with_their_own_val_predictions(shared_store, capsys, strategy):
    words = ("--output", "u.parquet", "--strategy", strategy, "--json", "u.json")
    assert shared_store.pct("update-predictions", "digits/1", "digits/2", *words) == 0
    text = capsys.readouterr().out
    stored, new = table(shared_store, 1, "test"), table(shared_store, 2, "test")
    made = Predictions.load("u.parquet")
    made.verify()
    report = json.loads((shared_store.folder / "u.json").read_text())
    assert report["cost_ratio"] == (2.0 if strategy == "cr" else None)
    assert report["smoothing"] == 1 / len(made.info.class_names)
    for key, candidate in (("replaced", new), ("updated", made)):
        metrics = report[key]["metrics"]
        assert metrics["accuracy_new"]["value"] == pytest.approx(candidate.accuracy())
        assert metrics["nfr"]["value"] == pytest.approx(candidate.nfr(stored))
        assert metrics["pfr"]["value"] == pytest.approx(candidate.pfr(stored))
        assert f"{candidate.nfr(stored):.2%}" in text
    assert made.nfr(stored) < new.nfr(stored)
    assert made.info.model_name.endswith(f"({strategy} 2)" if strategy == "cr" else f"({strategy})")
    assert shared_store.pct("compare", "digits/1", "u.parquet") == 0


def test_files_are_updated_as_versions_are(shared_store, capsys):
    for number in (1, 2):
        for split in ("val", "test"):
            table(shared_store, number, split).save(f"{number}-{split}.parquet")
    rule = ("--strategy", "cr", "--cost-ratio", "3")
    assert shared_store.pct("update-predictions", "digits/1", "digits/2", *rule, "--output", "a.parquet") == 0
    vals = ("--stored-val", "1-val.parquet", "--new-val", "digits/2")
    assert (
        shared_store.pct(
            "update-predictions", "1-test.parquet", "2-test.parquet", *vals, *rule, "--output", "b.parquet"
        )
        == 0
    )
    assert capsys.readouterr().err == ""
    columns = ["sample_id", "prediction", "confidence", "label_confidence"]
    one, two = (pq.read_table(f"{name}.parquet", columns=columns) for name in "ab")
    assert one.equals(two)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("digits/1", "digits/2", "--strategy", "max"), "'max' is not one of"),
        (("digits/1", "digits/2", "--strategy", "cr", "--cost-ratio", "0"), "cost ratio is 0.0"),
        (("digits/1", "digits/2", "--strategy", "cr", "--cost-ratio", "-2"), "cost ratio is -2.0"),
        (("digits/1", "digits/2", "--strategy", "cr", "--cost-ratio", "two"), "it is 'two'"),
        (("digits/1", "digits/2", "--cost-ratio", "2"), "goes with --strategy cr"),
        (("digits/1", "digits/2", "--smoothing", "0"), "smoothing is 0.0"),
        (("digits/1", "absent.parquet", "--new-val", "digits/2"), "There is no prediction table absent.parquet"),
        (("digits/1", "absent.result", "--new-val", "digits/2"), "There is no result file absent.result"),
        (("digits/1", "own.parquet"), "give the model's predictions on labelled validation data with --new-val"),
        (("own.parquet", "digits/2"), "with --stored-val"),
        (("digits/1", "own.parquet", "--new-val", "digits/2"), "class names"),
        (("digits/1", "digits/2", "--new-val", "own.parquet"), "has other classes"),
        (("digits/1", "digits/2", "--stored-val", "test.parquet"), "the very examples that are to be updated"),
        (("digits/1", "val.parquet", "--new-val", "digits/2"), "not comparable"),
    ],
)
def test_what_cannot_be_updated(shared_store, capsys, words, says):
    names = {"class_names": ("a", "b"), "split": "test"}
    Predictions.from_arrays(["x", "y"], [0, 1], np.eye(2), **names).save("own.parquet")
    for split in ("val", "test"):
        table(shared_store, 1, split).save(f"{split}.parquet")
    before, files = shared_store.state(), sorted(shared_store.folder.iterdir())
    assert shared_store.pct("update-predictions", *words, "--output", "out.parquet") == 2
    error = capsys.readouterr().err
    assert says in error.splitlines()[-1]
    assert "unexpected" not in error
    assert shared_store.state() == before
    assert sorted(shared_store.folder.iterdir()) == files
