"""What a version carries, how it is named, and what is said when it is not there."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tiny_store import NAME, RECIPE

from pct_mlops.config import Recipe
from pct_mlops.errors import ConfigError, RegistryError, RegistryNotFoundError, RegistryUnavailableError
from pct_mlops.predictions import Predictions
from pct_mlops.registry import Registry, TrainingRun, is_reference, run_file


def files_of(store, version):
    client, model = store.registry.client, store.registry.model_id(version)
    found, folders = set(), [None]
    while folders:
        for item in client.list_logged_model_artifacts(model, folders.pop()):
            folders += [item.path] if item.is_dir else []
            found |= set() if item.is_dir else {item.path}
    return found


@pytest.fixture
def versions(shared_store):
    return {version.version: version for version in shared_store.registry.versions(NAME)}


def test_a_version_carries_everything_a_client_needs(shared_store, versions):
    for version in versions.values():
        files = files_of(shared_store, version)
        needed = {"MLmodel", "architecture.json", "model.safetensors", "recipe.yaml"}
        assert needed | {"predictions/val.parquet", "predictions/test.parquet"} <= files
        assert any(name.endswith(".pt2") for name in files), "the served model is an exported graph"
        assert not [name for name in files if name.endswith((".pkl", ".pth", ".pickle"))], "nothing to unpickle"


def test_a_download_that_was_cut_off_is_not_taken_for_the_file(shared_store, versions, monkeypatch):
    """Nor is one that another thread is waiting for."""
    registry, version, fetch = shared_store.registry, versions[1], mlflow.artifacts.download_artifacts
    images = registry.client.list_artifacts(version.run_id, "images")[0].path
    asked = (lambda: registry.predictions(version), lambda: run_file(registry, version.run_id, images))
    whole = [ask().read_bytes() for ask in asked]

    def cut_off(*words, dst_path=None, **given):
        path = Path(fetch(*words, dst_path=dst_path, **given))
        path.write_bytes(path.read_bytes()[:100])
        raise OSError("connection reset")

    for module in ("artifacts", "nested"):
        monkeypatch.setattr(f"pct_mlops.registry.{module}.local_folder", lambda location: None)
    for ask, content in zip(asked, whole, strict=True):
        with monkeypatch.context() as broken:
            broken.setattr("mlflow.artifacts.download_artifacts", cut_off)
            with pytest.raises(RegistryError, match=r"Reading .*parquet.* failed \(connection reset\)"):
                ask()
        assert ask().read_bytes() == content
        assert ask() == ask(), "and it is copied once"


def test_its_recipe_trains_the_same_again(shared_store, versions):
    recipe = Recipe.read(shared_store.registry.download(versions[2], "recipe.yaml"))
    given = ["objective.loss=ldi", "seed.model=1", "optim.epochs=1"]
    assert recipe == Recipe.read(shared_store.recipe, given)


def test_its_architecture_rebuilds_the_model(shared_store, versions):
    record = json.loads(shared_store.registry.download(versions[1], "architecture.json").read_text())
    assert (record["name"], record["kwargs"]) == (RECIPE["model"]["name"], RECIPE["model"]["kwargs"])
    assert len(record["class_names"]) == 10


@pytest.mark.parametrize("split", ["val", "test"])
def test_predictions_of_both_splits_are_comparable(shared_store, versions, split):
    old, new = (Predictions.load(shared_store.registry.predictions(versions[number], split)) for number in (1, 2))
    assert old.info.split == new.info.split == split
    assert old.info.digest == new.info.digest
    assert "logits" in new.info.columns
    new.verify()
    assert 0 <= new.nfr(old) <= 1
    assert float(versions[2].tags[f"pct.{split}/accuracy"]) == pytest.approx(new.accuracy(), abs=1e-6)


def test_aliases_and_tags(versions):
    assert {number: version.aliases for number, version in versions.items()} == {
        1: ("production",),
        2: ("candidate",),
    }
    assert versions[2].tags["pct.loss"] == "ldi"
    assert versions[2].tags["pct.teacher"] == "models:/digits/1"
    assert versions[1].tags["pct.teacher"] == ""


def test_checkpoints_are_logged_models_with_their_step(shared_store, versions):
    client = shared_store.registry.client
    run = client.get_run(versions[1].run_id)
    models = client.search_logged_models([run.info.experiment_id], filter_string=f"source_run_id='{run.info.run_id}'")
    checkpoints = sorted((m for m in models if m.model_type == "checkpoint"), key=lambda m: int(m.tags["step"]))
    steps = int(run.data.params["cfg.optim.epochs"]) * [1]
    assert len(checkpoints) == len(steps)
    per_epoch = int(checkpoints[0].tags["step"])
    assert [int(model.tags["step"]) for model in checkpoints] == [per_epoch, 2 * per_epoch]
    for model in checkpoints:
        names = {item.path for item in client.list_logged_model_artifacts(model.model_id)}
        assert names >= {"architecture.json", "model.safetensors"}
        (metric,) = [item for item in model.metrics if item.key == "val/accuracy"]
        assert metric.step == int(model.tags["step"])


def test_parameters_and_metrics_of_the_run(shared_store, versions):
    client = shared_store.registry.client
    run = client.get_run(versions[2].run_id)
    assert run.info.status == "FINISHED"
    expected = {
        "cfg.objective.loss": "ldi",
        "cfg.optim.lr": "0.1",
        "cfg.model.kwargs.width": "8",
        "cfg.seed.model": "1",
    }
    assert run.data.params.items() >= expected.items()
    assert all(key.startswith("cfg.") for key in run.data.params)
    keys = {"train/loss", "train/lr", "val/accuracy", "val/nfr", "val/pfr", "test/accuracy", "test/nfr"}
    assert keys <= set(run.data.metrics)
    curve = client.get_metric_history(run.info.run_id, "train/loss")
    assert len(curve) > 10
    assert sorted(point.step for point in curve) == list(range(1, len(curve) + 1)), "one point an optimizer step"


def test_thumbnails_are_stored_once_for_all_versions(shared_store, versions):
    registry = shared_store.registry
    table = Predictions.load(registry.predictions(versions[2]))
    images = pq.read_table(registry.images(NAME, table.info.digest))
    ids = set(pq.read_table(registry.predictions(versions[2]), columns=["sample_id"])["sample_id"].to_pylist())
    assert set(images["sample_id"].to_pylist()) == ids
    assert Image.open(io.BytesIO(images["png"][0].as_py())).size == (8, 8)
    stored = [
        item.path for version in versions.values() for item in registry.client.list_artifacts(version.run_id, "images")
    ]
    assert len(stored) == 1
    assert registry.images(NAME, "0" * 64) is None


@pytest.mark.parametrize("reference", ["digits@candidate", "digits/2", "models:/digits@candidate", "models:/digits/2"])
def test_references(shared_store, reference):
    assert is_reference(reference)
    assert shared_store.registry.resolve(reference).uri == "models:/digits/2"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("digits@produktion", "(it has @production, @candidate): write one"),
        ("digits/7", "no version 7"),
        ("digist@production", "no model 'digist' (it has digits)"),
        ("digist/1", "no model 'digist'"),
        ("digits", "write name@alias"),
        ("digits@", "write name@alias"),
        ("digits/2\n", "write name@alias"),
        ("digits/\u0662", "write name@alias"),
        ("digits/" + "2" * 5000, "write name@alias"),
        ("models:/m-0123456789abcdef0123456789abcdef", "write name@alias"),
    ],
)
def test_what_is_not_there_is_said(shared_store, reference, says):
    # A word that names no version is the user's; a version that is not there is the registry's.
    with pytest.raises(ConfigError if says.startswith("write") else RegistryNotFoundError) as caught:
        shared_store.registry.resolve(reference)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [f"{NAME}@production", f"{NAME}/1", f"models:/{NAME}/1"])
def test_a_version_in_the_place_of_a_model_is_said(shared_store, name):
    with pytest.raises(ConfigError, match="names a version, and a model is asked for: write digits"):
        shared_store.registry.registered(name)


def test_find_is_none_where_resolve_raises(shared_store):
    assert shared_store.registry.find("nobody", "production") is None
    assert shared_store.registry.find(NAME, "previous") is None
    assert shared_store.registry.find(NAME, "production").version == 1


def test_models_are_listed(shared_store):
    assert shared_store.registry.models() == [NAME]


def test_a_reading_verb_makes_no_store(empty):
    with pytest.raises(RegistryUnavailableError, match="There is no registry at sqlite"):
        Registry(empty.uri)
    assert not (empty.folder / "mlflow.db").exists()


def test_a_copied_version_leads_to_its_files(store):
    client = store.registry.client
    client.copy_model_version("models:/digits/2", "released")
    client.copy_model_version("models:/released/1", "archive")  # a copy of a copy
    for name in ("released", "archive"):
        copy, original = store.registry.resolve(f"{name}/1"), store.registry.resolve("digits/2")
        assert store.registry.predictions(copy).read_bytes() == store.registry.predictions(original).read_bytes()
        assert store.registry.download(copy, "model.safetensors") is not None
        assert store.registry.model_id(copy) == store.registry.model_id(original)


def test_versions_of_others_have_files_whatever_their_source(store, tmp_path):
    registry, client = store.registry, store.registry.client
    run = client.get_run(registry.resolve("digits/1").run_id)
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    client.log_artifacts(run.info.run_id, str(folder), "theirs")
    client.create_registered_model("foreign")
    sources = [f"{run.info.artifact_uri}/theirs", f"runs:/{run.info.run_id}/theirs", str(folder)]
    for number, source in enumerate(sources, start=1):
        # The last one names no run, as one that a program made of a plain path does not.
        client.create_model_version("foreign", source, run.info.run_id if number < 3 else None)
        version = registry.resolve(f"foreign/{number}")
        assert registry.download(version, "MLmodel").read_text() == "flavors: {}"
        assert registry.download(version, "predictions/test.parquet") is None
        assert registry.files(version).paths() == ["MLmodel"]
        with pytest.raises(RegistryNotFoundError, match=rf"bring your own with 'pct attach foreign/{number} FILE'"):
            registry.predictions(version)
    assert registry.have_same_files(registry.resolve("foreign/1"), registry.resolve("foreign/2"))
    client.copy_model_version("models:/foreign/2", "copied")
    assert registry.have_same_files(registry.resolve("copied/1"), registry.resolve("foreign/2"))
    with pytest.raises(RegistryError, match="is no version of a logged model"):
        registry.model_id(registry.resolve("foreign/1"))


def test_a_version_without_predictions_says_how_to_make_them(store):
    client = store.registry.client
    made = client.create_logged_model("1", name="bare")
    client.finalize_logged_model(made.model_id, "READY")
    client.create_registered_model("bare")
    client.create_model_version("bare", f"models:/{made.model_id}")
    with pytest.raises(RegistryNotFoundError, match="make them with 'pct score bare/1 --split test'"):
        store.registry.predictions(store.registry.resolve("bare/1"))


def test_a_model_without_room_for_its_export_is_refused_before_torch_ends_the_process(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=9_000_000))
    run = TrainingRun(None, "", "")
    with pytest.raises(RegistryError, match=r"has 9\.0 MB free, and registering .* takes 10\.0 MB .* set TMPDIR"):
        run.register("digits", torch.nn.Linear(1000, 1000, bias=False), None, None, step=0, tags={})
