"""Own parts through training and back out of a registry, and code that only a registry names: never imported."""

from __future__ import annotations

import json
import sys

import pytest
import yaml
from test_plugins_found import OFFERED, PARTS
from tiny_store import NAME

from pct_mlops.config import PctError, Recipe
from pct_mlops.models import Architecture, build_model, load_classifier, save_classifier
from pct_mlops.workflows.training.train import train

OWN = {
    "model_name": "own",
    "data": {"name": "parts_gap:load", "augment": {"crop": "none", "flip": False}, "num_workers": 0},
    "model": {"name": "parts_gap:build", "kwargs": {"num_features": 6}},
    "optim": {"epochs": 1, "lr": 0.1, "global_batch_size": 27},
    "engine": {"cpu": True},
}
BUILDER, GAP = "model.name=parts_gap:build", "objective.distance={name: parts_gap:Gap}"
# Its import, and its call, leave a file behind.
PAYLOAD = """
import pathlib
pathlib.Path("payload.was.imported").touch()
def run(*given):
    pathlib.Path("payload.was.run").touch()
"""
REFUSED = "names the code 'parts_payload:run', and nothing is imported because a stored file says so: if you trust it"


@pytest.fixture
def own(empty, install):
    """A registry whose production was trained with parts of the user's own, by module:callable."""
    install("my-parts", parts_gap=PARTS)
    (empty.folder / "own.yaml").write_text(yaml.safe_dump(OWN))
    train(Recipe.read("own.yaml"), tracking_uri=empty.uri)
    assert empty.pct("gate", "own@candidate", "--policy", empty.policy("lenient"), "--promote") == 0
    return empty


def test_own_parts_train_and_come_back_as_teacher(own, capsys, monkeypatch):
    parts = [GAP, "objective.focus={name: parts_gap:Sure}", "data.val_fraction=0.2"]
    version = train(Recipe.read("own.yaml", parts), tracking_uri=own.uri)
    assert version.tags["pct.plugins"] == (
        "dataset parts_gap:load: parts_gap:load (my-parts 1.2); "
        "architecture parts_gap:build: parts_gap:build (my-parts 1.2); "
        "distance parts_gap:Gap: parts_gap:Gap (my-parts 1.2); focus parts_gap:Sure: parts_gap:Sure (my-parts 1.2)"
    )
    # A loss on features, from a warm start of the own network.
    train(Recipe.read("own.yaml", ["objective.loss=cna", "model.init=production"]), tracking_uri=own.uri)
    # Another architecture against it: the recipe has to name what the record names.
    other = ["objective.loss=ldi", "model={name: small_resnet8, kwargs: {width: 4}}"]
    with pytest.raises(PctError, match=r"models:/own/1 names the code 'parts_gap:build'.*teacher\.refs"):
        train(Recipe.read("own.yaml", other), tracking_uri=own.uri)
    named = [*other, "teacher.refs=[{ref: production, arch: 'parts_gap:build'}]"]
    train(Recipe.read("own.yaml", named), tracking_uri=own.uri)
    # The same through the commands that read the recipe of a version.
    assert own.pct("score", "own/1", "--split", "val") == 2
    assert "The recipe of models:/own/1 names the code 'parts_gap:load'" in capsys.readouterr().err
    assert own.pct("score", "own/1", "--split", "val", "--set", "data.name=parts_gap:load") == 2
    assert "The record of models:/own/1 names the code 'parts_gap:build'" in capsys.readouterr().err
    assert own.pct("score", "own/1", "--split", "val", "--set", "data.name=parts_gap:load", "--set", BUILDER) == 0
    assert own.pct("score", "own/1", "--split", "val", "--recipe", "own.yaml") == 0
    # And where the package is not there.
    del sys.modules["parts_gap"]
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-my-parts" not in entry])
    assert own.pct("score", "own/1", "--set", "data.name=digits", "--set", BUILDER, "--output", "x.parquet") == 2
    error = capsys.readouterr().err
    assert "The architecture 'parts_gap:build' cannot be imported (there is no module parts_gap)" in error
    assert "pip install -e" in error


def test_entry_points_need_not_be_named_again(empty, install):
    install("my-parts", OFFERED, parts_gap=PARTS)
    names = {"data": {**OWN["data"], "name": "noise"}, "model": {**OWN["model"], "name": "one_conv"}}
    (empty.folder / "own.yaml").write_text(yaml.safe_dump({**OWN, **names}))
    train(Recipe.read("own.yaml"), tracking_uri=empty.uri)
    assert empty.pct("score", "own/1", "--split", "train", "--output", "train.parquet") == 0
    assert empty.pct("gate", "own@candidate", "--policy", empty.policy("lenient"), "--promote") == 0
    words = ["--loss", "gap", "--set", "model={name: small_resnet8, kwargs: {width: 4}}"]
    assert empty.pct("train", "own.yaml", *words) == 0
    version = empty.registry.resolve("own/2")
    assert version.tags["pct.plugins"].endswith("distance gap: parts_gap:Gap (my-parts 1.2)")
    # Another version of a part is another training.
    recipe = Recipe.read("own.yaml")
    before = inputs_digest(recipe)
    assert inputs_digest(recipe) == before
    install("my-parts", OFFERED, version="1.3", parts_gap=PARTS)
    assert inputs_digest(recipe) != before


def inputs_digest(recipe):
    from pct_mlops.engine import make_accelerator
    from pct_mlops.workflows.training.inputs import read_inputs

    return read_inputs(recipe, make_accelerator(recipe.engine)).digest


def never_imported(folder):
    assert not list(folder.glob("payload.*"))
    assert "parts_payload" not in sys.modules


def test_a_record_cannot_make_us_import_code(empty, install, tmp_path):
    install("payload", parts_payload=PAYLOAD)
    save_classifier(build_model(small("small_resnet8")), tmp_path / "saved")
    record = tmp_path / "saved" / "architecture.json"
    for name in ("parts_payload:run", "os:system", "builtins:exec"):
        record.write_text(json.dumps({**json.loads(record.read_text()), "name": name}))
        with pytest.raises(PctError, match=f"The record of .* names the code '{name}'"):
            load_classifier(tmp_path / "saved")
    never_imported(empty.folder)


def small(name):
    return Architecture(
        name=name, kwargs={"width": 4}, class_names=("a", "b"), image_shape=(1, 8, 8), mean=(0.5,), std=(0.2,)
    )


def poison(store, file, change):
    """Change a file in the artifacts of every version, as one could who may write to the artifact store."""
    for table in (store.folder / "mlruns").rglob("predictions/test.parquet"):
        table.unlink()  # so that there is something to recompute
    paths = list((store.folder / "mlruns").rglob(file))
    assert paths
    for path in paths:
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "words",
    [
        ("score", "digits/2", "--split", "val"),
        ("interpolate", "digits/1", "digits/2"),
        ("gate", "digits/2", "--policy", "lenient.yaml", "--recompute"),
        ("floor", "digits/1", "--seeds", "2"),
    ],
    ids=lambda words: words[0],
)
def test_a_stored_recipe_cannot_make_us_import_code(store, install, capsys, words):
    install("payload", parts_payload=PAYLOAD)
    poison(store, "recipe.yaml", lambda content: content["data"].update(name="parts_payload:run"))
    refused(store, words, capsys)


@pytest.mark.parametrize(
    "words",
    [
        ("train", "recipe.yaml", "--loss", "ldi"),
        ("train", "recipe.yaml", "--loss", "none", "--set", "model.init=production"),
        ("score", "digits/2", "--split", "val"),
        ("interpolate", "digits/1", "digits/2"),
        ("gate", "digits/2", "--policy", "lenient.yaml", "--recompute"),
    ],
    ids=lambda words: "-".join(words[:1] + words[3:4]),
)
def test_a_stored_record_cannot_make_us_import_code(store, install, capsys, words):
    install("payload", parts_payload=PAYLOAD)
    poison(store, "architecture.json", lambda content: content.update(name="parts_payload:run"))
    refused(store, words, capsys)


def refused(store, words, capsys):
    assert store.pct(*words) == 2
    said = " ".join("".join(capsys.readouterr()).split())  # the gate's page breaks lines
    assert REFUSED in said
    never_imported(store.folder)


def test_a_floor_trains_by_the_stored_objective_only_if_it_is_ours(store, install, capsys):
    install("payload", parts_payload=PAYLOAD)
    change = {"distance": {"name": "sum", "terms": [{"distance": {"name": "parts_payload:run"}}]}}
    poison(store, "recipe.yaml", lambda content: content["objective"].update(change))
    assert store.pct("floor", f"{NAME}/1", "--seeds", "2") == 2
    assert REFUSED in capsys.readouterr().err
    never_imported(store.folder)


def test_a_folder_that_someone_sent_is_no_word_of_ours(store, install, capsys):
    install("payload", parts_payload=PAYLOAD)
    folder = store.folder / "sent"
    save_classifier(build_model(small("small_resnet8")), folder)
    (folder / "recipe.yaml").write_text("model_name: x\ndata: {name: 'parts_payload:run'}\n")
    assert store.pct("score", folder, "--output", "x.parquet") == 2
    assert REFUSED in capsys.readouterr().err
    never_imported(store.folder)
