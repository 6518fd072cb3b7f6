"""`pct advise NAME` beside a registry: what its versions changed and flipped, and what a recipe would change."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from tiny_store import NAME, RECIPE

from pct_mlops.errors import RegistryNotFoundError, RegistryUnavailableError
from pct_mlops.predictions import Predictions
from pct_mlops.workflows.advice import advise as advising
from pct_mlops.workflows.advice import recipe_facts
from pct_mlops.workflows.advice.advise import advise
from pct_mlops.workflows.advice.evidence_table import read_evidence
from pct_mlops.workflows.advice.model_facts import FactsReader

MADE_UP = read_evidence(Path(__file__).parent / "made_up_evidence.csv")


def ask(store, *words, **options):
    return advise(NAME, *words, evidence=MADE_UP, tracking_uri=store.uri, **options)


def recipe_of(store, **changed):
    path = store.folder / "next.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changed}))
    return path


def make_version(store, files, tags=None):
    """Register a version that is made of a folder alone, as another program's."""
    folder = Path(tempfile.mkdtemp(dir=store.folder))
    for source, name in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / name)
    made = store.registry.client.create_model_version(NAME, str(folder), tags=tags or {})
    return int(made.version)


def other_labels(table, target, count, keep=None):
    """Write the first `keep` rows of a table, of which the first `count` have another label."""
    info, columns = Predictions.load(table).info, pq.read_table(table).slice(0, keep).to_pydict()
    labels = [(label + 1) % 10 if place < count else label for place, label in enumerate(columns["label"])]
    about = {"class_names": info.class_names, "split": info.split, "sample_ids": columns["sample_id"]}
    return Predictions.from_arrays(labels=labels, predictions=columns["prediction"], **about).save(target).path


def test_each_version_beside_production_has_a_row(shared_store):
    found = ask(shared_store)
    (row,) = found.updates.rows
    table, old = (
        Predictions.load(shared_store.registry.predictions(shared_store.registry.get(NAME, n))) for n in (2, 1)
    )
    assert (row.version, row.against, row.loss, row.start, row.verdict) == (2, 1, "ldi", "fresh", "not judged")
    assert (row.nfr, row.accuracy) == pytest.approx((table.nfr(old), table.accuracy()))
    assert row.accuracy_change == pytest.approx(table.accuracy() - old.accuracy())
    assert [change.kind for change in row.changes] == ["retraining"]
    assert (found.production, found.subject, found.command) == (1, "the candidate, version 2,", "")
    assert "no rows on this (retraining)" in found.notes[-1]
    assert found.from_history == "This model has no measured update of this kind (retraining) yet."


def test_a_judged_version_shows_the_gate_and_still_does_once_in_production(store):
    assert store.pct("gate", f"{NAME}/2", "--policy", store.policy("lenient"), "--promote") == 0
    found = ask(store)
    (row,) = found.updates.rows
    assert (row.against, row.verdict, row.aliases) == (1, "PASS", ("candidate", "production"))
    assert row.nfr == pytest.approx(float(store.registry.get(NAME, 2).tags["gate.nfr"]))
    assert found.changes == ()
    assert found.notes == (
        f"{NAME} has no candidate beside production: give the recipe of the next update with --recipe FILE.",
    )
    told = ask(store, recipe_file=recipe_of(store)).from_history
    assert told.startswith("One update of this kind, with NFR: version 2 (ldi) ")
    assert told.endswith("PASS.")


def test_a_recipe_is_told_and_gets_a_line_to_type(shared_store):
    file = recipe_of(
        shared_store, objective={"loss": "kl", "weight": 2.0}, data={**RECIPE["data"], "train_fraction": 1.0}
    )
    found = ask(shared_store, recipe_file=file, overrides=["data.classes=[zero, one]"])
    assert [change.kind for change in found.changes] == ["class growth"]
    assert found.command == (
        f"pct train {file} --set 'data.classes=[zero, one]' --set objective.loss=update --set objective.weight=null"
    )
    larger = ask(shared_store, recipe_file=file, overrides=["model.name=small_resnet14"])
    (change,) = larger.changes
    assert change.kind == "architecture growth"
    assert change.detail.startswith("small_resnet8 width=8 to small_resnet14 width=8 (")
    assert larger.recommendation is None
    assert larger.notes[-1].startswith("Nothing that was measured for architecture growth keeps accuracy")
    smaller = ask(shared_store, recipe_file=file, overrides=["model.kwargs={width: 4}"])
    assert smaller.changes[0].kind == "retraining"
    assert "which is no larger" in smaller.changes[0].detail


def test_a_size_that_is_not_stored_here_is_counted_from_the_record(shared_store, monkeypatch):
    words = {"recipe_file": recipe_of(shared_store), "overrides": ["model.kwargs={width: 16}"]}
    (change,) = ask(shared_store, **words).changes
    assert change.kind == "architecture growth"
    monkeypatch.setattr(FactsReader, "_num_weights", lambda self, version: None)
    assert ask(shared_store, **words).changes == (change,)
    # The first layer depends on the channels of the images, which the record of production tells.
    shapes = []
    monkeypatch.setattr(recipe_facts, "_num_weights", lambda record, shape, old: shapes.append(shape))
    (unknown,) = ask(shared_store, **words).changes
    assert (unknown.kind, shapes) == ("retraining", [[1, 8, 8], [1, 8, 8]])
    monkeypatch.setattr(
        FactsReader, "record", lambda self, version: {"name": "evil.code:build", "image_shape": [1, 8, 8]}
    )
    ask(shared_store, **words)
    assert len(shapes) == 3, "code that a record names is not run"


def test_more_data_in_production_of_less(store):
    version = store.registry.get(NAME, 1)
    path = store.registry.download(version, "recipe.yaml")
    stored = yaml.safe_load(path.read_text())
    stored["data"]["train_fraction"] = 0.5
    path.write_text(yaml.safe_dump(stored))
    found = ask(store, recipe_file=recipe_of(store, model={**RECIPE["model"], "init": "random"}))
    assert [change.detail for change in found.changes] == ["data.train_fraction 0.5 to 1.0"]
    assert found.command.endswith("next.yaml --set objective.loss=update --set objective.mix=0.3")
    assert found.notes[-1] == "The recipe sets model.init=random, and no such start was measured."
    other = recipe_of(store, model_name="boots")
    assert ask(store, recipe_file=other).command.endswith(f"--model-name {NAME}")


def test_own_data_are_read_for_what_the_recipe_does_not_say(store):
    registry = store.registry
    version = registry.get(NAME, 1)
    stored = registry.download(version, "recipe.yaml")
    content = yaml.safe_load(stored.read_text())
    content["data"]["root"] = str(store.folder)
    (store.folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    files = {
        store.folder / "recipe.yaml": "recipe.yaml",
        registry.download(version, "architecture.json"): "architecture.json",
    }
    fewer = other_labels(registry.predictions(version, "val"), store.folder / "val.parquet", 3, keep=50)
    number = make_version(store, {**files, fewer: "predictions/val.parquet"})
    registry.client.set_registered_model_alias(NAME, "production", str(number))
    file = recipe_of(store, data={**RECIPE["data"], "root": str(store.folder)})
    assert [(change.kind, change.detail) for change in ask(store, recipe_file=file).changes] == [
        ("label cleaning", "3 examples have another label"),
        ("data growth", "50 to 120 examples on val"),
    ]
    found = ask(store, recipe_file=file, overrides=["data.name=image_folder", f"data.root={store.folder}/nowhere"])
    assert found.notes[0].startswith("The recipe's data cannot be read, so its keys alone were compared: ")
    assert found.changes[0].kind == "retraining"


def test_foreign_versions_have_rows_from_their_tables(store):
    table = store.registry.predictions(store.registry.get(NAME, 2))
    number = make_version(store, {table: "predictions/test.parquet"})
    cleaned = other_labels(table, store.folder / "cleaned.parquet", 7)
    make_version(store, {cleaned: "predictions/test.parquet"})
    relabelled, row, trained = ask(store).updates.rows
    assert (row.version, row.against, row.loss, row.start) == (number, 1, "", "")
    assert [change.kind for change in row.changes] == ["not recorded"]
    assert row.nfr == pytest.approx(trained.nfr)
    (change,) = relabelled.changes
    assert (change.kind, change.detail) == ("label cleaning", "7 examples have another label")
    assert relabelled.nfr is None
    assert "The tables are not comparable: 7 examples with another label" in relabelled.note
    store.registry.client.set_registered_model_alias(NAME, "production", str(number))
    found = ask(store, recipe_file=recipe_of(store))
    assert found.notes[0] == f"models:/{NAME}/{number} carries no recipe, so only classes and labels can be compared."


def test_damaged_and_missing_parts_are_a_row_without_numbers(store):
    registry = store.registry
    client = registry.client
    # Tables lost, files damaged, and the run deleted.
    version = registry.get(NAME, 2)
    folder = registry.files(version).folder()
    (folder / "architecture.json").write_text("{")
    (folder / "recipe.yaml").write_text("- no mapping")
    (folder / "model.safetensors").write_bytes(b"short")
    shutil.rmtree(folder / "predictions")
    client.delete_run(version.run_id)
    row = ask(store).updates.rows[0]
    assert [change.kind for change in row.changes] == ["not recorded"]
    assert (row.nfr, row.note) == (None, f"models:/{NAME}/2 has no predictions on test.")
    shutil.rmtree(folder)
    assert ask(store).updates.rows[0].nfr is None
    client.delete_registered_model_alias(NAME, "candidate")
    client.delete_model_version(NAME, "1")
    found = ask(store)
    assert found.updates.rows[0].changes[0].detail == "version 1 was deleted"
    assert found.notes[-1].startswith(f"Nothing is in production of {NAME}")


def test_a_history_that_was_changed_by_hand_is_a_sentence(store):
    client = store.registry.client
    (key,) = [key for key in client.get_registered_model(NAME).tags if key.startswith("pct.history.")]
    client.set_registered_model_tag(NAME, key, "nothing")
    found = ask(store)
    assert found.notes[0].startswith("The moves of production cannot be read: The tag pct.history.")
    assert [row.against for row in found.updates.rows] == [1], "production's alias tells"


def test_without_production_a_sentence_says_how_to_make_it(store):
    store.without_production()
    found = ask(store)
    assert found.updates.rows == ()
    assert f"'pct gate {NAME}@candidate --policy FILE --promote' makes a first baseline" in found.notes[-1]


def test_an_unknown_model_and_no_registry_are_errors(shared_store, tmp_path):
    with pytest.raises(RegistryNotFoundError, match=f"has no model 'digit' .it has {NAME}"):
        advise("digit", evidence=[], tracking_uri=shared_store.uri)
    with pytest.raises(RegistryUnavailableError):
        advise(NAME, evidence=[], tracking_uri=f"sqlite:///{tmp_path / 'none.db'}")


def test_the_command_shows_it_within_a_screen_and_writes_documents(shared_store, capsys, monkeypatch):
    monkeypatch.setattr(advising, "read_evidence", lambda: MADE_UP)
    monkeypatch.setenv("COLUMNS", "80")
    file, report = recipe_of(shared_store), shared_store.folder / "advice.json"
    words = ["--recipe", file, "--set", "data.classes=[zero, one]", "--json", report, "--markdown", f"{report}.md"]
    assert shared_store.pct("advise", *words, "--tracking-uri", shared_store.uri) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Change   class growth (10 to 2 classes: one, zero), by ")
    assert lines[-1].split()[:5] == ["1", "to", "2", "retraining", "ldi"]
    content = json.loads(report.read_text())
    assert content["recommendation"]["words"] == ["objective.loss=update"]
    assert (content["model"], content["production"], content["num_updates"]) == (NAME, 1, 1)
    assert content["updates"][0]["changes"][0]["kind"] == "retraining"
    assert "Train: `pct train" in Path(f"{report}.md").read_text()
    assert shared_store.pct("advise", NAME, "--set", "optim.lr=1") == 2
    assert "--set changes a recipe: give it with --recipe FILE." in capsys.readouterr().err
