"""The story of the demo, on a tiny project: what is trained, judged, promoted, and what a second telling does."""

from __future__ import annotations

import io
import subprocess
from types import SimpleNamespace

import pytest
import yaml
from rich.console import Console
from tiny_store import POLICIES, RECIPE

from pct_mlops.cli import main
from pct_mlops.config import PctError, Recipe
from pct_mlops.registry import Registry, history
from pct_mlops.workflows import demo
from pct_mlops.workflows.tables.compare_sources import compare_sources
from pct_mlops.workflows.training.train import train

NAME = RECIPE["model_name"]


@pytest.fixture
def project(empty, monkeypatch):
    """A checkout with recipes of this test's own; trainings run in this process instead of through mlflow."""
    folder = empty.folder / "projects" / "fashion_mnist"
    folder.mkdir(parents=True)
    (empty.folder / "MLproject").write_text("name: tiny\n")
    quick = RECIPE | {"optim": RECIPE["optim"] | {"epochs": 1}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(quick | {"seed": {"model": 1}}))
    (folder / "baseline.yaml").write_text(yaml.safe_dump(quick))
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICIES["lenient"]))
    monkeypatch.setattr(demo, "_source", lambda: empty.folder)
    launched = []

    def launch(stage, **parameters):
        launched.append(parameters)
        recipe = empty.folder / parameters.get("recipe", "projects/fashion_mnist/recipe.yaml")
        chosen = Recipe.read(recipe, [*stage.overrides, f"objective.loss={parameters['loss']}"])
        train(chosen, tracking_uri=stage.registry.tracking_uri)

    monkeypatch.setattr(demo.Stage, "train", launch)
    return empty.folder, launched


def tell(folder, *overrides):
    """Everything that is printed."""
    console = Console(file=io.StringIO(), width=100, highlight=False, markup=False)
    demo.tell(str(folder / "demo"), console.print, list(overrides))
    return console.file.getvalue()


def verdicts(text):
    """loss -> the verdict that the final table shows."""
    rows = [line.split() for line in text.split("What the gate says")[1].splitlines() if line.startswith("loss=")]
    return {row[0].removeprefix("loss="): row[-1] for row in rows}


def test_the_story_and_a_second_telling_in_which_nothing_passes(project):
    folder, launched = project
    text = tell(folder)
    assert launched == [
        {"loss": "none", "recipe": "projects/fashion_mnist/baseline.yaml"},
        {"loss": "none"},
        {"loss": "update"},
    ]
    registry = Registry(f"sqlite:///{folder / 'demo' / 'mlflow.db'}")
    versions = {version.version: version for version in registry.versions(NAME)}
    assert [versions[number].tags["gate.verdict"] for number in range(1, 4)] == ["BOOTSTRAP", "PASS", "PASS"]
    assert verdicts(text) == {"none": "PASS", "update": "PASS"}
    uris = {loss: f"models:/{NAME}/{number}" for number, loss in enumerate(("none", "update"), start=2)}
    on_val = {
        loss: compare_sources(f"models:/{NAME}/1", uri, split="val").estimate("nfr").value for loss, uri in uris.items()
    }
    best = min(on_val, key=on_val.get)
    moves = history(registry, NAME)
    assert [move.verdict for move in moves] == ["BOOTSTRAP", "PASS"]
    assert f"models:/{NAME}/{moves[-1].to_version}" == uris[best] == registry.resolve(f"{NAME}@production").uri
    assert f"loss={best} has the lowest NFR on val" in text
    assert "make explore" in text
    assert "3 trainings, which take" in text
    (spent,) = (line for line in text.splitlines() if line.startswith("Time: "))
    assert [part.split()[0] for part in spent.removeprefix("Time: ").split(", ")] == [
        *("baseline", "loss=none", "loss=update", "verdict")
    ]
    assert not (folder / "mlruns").exists(), "artifacts lie with the demo"

    # A second telling, under a policy that nothing passes.
    launched.clear()
    policy = folder / "projects" / "fashion_mnist" / "policy.yaml"
    policy.write_text(yaml.safe_dump({"rules": [{"metric": "accuracy_change", "min": 0.99, "bound": "point"}]}))
    text = tell(folder)
    assert "already" in text
    assert launched == [{"loss": "none"}, {"loss": "update"}], "no second baseline"
    assert len(registry.versions(NAME)) == 5
    assert {version.tags["gate.baseline_version"] for version in registry.versions(NAME)[:2]} == {uris[best][-1]}
    assert verdicts(text) == dict.fromkeys(demo.LOSSES, "FAIL")
    assert "None of them passed: production stays as it is." in text
    assert registry.resolve(f"{NAME}@production").uri == uris[best]
    assert len(history(registry, NAME)) == 2


@pytest.fixture
def stage(empty):
    """A stage in the real checkout, whose registry is an address: nobody opens it."""
    registry = SimpleNamespace(tracking_uri=empty.uri)
    return demo.Stage(demo._source(), empty.folder, registry, ["optim.epochs=1", "data.root=/a b"], lambda text: None)


def test_trainings_go_through_mlflow_run(stage, monkeypatch):
    seen = {}

    def run(command, *, cwd, env, check):
        seen.update(command=command, cwd=cwd, env=env)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("MLFLOW_RUN_ID", "of somebody else")
    stage.train(loss="cna")
    assert seen["command"][1:] == [
        *("-m", "mlflow", "run", ".", "--env-manager", "local"),
        *("-P", "loss=cna", "-P", "set=optim.epochs=1 'data.root=/a b'"),
    ]
    assert (seen["cwd"] / "MLproject").is_file()
    assert seen["env"]["MLFLOW_TRACKING_URI"] == stage.registry.tracking_uri
    assert "MLFLOW_RUN_ID" not in seen["env"]


def test_a_training_that_fails_ends_the_story(stage, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1))
    with pytest.raises(PctError, match="did not finish"):
        stage.train(loss="cna")


def test_a_folder_that_cannot_be_made(empty, capsys):
    (empty.folder / "file").write_text("")
    assert main(["demo", "--folder", str(empty.folder / "file")]) == 2
    assert "choose another place with --folder" in capsys.readouterr().err


def test_a_wrong_override_makes_nothing(project, capsys):
    folder, launched = project
    before = sorted(folder.rglob("*"))
    assert main(["demo", "--folder", str(folder / "made"), "--set", "optim.epochs=many"]) == 2
    assert "optim.epochs" in capsys.readouterr().err
    assert (sorted(folder.rglob("*")), launched) == (before, [])


def test_recipes_of_the_package_are_copied_and_stay_as_they_were_changed(project, monkeypatch):
    folder, launched = project
    package = folder / "site-packages" / "pct_mlops"
    package.mkdir(parents=True)
    (folder / "projects").rename(package / "projects")
    (folder / "MLproject").rename(package / "projects" / "MLproject")
    monkeypatch.setattr(demo, "_source", lambda: package)
    copied = []

    def launch(stage, **parameters):
        copied.append(stage.root)
        launched.append(Recipe.read(stage.root / parameters.get("recipe", "projects/fashion_mnist/recipe.yaml")))
        raise PctError("enough")

    monkeypatch.setattr(demo.Stage, "train", launch)
    with pytest.raises(PctError, match="enough"):
        tell(folder)
    target = folder / "demo" / "project"
    assert copied == [target]
    assert (target / "MLproject").read_text() == "name: tiny\n"
    recipe = target / "projects" / "fashion_mnist" / "baseline.yaml"
    recipe.write_text(recipe.read_text().replace("epochs: 1", "epochs: 3"))
    with pytest.raises(PctError, match="enough"):
        tell(folder)
    assert launched[-1].optim.epochs == 3


def test_an_installation_without_recipes_says_so(empty, monkeypatch, capsys):
    monkeypatch.setattr(demo, "__file__", str(empty.folder / "a" / "b" / "demo.py"))
    assert main(["demo"]) == 2
    assert "install pct-mlops again" in capsys.readouterr().err
