"""Models that write a file when they are loaded: they are not, unless somebody allows it."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import yaml
from tiny_store import RECIPE

from pct_mlops.errors import PctError
from pct_mlops.integrations.evaluator_baseline import load_baseline
from pct_mlops.integrations.mlflow_evaluator import PctOptions
from pct_mlops.predictions import Predictions, sql
from pct_mlops.registry.code_in_models import what_runs_code
from pct_mlops.registry.served_model import load_folder

SIGNATURE = {
    "inputs": '[{"type": "double", "name": "a", "required": true}]',
    "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]',
}


class Payload:
    """What a pickle does to those who load it: it writes a file, and is then a model."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        code = f"open({str(self.mark)!r}, 'w').write('ran') and __import__('sklearn.dummy').dummy.DummyClassifier()"
        return eval, (code,)


def describe(folder, flavors):
    folder.mkdir(parents=True, exist_ok=True)
    described = {"flavors": flavors, "signature": SIGNATURE, "mlflow_version": "3.17.2"}
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    return folder


def function(loader, **more):
    return {"python_function": {"loader_module": loader, "python_version": "3.11.7", **more}}


def sklearn(folder, mark, serialization_format="cloudpickle"):
    own = {"sklearn": {"pickled_model": "model.pkl", "serialization_format": serialization_format}}
    describe(folder, {**function("mlflow.sklearn", model_path="model.pkl"), **own})
    (folder / "model.pkl").write_bytes(pickle.dumps(Payload(mark)))


def sklearn_pickle(folder, mark):
    sklearn(folder, mark, "pickle")


def pyfunc(folder, mark):
    describe(folder, function("mlflow.pyfunc.model", python_model="python_model.pkl", cloudpickle_version="3.1.1"))
    (folder / "python_model.pkl").write_bytes(pickle.dumps(Payload(mark)))


def models_from_code(folder, mark):
    describe(folder, function("mlflow.pyfunc.model", model_code_path="model.py", streamable=False))
    (folder / "model.py").write_text(
        f"open({str(mark)!r}, 'w').write('ran')\nimport mlflow\n"
        "class Model(mlflow.pyfunc.PythonModel):\n    def predict(self, context, model_input, params=None):\n"
        "        return [0] * len(model_input)\nmlflow.models.set_model(Model())\n"
    )


def code_beside(folder, mark):
    """A loader of its own, brought along as code."""
    describe(folder, function("brought_along", code="code"))
    (folder / "code").mkdir()
    text = f"open({str(mark)!r}, 'w').write('ran')\ndef _load_pyfunc(path):\n    raise RuntimeError('loaded')\n"
    (folder / "code" / "brought_along.py").write_text(text)


def plain_with_code_beside(folder, mark):
    """A plain format, whose code is put before all modules of this machine."""
    own = {"xgboost": {"data": "model.xgb", "model_class": "xgboost.core.Booster"}}
    describe(folder, {**function("mlflow.xgboost", code="code"), **own})
    (folder / "model.xgb").write_bytes(b"{}")
    (folder / "code").mkdir()
    (folder / "code" / "xgboost.py").write_text(f"open({str(mark)!r}, 'w').write('ran')")


def pytorch(folder, mark):
    own = {"pytorch": {"model_data": "data", "serialization_format": "pickle", "pytorch_version": "2.11.0"}}
    describe(folder, {**function("mlflow.pytorch", data="data"), **own})
    (folder / "data").mkdir()
    (folder / "data" / "pickle_module_info.txt").write_text("pickle")
    import torch

    torch.save(Payload(mark), folder / "data" / "model.pth")


def lightgbm_class(folder, mark):
    own = {"lightgbm": {"data": "model.pkl", "model_class": "lightgbm.sklearn.LGBMClassifier"}}
    describe(folder, {**function("mlflow.lightgbm"), **own})
    (folder / "model.pkl").write_bytes(pickle.dumps(Payload(mark)))


MAKERS = (
    sklearn,
    sklearn_pickle,
    pyfunc,
    models_from_code,
    code_beside,
    plain_with_code_beside,
    pytorch,
    lightgbm_class,
)


@pytest.fixture
def data(tmp_path):
    pd.DataFrame({"id": ["x", "y"], "label": [0, 1], "a": [0.5, 1.5]}).to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


def register(store, folder):
    client = store.registry.client
    client.create_registered_model("evil")
    client.create_model_version("evil", str(folder))
    return "evil/1"


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_runs_unasked(store, tmp_path, data, capsys, make):
    mark, folder = tmp_path / "mark", tmp_path / "model"
    make(folder, mark)
    version = register(store, folder)
    assert store.pct("score", version, "--data", data) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "loading it runs whatever code its author put there, with your rights" in line
    assert "add --allow-code; otherwise score it where it was trained" in line
    with pytest.raises(PctError, match=r"set allow_code: True in evaluator_config\['pct'\]"):
        load_baseline("models:/evil/1", PctOptions("models:/evil/1"), _registry())
    assert not mark.exists()
    # The gate and everything else read tables alone.
    table = Predictions.from_arrays(["x", "y"], [0, 1], np.eye(2), class_names=["0", "1"], split="test")
    table.save(tmp_path / "table.parquet")
    assert store.pct("attach", version, tmp_path / "table.parquet") == 0
    assert store.pct("gate", version, "--policy", store.policy("lenient"), "--promote") == 0
    assert not mark.exists()


def like_ours(folder, mark):
    """A folder with the names of our own files: a record that names code, weights and a recipe with payloads."""
    models_from_code(folder, mark)
    record = {"name": "os:mkdir", "kwargs": {"path": str(mark)}, "class_names": ["0", "1"], "image_shape": [1, 8, 8]}
    (folder / "architecture.json").write_text(json.dumps({**record, "mean": [0.3], "std": [0.4]}))
    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(mark)))
    (folder / "recipe.yaml").write_text(f"data: !!python/object/apply:os.mkdir ['{mark}']")


def pickled_weights(folder, mark):
    """A version like ours whose weights alone are a payload."""
    models_from_code(folder, mark)
    record = {"name": "small_resnet8", "kwargs": {"width": 8}, "class_names": [str(number) for number in range(10)]}
    normal = {"image_shape": [1, 8, 8], "mean": [0.3], "std": [0.4]}
    (folder / "architecture.json").write_text(json.dumps({**record, **normal}))
    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(mark)))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))


VERBS = (
    "score evil/1 --output out.parquet",
    "score evil/1 --data data.csv --output out.parquet",
    "compare digits/1 evil/1",
    "gate evil/1 --baseline digits/1 --policy lenient.yaml --recompute",
    "advise evil",
    "risk evil/1",
    "history evil",
    "verify evil",
    "interpolate evil/1 digits/1",
    "interpolate digits/1 evil/1",
    "ensemble --register evil/1 digits/1",
    "ensemble out.parquet evil/1 digits/1",
    "train recipe.yaml --loss none --set model.init=evil/1",
    "train recipe.yaml --loss ldi --set teacher.ref=evil/1",
    "train recipe.yaml --loss ldi --set 'teacher.refs=[{ref: digits/1}, {ref: evil/1}]'",
)


@pytest.mark.parametrize("make", [like_ours, pickled_weights, models_from_code])
def test_no_verb_runs_what_a_version_carries(store, data, capsys, make):
    mark, folder = store.folder / "mark", store.folder / "model"
    make(folder, mark)
    register(store, folder)
    (store.folder / "data.csv").write_bytes(data.read_bytes())
    for verb in VERBS:
        code = store.pct(*shlex.split(verb))
        said = capsys.readouterr().err
        assert not mark.exists(), verb
        assert "unexpected" not in said, (verb, said)
        assert code == 2 or verb.startswith(("advise", "history", "verify")), (verb, said)


@pytest.mark.parametrize("make", [sklearn, pyfunc, models_from_code, pytorch])
def test_the_payloads_would_have_run(store, tmp_path, data, monkeypatch, make):
    """So that the test above is one: with the permission they do run, and it ends with this one model."""
    mark, folder = tmp_path / "mark", tmp_path / "model"
    make(folder, mark)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    store.pct("score", register(store, folder), "--data", data, "--allow-code")
    assert mark.read_text() == "ran"
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


class Trees:
    """Stands in for XGBoost's classifier, which is not among our dependencies."""

    def load_model(self, path):
        self.classes_ = np.array(json.loads(Path(path).read_text()))

    def predict_proba(self, frame):
        share = np.clip(frame["a"].to_numpy() / 2, 0, 1)
        return np.stack([1 - share, share], axis=1)

    def predict(self, frame):
        return self.predict_proba(frame).argmax(axis=1)


def test_models_that_are_plain_data_need_no_permission(store, tmp_path, data, monkeypatch):
    module = ModuleType("xgboost.sklearn")
    module.XGBClassifier = Trees
    whole = ModuleType("xgboost")
    whole.sklearn, whole.Booster, whole.__version__ = module, type("Booster", (), {}), "2.1.0"
    monkeypatch.setitem(sys.modules, "xgboost", whole)
    monkeypatch.setitem(sys.modules, "xgboost.sklearn", module)
    own = {"xgboost": {"data": "model.json", "model_class": "xgboost.sklearn.XGBClassifier", "xgb_version": "2.1.0"}}
    folder = describe(tmp_path / "model", {**function("mlflow.xgboost"), **own})
    (folder / "model.json").write_text("[0, 1]")
    assert what_runs_code(folder) == ""
    assert store.pct("score", register(store, folder), "--data", data) == 0
    registry = store.registry
    table = Predictions.load(registry.predictions(registry.resolve("evil/1")))
    with sql.connect() as connection:
        table.attach(connection, "mine")
        found = connection.sql("SELECT confidence, prediction FROM mine ORDER BY sample_id").fetchall()
    assert found == [(0.75, 0), (0.75, 1)]


@pytest.mark.parametrize(
    ("flavors", "says"),
    [
        ({}, "has no flavour python_function"),
        ({"python_function": {"loader_module": 3}}, "has no flavour python_function"),
        ({"python_function": ["x"]}, "has no flavour python_function"),
    ],
)
def test_what_no_pyfunc_loads_is_said(tmp_path, flavors, says):
    with pytest.raises(PctError, match=says):
        what_runs_code(describe(tmp_path / "model", flavors))
    (tmp_path / "model" / "MLmodel").write_text("a: &a [*a]")
    with pytest.raises(PctError, match="MLmodel cannot be read"):
        what_runs_code(tmp_path / "model")


@pytest.mark.parametrize(
    "flavors",
    [
        {**function("mlflow.xgboost"), "xgboost": {"data": "../model.json"}},
        {**function("mlflow.xgboost"), "xgboost": {"data": "model.json", "model_class": "os.system"}},
        {**function("mlflow.xgboost"), "xgboost": {"data": "model.pkl"}},
        {**function("mlflow.lightgbm"), "lightgbm": {"data": "model.lgb", "model_class": "evil.Booster"}},
        {**function("mlflow.onnx", code=["code"]), "onnx": {"data": "model.onnx"}},
        {**function("mlflow.onnx"), "onnx": {"data": "model.onnx", "code": "code"}},
        {**function("mlflow.onnx"), "onnx": {"data": "/etc/model.onnx"}},
        function("os"),
        function("mlflow.onnx"),
        # The loader is led to another folder, whose MLmodel says what is loaded.
        {**function("mlflow.xgboost", data="other"), "xgboost": {"data": "model.json"}},
        {**function("mlflow.lightgbm", data="other/model.lgb"), "lightgbm": {"data": "model.lgb"}},
        {**function("mlflow.xgboost"), "xgboost": {"data": "other/model.json"}},
        {**function("mlflow.onnx", data="other/model.onnx"), "onnx": {"data": "other/model.onnx"}},
        # Options of TensorRT's provider name libraries of plug-ins.
        {
            **function("mlflow.onnx", data="model.onnx"),
            "onnx": {
                "data": "model.onnx",
                "providers": [["TensorrtExecutionProvider", {"trt_extra_plugin_lib_paths": "evil.so"}]],
            },
        },
        {
            **function("mlflow.onnx", data="model.onnx"),
            "onnx": {"data": "model.onnx", "onnx_session_options": {"extra_session_config": {"a": "b"}}},
        },
    ],
)
def test_nearly_plain_is_not_plain(tmp_path, flavors):
    assert what_runs_code(describe(tmp_path / "model", flavors))


def test_plain_formats(tmp_path):
    for flavors in (
        {**function("mlflow.onnx", data="model.onnx", code=None), "onnx": {"data": "model.onnx", "code": None}},
        {**function("mlflow.lightgbm"), "lightgbm": {"data": "model.lgb", "model_class": "lightgbm.basic.Booster"}},
        {**function("mlflow.xgboost", data="model.xgb"), "xgboost": {"data": "model.xgb"}},
        {
            **function("mlflow.onnx", data="model.onnx"),
            "onnx": {
                "data": "model.onnx",
                "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"],
                "onnx_session_options": {"intra_op_num_threads": 1},
            },
        },
    ):
        assert what_runs_code(describe(tmp_path / "model", flavors)) == ""


@pytest.mark.parametrize("place", ["other", "model.json"])
def test_a_second_description_further_down_is_not_followed(tmp_path, monkeypatch, place):
    """MLflow's loader follows the MLmodel of the folder that it is given, which names any class of this machine."""
    mark, folder = tmp_path / "mark", tmp_path / "model"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "marking.py").write_text(f"open({str(mark)!r}, 'w')\nclass Model: pass\n")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    described = {**function("mlflow.xgboost", data=place), "xgboost": {"data": "model.json"}}
    describe(folder, described)
    describe(folder / place, {"xgboost": {"data": "model.json", "model_class": "marking.Model"}})
    with pytest.raises(PctError, match="loading it runs whatever code its author put there"):
        load_folder(folder, "evil", allow_code=False, how_to_allow="allow it", instead="leave it")
    assert not mark.exists()


def _registry():
    from pct_mlops import registry

    return registry


def test_the_rule_holds_without_the_environment_variable(store, tmp_path, data, monkeypatch):
    """A program that lets MLflow unpickle for its own models does not let ours."""
    mark, folder = tmp_path / "mark", tmp_path / "model"
    sklearn(folder, mark)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    assert store.pct("score", register(store, folder), "--data", data) == 2
    assert not mark.exists()
