"""`mlflow.models.evaluate` with the evaluator pct, over served models: the metrics of `pct compare`, and flips."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_models_that_run_code import models_from_code
from tiny_store import NAME, RECIPE

from pct_mlops.config import PctError, Recipe
from pct_mlops.integrations.mlflow_evaluator import FlipEvaluator

ROOT = Path(__file__).resolve().parents[2]
CANDIDATE, BASELINE = f"models:/{NAME}@candidate", f"models:/{NAME}@production"
ENTRY = re.search(r'model_evaluator"\]\npct = "([\w.]+):(\w+)"', (ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def test_split():
    from pct_mlops.data import load_data

    recipe = Recipe.model_validate(RECIPE)
    return load_data(recipe.data, recipe.seed.data).test


@pytest.fixture(scope="module")
def images(test_split):
    """float32 [N, 1, 8, 8] in [0, 1], as the served model takes them."""
    return test_split.images(range(len(test_split))).numpy().astype(np.float32) / 255


@pytest.fixture(scope="module")
def evaluate(shared_store):
    import mlflow
    from mlflow.models.evaluation.evaluator_registry import _model_evaluation_registry

    # An environment that was set up before this entry point existed does not know it.
    _model_evaluation_registry.register("pct", FlipEvaluator)

    def run(data, targets, model=CANDIDATE, **config):
        # By its id: mlflow remembers the experiment of trainings in other stores, which ran in this process before.
        with mlflow.start_run(experiment_id="0"):
            return mlflow.models.evaluate(
                model,
                data,
                targets=targets,
                model_type="classifier",
                evaluators=["pct"],
                evaluator_config={"pct": {"baseline": BASELINE, **config}},
            )

    return run


@pytest.fixture(scope="module")
def result(evaluate, images, test_split):
    flat = images.reshape(len(images), -1)
    return evaluate(flat, test_split.labels.numpy(), sample_ids=test_split.sample_ids)


@pytest.fixture(scope="module")
def compared(shared_store):
    report = shared_store.folder / "compared.json"
    assert shared_store.pct("compare", f"{NAME}@production", f"{NAME}@candidate", "--json", report) == 0
    return json.loads(report.read_text())


def test_the_entry_point_is_the_evaluator():
    assert getattr(importlib.import_module(ENTRY[1]), ENTRY[2]) is FlipEvaluator


def test_metrics_are_those_of_pct_compare(result, compared):
    expected = {
        name + suffix: estimate[key]
        for name, estimate in compared["metrics"].items()
        for suffix, key in (("", "value"), ("_lower", "lower"), ("_upper", "upper"))
        if estimate[key] is not None
    }
    assert result.metrics == pytest.approx(expected, abs=1e-6)
    assert result.metrics["nfr"] > 0


def test_metrics_and_files_are_kept_with_the_run(result, compared, shared_store):
    client = shared_store.registry.client
    logged = client.get_run(result.run_id).data.metrics
    assert logged == pytest.approx(result.metrics)
    files = {item.path for item in client.list_artifacts(result.run_id, "pct")}
    assert files == {f"pct/{name}" for name in ("flips.parquet", "comparison.json", "old.parquet", "new.parquet")}


def test_the_flips_are_an_artifact(result, compared, tmp_path):
    flips = result.artifacts["flips"].content
    counts = compared["counts"]
    assert (flips["kind"] == "negative").sum() == counts["negative_flips"]
    assert (flips["kind"] == "positive").sum() == counts["positive_flips"]
    assert (flips["old_prediction"] != flips["new_prediction"]).all()
    assert set(flips["label_name"]) <= {part["name"] for part in compared["classes"]}
    result.save(tmp_path / "saved")
    from mlflow.models.evaluation import EvaluationResult

    again = EvaluationResult.load(tmp_path / "saved")
    pd.testing.assert_frame_equal(again.artifacts["flips"].content, flips)
    assert again.artifacts["comparison"].content["counts"] == counts


def test_a_data_frame_of_images_and_a_file_as_baseline(evaluate, images, test_split, shared_store, result):
    store = shared_store.registry
    stored = store.predictions(store.resolve(f"{NAME}@production"), "test")
    frame = pd.DataFrame({"image": [image.ravel().tolist() for image in images], "id": test_split.sample_ids})
    frame["digit"] = [str(label) for label in test_split.labels.tolist()]
    found = evaluate(frame, "digit", sample_ids="id", baseline=str(stored))
    assert found.metrics == pytest.approx(result.metrics, abs=1e-6)


def test_a_model_that_gives_probabilities_is_compared_with_one_that_gives_logits(evaluate, images, test_split, result):
    import mlflow

    logits = np.asarray(mlflow.pyfunc.load_model(CANDIDATE).predict(images), np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    flat, labels = images.reshape(len(images), -1), test_split.labels.numpy()
    given = {"sample_ids": test_split.sample_ids, "batch_size": len(images)}
    found = evaluate(flat, labels, model=lambda asked: shares[: len(asked)], **given)
    assert found.metrics == pytest.approx(result.metrics, abs=1e-4)


@pytest.fixture
def foreign_baseline(shared_store, test_split, tmp_path):
    """Predictions of production as another program would write them: numbers, under names of its own."""
    import pyarrow.parquet as pq

    store = shared_store.registry
    table = pq.read_table(store.predictions(store.resolve(f"{NAME}@production"), "test"))
    columns = {"key": "sample_id", "gold": "label", "said": "prediction"}
    frame = pd.DataFrame({name: table[column].to_pylist() for name, column in columns.items()})
    frame.to_csv(tmp_path / "production.csv", index=False)
    return {"baseline": str(tmp_path / "production.csv"), "sample_ids": test_split.sample_ids}


def test_a_baseline_file_of_another_program(evaluate, images, test_split, foreign_baseline, result):
    columns = {"sample_id": "key", "label": "gold", "prediction": "said"}
    flat, labels = images.reshape(len(images), -1), test_split.labels.numpy()
    found = evaluate(flat, labels, columns=columns, **foreign_baseline)
    shared = {name: value for name, value in result.metrics.items() if name.startswith(("nfr", "accuracy_"))}
    assert {name: found.metrics[name] for name in shared} == pytest.approx(shared)
    # The names that numbers stand for are those of the file, and by default those of the evaluated model too.
    names = [f"digit {number}" for number in range(10)]
    named = evaluate(flat, labels, columns=columns, classes=names, **foreign_baseline)
    assert {name: named.metrics[name] for name in shared} == pytest.approx(shared)
    assert set(named.artifacts["flips"].content["label_name"]) <= set(names)
    with pytest.raises(PctError, match="has no column sample_id"):
        evaluate(flat, labels, **foreign_baseline)


def test_a_baseline_that_knows_fewer_classes(evaluate, images, test_split, tmp_path):
    from pct_mlops.predictions import Predictions

    flat, labels = images.reshape(len(images), -1), test_split.labels.numpy()
    shares = np.random.default_rng(0).dirichlet(np.ones(7), len(labels))
    given = {"sample_ids": test_split.sample_ids, "class_names": [str(digit) for digit in range(10)]}
    about = {**given, "known_classes": given["class_names"][:7], "probabilities": shares}
    old = Predictions.from_arrays(labels, **about).save(tmp_path / "old.parquet")
    with pytest.raises(PctError, match="set class_names to these, in the order of its scores"):
        evaluate(flat, labels, baseline=str(old.path), sample_ids=given["sample_ids"])
    found = evaluate(flat, labels, baseline=str(old.path), **given)
    assert found.artifacts["comparison"].content["class_change"]["new"] == ["7", "8", "9"]
    was = shares.argmax(axis=1) == labels
    assert found.metrics["accuracy_old"] == pytest.approx(was.mean())


def test_a_baseline_that_runs_code_is_refused_and_not_loaded(evaluate, images, test_split, tmp_path):
    mark, folder = tmp_path / "mark", tmp_path / "model"
    models_from_code(folder, mark)
    few, labels = images[:4].reshape(4, -1), test_split.labels[:4].numpy()
    with pytest.raises(PctError, match=r"loading it runs whatever code .* set allow_code: True in evaluator_config"):
        evaluate(few, labels, baseline=folder.as_uri())
    assert not mark.exists()


def test_a_table_of_pixels_keeps_its_index(evaluate, images, test_split, result):
    frame = pd.DataFrame(images.reshape(len(images), -1), index=test_split.sample_ids)
    frame.columns = [f"pixel{i}" for i in range(frame.shape[1])]
    frame["digit"] = test_split.labels.numpy()
    found = evaluate(frame, "digit")
    assert found.metrics == pytest.approx(result.metrics, abs=1e-6)
    assert set(found.artifacts["flips"].content["sample_id"]) == set(result.artifacts["flips"].content["sample_id"])


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"baselin": "x"}, "Unknown key of evaluator_config"),
        ({"baseline": f"models:/{NAME}@nobody"}, "no alias 'nobody'"),
        ({"baseline": "absent.parquet"}, "There is no prediction table absent.parquet"),
        ({"scores": "votes"}, "logits or probabilities"),
        ({"scores": "probabilities"}, "their sums are not 1"),
        ({"sample_ids": ["a"]}, "one each"),
        ({"sample_ids": "id"}, "no column 'id'"),
        ({"batch_size": 0}, "whole number from 1 up"),
        ({"confidence": 95}, "between 0.5 and 1"),
        ({"allow_code": "yes"}, "allow_code should be True or False"),
        ({"attach": 3}, "attach should be True or a version"),
        ({"columns": "label=gold"}, "columns should be pairs such as {'label': 'gold'}"),
        ({"classes": "cat,dog"}, "classes should be a list of class names"),
        ({"class_names": ["a", "b"]}, "10 classes, but there are 2 class names"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_sentence(evaluate, images, test_split, config, says):
    with pytest.raises(PctError) as caught:
        evaluate(images.reshape(len(images), -1)[:4], test_split.labels.numpy()[:4], **config)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_shapes_and_answers_are_said(evaluate, images, test_split):
    labels = test_split.labels.numpy()[:4]
    with pytest.raises(PctError, match="An example has 5 numbers, and the model takes 1 x 8 x 8"):
        evaluate(images.reshape(len(images), -1)[:4, :5], labels)
    with pytest.raises(PctError, match="There are no examples to evaluate on"):
        FlipEvaluator().evaluate(
            model_type="classifier",
            dataset=SimpleNamespace(features_data=images[:0], labels_data=labels[:0], has_targets=True),
            run_id="",
            evaluator_config={"baseline": BASELINE},
            model=object(),
        )
    with pytest.raises(PctError, match="needs the scores of every class"):
        evaluate(images.reshape(len(images), -1)[:4], labels, model=lambda given: np.zeros(len(given)))


def test_the_evaluated_table_is_attached_for_the_gate(evaluate, images, test_split, shared_store, tmp_path):
    """A model that was logged by its own means gets the table that the evaluation made."""
    import mlflow

    from pct_mlops.predictions import Predictions

    registry = shared_store.registry
    version = registry.resolve(f"{NAME}/2")
    files = registry.files(version)
    with mlflow.start_run(experiment_id="0"):
        made = registry.client.create_logged_model("1", name="copied")
    for path in files.paths():
        if not path.startswith("predictions/"):
            file, folder = files.find(path), path.rpartition("/")[0]
            if path == "MLmodel":
                text = file.read_text().replace(registry.model_id(version), made.model_id)
                file = tmp_path / "MLmodel"
                file.write_text(text)
            registry.client.log_model_artifact(made.model_id, str(file), folder or None)
    registry.client.finalize_logged_model(made.model_id, "READY")
    flat, labels = images.reshape(len(images), -1), test_split.labels.numpy()
    given = {"sample_ids": test_split.sample_ids, "model": f"models:/{made.model_id}"}
    with pytest.raises(PctError, match="name its version, as in attach: 'pets/3'"):
        evaluate(flat, labels, attach=True, **{**given, "model": lambda asked: np.eye(10)[labels][: len(asked)]})
    evaluate(flat, labels, attach=True, **given)
    registry.client.create_registered_model("evaluated")
    registry.client.create_model_version("evaluated", f"models:/{made.model_id}", model_id=made.model_id)
    table = Predictions.load(registry.predictions(registry.resolve("evaluated/1")))
    assert table.info.digest == Predictions.load(registry.predictions(version)).info.digest
    assert (table.info.split, table.info.weights) == ("test", "")
    assert shared_store.pct("compare", f"{NAME}/1", "evaluated/1") == 0
    evaluate(flat, labels, attach="evaluated/1", replace=True, **given)
    with pytest.raises(PctError, match="--replace"):
        evaluate(flat, np.roll(labels, 1), attach=True, **given)


def test_without_a_baseline_other_evaluations_are_left_alone():
    assert FlipEvaluator.can_evaluate(model_type="classifier", evaluator_config={"baseline": "x"})
    for config in ({}, None, {"log_explainer": True}):
        assert not FlipEvaluator.can_evaluate(model_type="classifier", evaluator_config=config)
    with pytest.raises(PctError, match="compares classifiers"):
        FlipEvaluator().evaluate(
            model_type="regressor", dataset=None, run_id="", evaluator_config={"baseline": BASELINE}, model=None
        )


INSTALLED = """
import logging, os, sys
import mlflow
from mlflow.models.evaluation import list_evaluators

assert "pct" in list_evaluators(), list_evaluators()
heavy = [name for name in sys.modules if name.startswith(("pct_mlops.registry", "duckdb", "torch", "pyarrow.dataset"))]
assert "pct_mlops.integrations.mlflow_evaluator" in sys.modules
assert not heavy, heavy
from pct_mlops.integrations.mlflow_evaluator import _settings_kept

def settings():
    return dict(os.environ), logging.getLogger("mlflow").level

before = settings()
with _settings_kept():
    from pct_mlops import registry
assert settings() == before
print("found")
"""


def test_mlflow_finds_it_by_its_entry_point_and_stays_as_it_was(tmp_path):
    info = tmp_path / "pct_mlops-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pct-mlops\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[mlflow.model_evaluator]\npct = {ENTRY[1]}:{ENTRY[2]}\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", None)
    command = [sys.executable, "-c", INSTALLED]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "found" in done.stdout
