"""A sweep on the tiny store: nested runs, the table against numpy, and a second start that trains nothing."""

from __future__ import annotations

import csv
import gc
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tiny_store import NAME, heard

from pct_mlops.config import PctError, Recipe
from pct_mlops.data import load_data
from pct_mlops.registry import run_file
from pct_mlops.workflows.studies import trials
from pct_mlops.workflows.studies.methods_file import read_methods
from pct_mlops.workflows.studies.old_model import old_tables
from pct_mlops.workflows.studies.sweep import sweep

QUICK = ["optim.epochs=1", "data.train_fraction=0.2"]
METHODS = ["none", "ldi", "kl", "kl, no focus", "kl, shuffled focus"]
METRICS = ("accuracy", "nfr", "relative_nfr", "pfr")


@pytest.fixture(autouse=True)
def _quick_collections():
    """Memory is collected between trainings, which takes longer than they do with a whole test run in it."""
    gc.freeze()
    yield
    gc.unfreeze()


def start(store, losses="none,ldi,kl", overrides=(), **options):
    """Run a sweep in this process; returns its outcome and what was said."""
    torch.set_num_threads(1)
    options = {"seeds": 2, "tracking_uri": store.uri, "show": lambda table: None, **options}
    with heard() as said:
        return sweep(Recipe.read(store.recipe, [*QUICK, *overrides]), losses, **options), said


def runs_of(store):
    """Parents and their children: {run id: run} and {run id: run}."""
    client = store.registry.client
    experiments = [item.experiment_id for item in client.search_experiments()]
    found = client.search_runs(experiments, "tags.`pct.sweep` != ''")
    below = [client.search_runs(experiments, f"tags.`mlflow.parentRunId` = '{run.info.run_id}'") for run in found]
    return {run.info.run_id: run for run in found}, {run.info.run_id: run for runs in below for run in runs}


def columns(path):
    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in ("sample_id", "label", "prediction")}


def by_hand(old, new):
    """The four metrics of two tables, by numpy alone."""
    a, b = ({name: column[table["sample_id"].argsort()] for name, column in table.items()} for table in (old, new))
    assert (a["sample_id"] == b["sample_id"]).all()
    was, now = a["prediction"] == a["label"], b["prediction"] == b["label"]
    nfr = (was & ~now).mean()
    relative = nfr / (was.mean() * (1 - now.mean()))
    return {"accuracy": now.mean(), "nfr": nfr, "relative_nfr": relative, "pfr": (~was & now).mean()}


def test_a_sweep_and_its_second_start(store, tmp_path, monkeypatch):
    before = store.state()
    found, said = start(store, output=tmp_path / "out")
    assert [row.method for row in found.rows] == METHODS
    assert len([line for line in said if "/10 " in line]) == 10
    assert store.registry.versions(NAME)[0].version == 2, "nothing is registered"
    assert store.state()[:2] == before[:2], "no alias and no tag of the model"

    parents, children = runs_of(store)
    (parent,) = parents.values()
    assert len(children) == 10
    assert {run.info.status for run in (parent, *children.values())} == {"FINISHED"}
    assert {run.data.tags["pct.method"] for run in children.values()} == set(METHODS)
    assert {run.data.params["cfg.seed.model"] for run in children.values()} == {"1001", "1002"}
    assert {run.data.params["cfg.seed.data"] for run in children.values()} == {"0"}
    old = columns(store.registry.predictions(store.registry.resolve("digits/1")))
    values = {method: [] for method in METHODS}
    for run_id, run in children.items():
        expected = by_hand(old, columns(run_file(store.registry, run_id, "predictions/test.parquet")))
        values[run.data.tags["pct.method"]].append(expected)
        assert {key: run.data.metrics[f"test/{key}"] for key in METRICS} == pytest.approx(expected)
        on_val = columns(run_file(store.registry, run_id, "predictions/val.parquet"))
        assert run.data.metrics["val/accuracy"] == pytest.approx((on_val["prediction"] == on_val["label"]).mean())
        assert "val/nfr" in run.data.metrics
        assert "val/epoch_accuracy" in run.data.metrics
    assert store.registry.client.search_logged_models([parent.info.experiment_id], max_results=100)
    with (tmp_path / "out" / "methods.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == METHODS
    for row in found.rows:
        for key in METRICS:
            numbers = np.array([part[key] for part in values[row.method]])
            assert row.spreads[key].mean == pytest.approx(numbers.mean())
            assert row.spreads[key].std == pytest.approx(numbers.std(ddof=1))
            assert float(rows[row.method][f"{key}_mean"]) == row.spreads[key].mean
            assert float(rows[row.method][f"{key}_std"]) == row.spreads[key].std
    for name in ("methods.md", "methods.csv", "changes.csv", "trainings.csv", "pareto.html"):
        logged = run_file(store.registry, parent.info.run_id, f"sweep/{name}")
        assert logged.read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert "2 seeds (1001 to 1002)" in (tmp_path / "out" / "methods.md").read_text()
    share = old_tables(store.registry, store.registry.resolve("digits/1"))["val"].accuracy()
    even = next(run for run in children.values() if run.data.tags["pct.method"] == "kl, no focus")
    assert even.data.params["cfg.objective.focus.base"] == str(1.0 + 5.0 * share)

    monkeypatch.setattr(trials, "train_once", None)  # whoever trains now fails
    again, said = start(store)
    assert again.rows == found.rows
    assert len([line for line in said if "complete before" in line]) == 10
    later_parents, later_children = runs_of(store)
    assert (later_parents.keys(), later_children.keys()) == (parents.keys(), children.keys())


def test_more_seeds_join_the_same_parent_and_a_lost_run_is_filled_from_the_checkpoint(store):
    first, _ = start(store, "none", seeds=1)
    (child,) = runs_of(store)[1]
    store.registry.client.delete_run(child)
    both, said = start(store, "none", seeds=2)
    assert [("complete before" in line) for line in said[1:]] == [True, False], "no epoch was trained again"
    assert both.results[0] == replace(first.results[0], seconds=None), "how long all of it took is not known any more"
    assert both.rows[0].num_seeds == 2
    parents, children = runs_of(store)
    assert (len(parents), len(children)) == (1, 2)
    assert child not in children


def test_methods_of_a_file_in_pieces(store, tmp_path):
    """The first piece has time for one training. The second ends the rest, and measures two models deployed."""
    file = tmp_path / "methods.yaml"
    file.write_text("plain: [objective.loss=none]\nsoft: [objective.loss=kl]\nboth: {mean_of: plain}\n")
    words = QUICK
    named = read_methods(file, store.recipe, words)
    found, said = start(store, None, named=named, seeds=1, minutes=1e-6)
    assert [row.method for row in found.rows] == ["plain", "both"]
    assert found.num_left == 1
    assert "left for the next start" in said[-1]
    assert found.notes[-1] == "1 of 2 trainings are left: the same command continues."
    found, said = start(store, None, named=named, seeds=1, minutes=60)
    assert ([row.method for row in found.rows], found.num_left) == (["plain", "soft", "both"], 0)
    assert complete_before(said) == [True, False]

    (run,) = [run for run in runs_of(store)[1].values() if run.data.tags["pct.method"] == "plain"]
    new = logits_of(run_file(store.registry, run.info.run_id, "predictions/test.parquet"))
    old = logits_of(store.registry.predictions(store.registry.resolve("digits/1")))
    right = [label == np.argmax(new[key][1] + logits) for key, (label, logits) in old.items()]
    both = {result.method: result for result in found.results}["both"]
    assert both.metrics["accuracy"] == pytest.approx(np.mean(right))
    assert run.data.metrics["time/training_seconds"] > 0


def test_a_name_that_a_loss_has_too(store, tmp_path):
    file = tmp_path / "methods.yaml"
    file.write_text("none: [objective.loss=none]\n")
    with pytest.raises(PctError, match="--losses makes a row 'none' as well"):
        start(store, "none", named=read_methods(file, store.recipe, QUICK))


def logits_of(path):
    """id -> label and logits."""
    table = pq.read_table(path)
    rows = zip(*(table[name].to_pylist() for name in ("sample_id", "label", "logits")), strict=True)
    return {key: (label, np.array(logits)) for key, label, logits in rows}


def complete_before(said):
    """For each training in turn, whether it was found and not trained."""
    return ["complete before" in line for line in said[1:]]


def test_who_labels_anew_trains_anew(store, monkeypatch):
    from pct_mlops import data

    real = data.load_data

    def relabelled(*args):
        splits = real(*args)
        labels = splits.train.labels.clone()
        labels[:2] = (labels[:2] + 1) % 10
        return replace(splits, train=replace(splits.train, labels=labels))

    first, _ = start(store, "none", seeds=1)
    monkeypatch.setattr(data, "load_data", relabelled)
    other, said = start(store, "none", seeds=1)
    assert complete_before(said) == [False]
    assert other.results != first.results
    monkeypatch.setattr(data, "load_data", real)
    again, said = start(store, "none", seeds=1)
    assert complete_before(said) == [True]
    assert again.results == first.results


def test_another_weight_table_is_another_training_of_the_loss_that_reads_it(store):
    recipe = Recipe.read(store.recipe, QUICK)
    ids = load_data(recipe.data, 0).train.sample_ids
    table = store.folder / "weights.csv"
    asked = ["objective.loss=kl", "objective.focus={name: likelihood, table: weights.csv}"]
    for weight, before in ((1, [False, False]), (2, [True, False]), (1, [True, True])):
        table.write_text("sample_id,weight\n" + "".join(f"{name},{weight}\n" for name in ids))
        _, said = start(store, "none,kl", asked, seeds=1)
        assert complete_before(said) == before


def test_a_teacher_in_a_folder_is_known_by_its_weights(store):
    """And by these alone: the loss without a teacher is found again."""
    place, versions = store.folder / "teacher", store.registry
    for number, before in ((1, [False, False]), (2, [True, False]), (1, [True, True])):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name in ("architecture.json", "model.safetensors"):
            shutil.copy(versions.download(versions.get(NAME, number), name), place)
        _, said = start(store, "none,ldi", ["teacher.refs=[{ref: teacher}]"], seeds=1)
        assert complete_before(said) == before


def test_in_a_given_checkpoint_folder_members_serve_all_seeds(store):
    place = store.folder / "kept"
    _, said = start(store, "elodi", ["teacher.num_members=1", f"engine.checkpoint_dir={place}"])
    assert complete_before(said) == [False, False]
    assert len(list(place.glob("*/best"))) == 3, "one member, and the new models of two seeds"
    assert not (store.folder / "checkpoints").exists()


def test_a_training_that_fails_does_not_stop_the_others(store, monkeypatch):
    real = trials.train_once

    def fragile(recipe, session, *, run=None):
        if recipe.objective.loss == "ldi" and recipe.seed.model == 1002:
            raise PctError("Training diverged: lower optim.lr.")
        return real(recipe, session, run=run)

    monkeypatch.setattr(trials, "train_once", fragile)
    shown = []
    with pytest.raises(PctError) as caught:
        start(store, "ldi,none", show=shown.append)
    assert str(caught.value) == (
        "1 of 4 trainings failed (ldi, seed 1002), the first because: Training diverged: lower optim.lr; "
        "the same command does these again and keeps the rest."
    )
    assert len(shown) == 1, "the table of what did not fail"
    parents, children = runs_of(store)
    assert [run.info.status for run in parents.values()] == ["FAILED"]
    (broken,) = [run for run in children.values() if run.info.status == "FAILED"]
    assert broken.data.tags["pct.error"] == "Training diverged: lower optim.lr."

    monkeypatch.setattr(trials, "train_once", real)
    found, _ = start(store, "ldi,none")
    assert [row.num_seeds for row in found.rows] == [2, 2]
    parents, again = runs_of(store)
    assert again.keys() == children.keys(), "the same run is begun anew"
    assert {run.info.status for run in (*parents.values(), *again.values())} == {"FINISHED"}
    assert "pct.error" not in again[broken.info.run_id].data.tags


def test_a_training_that_was_killed_goes_on_where_it_stopped(store, monkeypatch):
    """Also when others were trained before it in the same process: a checkpoint holds its own model alone."""
    from pct_mlops.workflows.training.job import Training

    real, epochs = Training._report, []

    def stop(self, result):
        real(self, result)
        epochs.append((self.recipe.seed.model, result.epoch))
        if epochs[-1] == (1002, 0):
            raise KeyboardInterrupt

    monkeypatch.setattr(Training, "_report", stop)
    recipe = Recipe.read(store.recipe, [*QUICK, "optim.epochs=2"])
    silent = {"show": lambda table: None, "tracking_uri": store.uri, "seeds": 2}
    with pytest.raises(KeyboardInterrupt):
        sweep(recipe, "none", **silent)
    parents, children = runs_of(store)
    assert {run.info.status for run in parents.values()} == {"KILLED"}
    assert sorted(run.info.status for run in children.values()) == ["FINISHED", "KILLED"]
    monkeypatch.setattr(Training, "_report", lambda self, result: epochs.append((self.recipe.seed.model, result.epoch)))
    found = sweep(recipe, "none", **silent)
    assert epochs == [(1001, 0), (1001, 1), (1002, 0), (1002, 1)]
    assert found.rows[0].num_seeds == 2


def test_a_launcher_is_the_parent_and_children_follow_to_the_next(store, monkeypatch):
    client = store.registry.client
    place = client.get_experiment_by_name(NAME).experiment_id
    for _ in range(2):
        launched = client.create_run(place)
        monkeypatch.setenv("MLFLOW_RUN_ID", launched.info.run_id)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", place)
        start(store, "none", seeds=1)
        children = client.search_runs([place], f"tags.`mlflow.parentRunId` = '{launched.info.run_id}'")
        assert len(children) == 1
        assert client.get_run(launched.info.run_id).info.status == "FINISHED"
    assert len(client.search_runs([place], "tags.`pct.member` != ''")) == 1
