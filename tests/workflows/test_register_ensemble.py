"""`pct ensemble --register`: the mean of versions is a version, from its graph to its promotion and what follows."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from mlflow.exceptions import MlflowException
from tiny_store import NAME, heard

from pct_mlops import register_ensemble
from pct_mlops.cli import main
from pct_mlops.config import PctError, Recipe
from pct_mlops.models import Architecture, build_model, load_classifier, save_classifier
from pct_mlops.predictions import Predictions
from pct_mlops.registry import WEIGHTS_TAG, TrainingRun, history, training_run
from pct_mlops.registry.model_digests import weights_digest
from pct_mlops.workflows.studies.floor import measure_floor
from pct_mlops.workflows.training.train import train

ROOT = Path(__file__).resolve().parents[2]
MEMBERS = (f"{NAME}@production", f"{NAME}@candidate")
CLIENT = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "pct_mlops":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Block())
import mlflow.pyfunc
import numpy as np

mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
given = np.load("images.npy")
np.savez("predictions.npz", **{f"batch{n}": model.predict(given[:n]) for n in (1, 7)})
assert not [name for name in sys.modules if name.startswith("pct_mlops")]
"""


def model_of(store, number):
    version = store.registry.get(NAME, number)
    store.registry.download(version, "architecture.json")
    return load_classifier(store.registry.download(version, "model.safetensors").parent).eval()


def logits(store, number, split="test"):
    path = store.registry.predictions(store.registry.get(NAME, number), split)
    return np.array(pq.read_table(path)["logits"].to_pylist())


def served(store, folder, images):
    """Return logits of the candidate's exported graph for batches of 1 and 7, in a process without this package."""
    np.save(folder / "images.npy", images)
    (folder / "client.py").write_text(CLIENT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    command = [sys.executable, "client.py", store.uri, f"models:/{NAME}@candidate"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "predictions.npz") as found:
        return {number: found[f"batch{number}"] for number in (1, 7)}


def refused(store, capsys, *words):
    """Return the last line of stderr of a command that changes nothing."""
    before = store.state()
    assert store.pct("ensemble", "--register", *words) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert "unexpected" not in captured.err
    assert store.state() == before
    return captured.err.splitlines()[-1]


def test_gate_promote_and_train_against_it(store, capsys, tmp_path):
    assert store.pct("ensemble", "--register", *MEMBERS) == 0
    printed = capsys.readouterr().out
    assert "Registered models:/digits/3 (the mean of 50.0% models:/digits/1 and 50.0% models:/digits/2) as" in printed
    words = " ".join(printed.split())
    cost = re.search(r"Cost of a prediction: (\d+\.\d) x models:/digits/1, measured on the CPU with", words)
    version = store.registry.resolve(f"{NAME}@candidate")
    assert version.version == 3
    assert version.tags["pct.update"] == "ensemble"
    assert version.tags["pct.update.members"] == "1 x models:/digits/1, 1 x models:/digits/2"
    ratio, reference = version.tags["pct.update.cost"].split(" x ")
    assert reference == "models:/digits/1"
    assert float(ratio) == pytest.approx(float(cost[1]), abs=0.06)
    assert float(ratio) > 1, "two passes cost more than one"
    run = store.registry.client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["cost/parameters"] == 2 * sum(p.numel() for p in model_of(store, 1).parameters())

    # The exported graph is the mean of the members, for any batch size.
    images = np.random.default_rng(0).random((7, 1, 8, 8), np.float32)
    with torch.no_grad():
        pair = [model_of(store, number)(torch.from_numpy(images)).logits.numpy() for number in (1, 2)]
    assert np.abs(pair[0] - pair[1]).max() > 0.1
    for number, found in served(store, tmp_path, images).items():
        np.testing.assert_allclose(found, (pair[0] + pair[1])[:number] / 2, atol=1e-5)

    # The tables are those of the mean, and tied to its weights.
    for split in ("val", "test"):
        mean = (logits(store, 1, split) + logits(store, 2, split)) / 2
        np.testing.assert_allclose(logits(store, 3, split), mean, atol=1e-5)
    info = Predictions.load(store.registry.predictions(version)).info
    assert info.weights == version.tags[WEIGHTS_TAG] == weights_digest(store.registry.files(version))
    assert (info.num_members, info.model_name) == (1, NAME)
    assert store.pct("score", "digits/3", "--output", "again.parquet") == 0
    again = np.array(pq.read_table("again.parquet")["logits"].to_pylist())
    np.testing.assert_allclose(again, logits(store, 3), atol=1e-5)

    assert store.pct("gate", f"{NAME}@candidate", "--policy", store.policy("lenient"), "--promote", "--recompute") == 0
    assert store.registry.resolve(f"{NAME}@production").version == 3
    assert store.pct("verify", NAME) == 0
    assert history(store.registry, NAME)[-1].to_version == 3

    with pytest.raises(PctError, match=r"digits/3 is the mean of 2 models.*set model.init to a member"):
        train(Recipe.read(store.recipe, ["objective.loss=update", "optim.epochs=1"]), tracking_uri=store.uri)
    with pytest.raises(PctError, match="is the mean of several models, which no recipe trains"):
        measure_floor(f"{NAME}/3", seeds=2, tracking_uri=store.uri)
    trained = train(Recipe.read(store.recipe, ["objective.loss=kl", "optim.epochs=1"]), tracking_uri=store.uri)
    assert (trained.version, trained.tags["pct.teacher"]) == (4, "models:/digits/3")
    assert store.pct("gate", f"{NAME}@candidate", "--policy", store.policy("lenient"), "--json", "gate.json") == 0
    report = json.loads((store.folder / "gate.json").read_text())
    assert report["context"]["baseline_uri"] == "models:/digits/3"

    # A mean of a mean holds single models, and none of them twice.
    both = register_ensemble(["digits/3", "digits/1"], weights=[1, 1], tracking_uri=store.uri)
    assert both.members == (("models:/digits/1", 0.75), ("models:/digits/2", 0.25))
    assert both.shares == (0.5, 0.5)
    assert [cost.title for cost in both.costs] == ["models:/digits/3", "models:/digits/1", "models:/digits/5"]
    assert both.costs[0].num_parameters == both.costs[2].num_parameters == 2 * both.costs[1].num_parameters
    np.testing.assert_allclose(logits(store, 5), (logits(store, 3) + logits(store, 1)) / 2, atol=1e-5)

    # Its weights are no start of a training, and cannot be mixed with others.
    capsys.readouterr()
    assert store.pct("train", "recipe.yaml", "--set", "model.init=production") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith(
        "models:/digits/3 is the mean of 2 models, and a training starts from the weights of one: set model.init to a "
        "member (models:/digits/1 or models:/digits/2)."
    )
    assert store.pct("interpolate", "digits/1", "digits/3") == 2
    assert "The new model is the mean of 2 models" in capsys.readouterr().err


def test_weights_count_and_the_mean_is_scored_where_tables_do_not_fit(store, capsys):
    one, two = (store.registry.get(NAME, number) for number in (1, 2))
    expected = {split: (3 * logits(store, 1, split) + logits(store, 2, split)) / 4 for split in ("val", "test")}
    store.registry.predictions(one, "val").unlink()
    # The table of version 1 was made by the weights of version 2.
    Predictions.load(store.registry.predictions(two)).save(store.registry.predictions(one))
    with heard() as said:
        assert store.pct("ensemble", "--register", "--weights", "3,1", "digits/1", "digits/2") == 0
    assert [line for line in said if "is scored" in line] == [
        "val is scored, because not every member carries its predictions.",
        "test is scored, because not every member's table is tied to its weights.",
    ]
    assert "75.0% models:/digits/1 and 25.0% models:/digits/2" in capsys.readouterr().out
    for split, values in expected.items():
        np.testing.assert_allclose(logits(store, 3, split), values, atol=1e-5)


def registered(store, name, classes, shape=(1, 8, 8)):
    """Make a version of another model from the files of an untrained classifier, without a graph."""
    torch.manual_seed(7)
    own = {"class_names": classes, "image_shape": shape, "mean": (0.3,), "std": (0.5,)}
    save_classifier(build_model(Architecture(name=name, kwargs={"width": 4}, **own)).eval(), store.folder / "made")
    client = store.registry.client
    with training_run(store.registry, "others", "by hand") as run:
        model = client.create_logged_model(run.experiment_id, name="model", source_run_id=run.run_id)
        client.log_model_artifacts(model.model_id, str(store.folder / "made"))
        with contextlib.suppress(MlflowException):
            client.create_registered_model("others")
        made = client.create_model_version("others", f"models:/{model.model_id}", run.run_id, model_id=model.model_id)
    return store.registry.get("others", int(made.version))


def test_members_of_another_model_with_other_order_and_architecture(store):
    names = tuple(str(digit) for digit in range(10))
    assert model_of(store, 1).architecture.class_names == names
    other = registered(store, "small_resnet14", names[::-1])
    done = register_ensemble(["digits/1", other.uri], tracking_uri=store.uri)
    assert (done.version.name, done.version.version) == (NAME, 3)
    mean, one = model_of(store, 3), model_of(store, 1)
    assert mean.architecture.class_names == names
    store.registry.download(other, "architecture.json")
    second = load_classifier(store.registry.download(other, "model.safetensors").parent).eval()
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        expected = (one(images).logits + second(images).logits.flip(1)) / 2
        torch.testing.assert_close(mean(images).logits, expected)


def test_what_cannot_be_one_model_changes_nothing(store, capsys):
    names = tuple(str(digit) for digit in range(10))
    fewer = registered(store, "small_resnet8", names[:9]).uri
    larger = registered(store, "small_resnet8", names, (1, 16, 16)).uri
    say = refused(store, capsys, "digits/1", fewer)
    assert say.endswith(
        f"{fewer} lacks the class '9', unlike another member: choose members that know the same classes."
    )
    say = refused(store, capsys, "digits/1", larger)
    assert say.endswith(
        f"{larger} takes images of shape (1, 16, 16) and models:/digits/1 those of (1, 8, 8): choose "
        "members that take the same images."
    )
    assert "models:/digits/1 is named twice" in refused(store, capsys, "digits/1", MEMBERS[0])
    assert "2 members and 3 weights" in refused(store, capsys, "--weights", "1,2,3", *MEMBERS)
    assert "a positive number, and 0 is not" in refused(store, capsys, "--weights", "1,0", *MEMBERS)
    assert "a positive number, and nan is not" in refused(store, capsys, "--weights", "1,nan", *MEMBERS)
    assert "is not a list of numbers" in refused(store, capsys, "--weights", "1,x", *MEMBERS)
    assert "go with tables" in refused(store, capsys, "--split", "val", *MEMBERS)
    assert "no version 9" in refused(store, capsys, "digits/1", "digits/9")
    assert "names no version" in refused(store, capsys, "digits/1", "table.parquet")


def test_weights_go_with_register(store, capsys):
    assert store.pct("ensemble", "mean.parquet", "digits/1", "digits/2", "--weights", "1,2") == 2
    assert "--weights and --set go with --register" in capsys.readouterr().err
    with pytest.raises(PctError, match="at least two members"):
        register_ensemble(["digits/1"], tracking_uri=store.uri)


KILLED = """
import os
import signal
import sys

from mlflow import MlflowClient

from pct_mlops.cli import main

# The graph is stored by then, and the version is not made yet.
MlflowClient.log_model_artifacts = lambda *words: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_version(store):
    def versions():
        return [(item.version, item.aliases) for item in store.registry.versions(NAME)]

    before = versions()
    (store.folder / "killed.py").write_text(KILLED)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "killed.py", "ensemble", "--register", *MEMBERS, "--tracking-uri", store.uri]
    done = subprocess.run(command, cwd=store.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    assert versions() == before


def test_an_interrupted_run_is_marked_and_leaves_no_version(store, monkeypatch):
    def interrupt(*words, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "register", interrupt)
    with pytest.raises(KeyboardInterrupt):
        register_ensemble(MEMBERS, tracking_uri=store.uri)
    client = store.registry.client
    (experiment,) = [item for item in client.search_experiments() if item.name == NAME]
    assert client.search_runs([experiment.experiment_id])[0].info.status == "KILLED"
    assert [item.version for item in store.registry.versions(NAME)] == [2, 1]
    assert store.registry.resolve(f"{NAME}@candidate").version == 2


def test_a_foreign_version_is_refused(foreign, capsys):
    assert main(["ensemble", "--register", "pets-sklearn/1", "pets-sklearn/2", "--tracking-uri", foreign.uri]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "models:/pets-sklearn/1 carries no architecture record with weights" in error
