"""The pages on predictions and models of other programs, followed from top to bottom beside a real registry."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from doc_pages import ROOT, blocks, written
from page_commands import PAGES, Reader, inline_commands, is_shown, lines
from PIL import Image
from streamlit.testing.v1 import AppTest

sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("workflows", "registry", "cli")]

from broken_setups import certificate, server  # noqa: E402
from tiny_store import NAME, POLICIES, RECIPE, _copy, _in_folder, trained  # noqa: E402, F401

from pct_mlops.cli import main  # noqa: E402
from pct_mlops.predictions import Predictions  # noqa: E402
from pct_mlops.registry import Registry  # noqa: E402

MAIN = ROOT / "app" / "main.py"
LENIENT = json.dumps(POLICIES["lenient"])


@pytest.fixture
def here(trained, tmp_path, monkeypatch):  # noqa: F811
    """Make a folder whose mlflow.db has two trained versions of `shoes`: 1 in production, and 2 as the candidate."""
    folder = tmp_path / "here"
    _copy(trained, folder)
    with _in_folder(folder):
        for key in (
            "STREAMLIT_SERVER_PORT",
            "STREAMLIT_SERVER_HEADLESS",
            "STREAMLIT_SERVER_ADDRESS",
            "STREAMLIT_LOGGER_HIDE_WELCOME_MESSAGE",
        ):
            monkeypatch.setenv(key, "")  # so that they are put back
        registry = Registry(mine())
        registry.client.rename_registered_model(NAME, "shoes")
        registry.client.set_registered_model_alias("shoes", "candidate", "2")
        (folder / "policy.yaml").write_text(LENIENT)
        mlflow.set_tracking_uri(None)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mine())
        yield folder
        mlflow.tracking.fluent._active_experiment_id = None


@pytest.fixture
def reader(here, monkeypatch, capsys):
    """Return a function that makes a reader of a page in that folder."""

    def read():
        captured = capsys.readouterr()
        return captured.out + captured.err

    def make(page, **about):
        return Reader(page, monkeypatch.setenv, read, **about)

    return make


def mine():
    """Return the address of the registry in the current folder. It is absolute, as MLflow keeps connections."""
    return f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def table_of(version):
    """Return ids, labels and predictions of a version of shoes, by class name."""
    registry = Registry(mine())
    table = Predictions.load(registry.predictions(registry.resolve(version)))
    frame = pd.read_parquet(table.path, columns=["sample_id", "label", "prediction"])
    for column in ("label", "prediction"):
        frame[column] = frame[column].map(lambda place: table.info.class_names[place])
    return frame.rename(columns={"sample_id": "id"})


def versions(name, number, files):
    """Register as many versions of a model as it takes to have this number, each with a copy of these files."""
    client = Registry(mine()).client
    if name not in [model.name for model in client.search_registered_models()]:
        client.create_registered_model(name)
    for copy in range(number):
        source = Path("registered", name, str(copy)).resolve()
        shutil.copytree(files, source)
        if int(client.create_model_version(name, str(source)).version) == number:
            return


@pytest.fixture
def bare(here):
    """Write as much of a model of another program as attach looks at."""
    (here / "bare").mkdir()
    (here / "bare" / "MLmodel").write_text("flavors: {}\n")
    return here / "bare"


def explored(words):
    """Run `pct explore` to the point where it becomes the app, and draw the app with the arguments that it is given."""
    started = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "execv", lambda program, command: started.append(command))
        assert main(words[1:]) == 0
        ((_, program, *given),) = started
        assert Path(program).parts[-2:] == ("explorer", "__main__.py")
        patch.setattr(sys, "argv", [str(MAIN), *given])
        app = AppTest.from_file(str(MAIN), default_timeout=60).run()
    assert not app.exception
    assert "NFR" in [metric.label for metric in app.metric]


def test_predictions(reader, bare):
    def mail():
        ids = pd.read_csv("old.csv")["id"]
        pd.DataFrame({"id": ids, "text": "Dear all"}).to_json("mail.jsonl", orient="records", lines=True)

    def shoes():
        """Register three versions of another program. Version 2 is in production, with the predictions of old.csv."""
        Registry(mine()).client.delete_registered_model("shoes")
        versions("shoes", 3, bare)
        assert main(["attach", "shoes/2", "old.csv"]) == 0
        assert main(["gate", "shoes/2", "--promote"]) == 0

    page = reader(
        PAGES[0],
        before={"pct explore old.csv new.jsonl --texts mail.jsonl": mail, "pct attach shoes/3 new.jsonl": shoes},
        instead=dict.fromkeys(
            ("pct explore old.csv new.jsonl", "pct explore old.csv new.jsonl --texts mail.jsonl"), explored
        ),
    )
    page.follow()
    assert Registry(mine()).aliases("shoes")["production"] == 3


class Stars(mlflow.pyfunc.PythonModel):
    """A text classifier that says a label and nothing else."""

    def predict(self, context, model_input, params=None):
        return np.array(["good" if "love" in text else "bad" for text in model_input["text"]])


def files_of_shoes():
    """Write the files that the page speaks of for shoes."""
    frame = table_of("shoes/1")
    frame.to_csv("predictions.csv", index=False)
    frame.rename(columns={"label": "gold", "prediction": "said"}).to_csv("others.csv", index=False)
    frame.assign(prediction=frame["label"]).to_parquet("better.parquet")
    frame.assign(id="val-" + frame["id"]).to_parquet("val.parquet")
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "png")
    pd.DataFrame({"sample_id": frame["id"], "png": buffer.getvalue()}).to_parquet("thumbnails.parquet")
    from pct_mlops.config import Recipe
    from pct_mlops.data import load_data

    recipe = Recipe.model_validate(RECIPE)
    test = load_data(recipe.data, recipe.seed.data).test
    images = test.images(range(len(test))).numpy()
    np.savez("images.npz", images=images, label=test.labels.numpy(), id=test.sample_ids)


def files_of_reviews():
    """Write those for reviews, and the model itself."""
    texts = ["I love them", "They fell apart", "My children love these", "Too small"] * 25
    frame = pd.DataFrame({"key": [f"review/{place}" for place in range(100)], "text": texts})
    frame["stars"] = ["good", "bad", "good", "bad"] * 25
    frame.to_json("test.jsonl", orient="records", lines=True)
    frame.rename(columns={"key": "id"})[["id", "text"]].to_csv("texts.csv", index=False)
    said = frame.assign(id=frame["key"], label=frame["stars"], prediction="good")
    said[["id", "label", "prediction"]].to_csv("reviews.csv", index=False)
    signature = mlflow.models.infer_signature(frame[["text"]], np.array(["good"]))
    mlflow.pyfunc.save_model("stars", python_model=Stars(), signature=signature, pip_requirements=["mlflow"])


def test_own_models(reader, bare):
    files_of_shoes()
    files_of_reviews()
    versions("shoes", 3, bare)
    versions("reviews", 7, "stars")

    def features():
        random = np.random.default_rng(1)
        labels = random.integers(0, 3, 200)
        frame = pd.DataFrame(np.eye(3)[labels] + random.normal(scale=0.5, size=(200, 3)), columns=["a", "b", "c"])
        names = np.array(["boot", "sandal", "sneaker"])[labels]
        frame.assign(id=range(200), label=names).to_csv("test.csv", index=False)

    page = reader(
        PAGES[1],
        before={"pct score sandals/1 --data test.csv": features},
        stands_for={"sqlite:///mlflow.db": mine()},
    )
    page.follow()
    registry = Registry(mine())
    assert registry.aliases("shoes")["production"] == 3
    better = Predictions.load(registry.predictions(registry.resolve("shoes/3")))
    assert better.accuracy() == 1, "the table of the last command"
    for version, least in (("shoes/2", 0.5), ("sandals/1", 0.7), ("reviews/7", 1.0)):
        assert Predictions.load(registry.predictions(registry.resolve(version))).accuracy() >= least, version


def test_registry_problems(reader, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")

    def mended():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mine())

    with server(certificate=certificate(tmp_path)) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        page = reader(
            PAGES[2],
            stands_for={"https://mlflow.example": address},
            before={"pct doctor --json doctor.json": mended},
        )
        page.follow()
    assert json.loads(Path("doctor.json").read_text())["ok"] is True
    assert Registry(mine()).aliases("shoes")["production"] == 2


def test_gate_in_ci(reader):
    registry = Registry(mine())
    client = registry.client

    def others_train():
        client.create_registered_model("shoes-candidates")
        client.copy_model_version("models:/shoes/1", "shoes-candidates")
        client.set_registered_model_alias("shoes-candidates", "candidate", "1")

    def the_set_grows():
        client.set_registered_model_alias("shoes", "candidate", "2")

    def too_few_examples():
        client.copy_model_version("models:/shoes/2", "shoes")
        old, new = (Predictions.load(registry.predictions(registry.resolve(f"shoes/{n}"))) for n in (3, 4))
        Path("policy.yaml").write_text(json.dumps({"rules": [{"metric": "nfr", "max": round(new.nfr(old), 4)}]}))

    page = reader(
        PAGES[3],
        stands_for={"https://registry.example": mine()},
        before={
            "pct gate shoes-candidates@candidate --into shoes --promote --reason weekly": others_train,
            "pct gate shoes@candidate --policy policy.yaml --recompute": the_set_grows,
            "pct gate shoes/4": too_few_examples,
        },
    )
    page.follow()
    assert all(Path(f"report.{ending}").stat().st_size for ending in ("json", "xml", "md"))
    assert registry.aliases("shoes")["production"] == 4


@pytest.mark.parametrize("page", PAGES)
def test_every_whole_command_stands_in_a_block(page):
    """Look for commands in sentences, which nobody runs."""
    assert len([line for block in blocks(page, written()[page], "sh", "bash") for line in lines(block.text)]) >= 3
    shown = [line for block in blocks(page, written()[page], "sh", "bash") for line in lines(block.text)]
    assert [text for text in inline_commands(page) if not any(line.startswith(text) for line in shown)] == []


@pytest.mark.parametrize(
    ("shown", "printed", "right"),
    [
        ("a  b\n...\nc\n", "a b\n1\n2\nc\n", True),
        ("a ... c", "a b c", True),
        ("a", "a\nb", False),
        ("...\nb", "a\nc", False),
        ("b ...\na ...", "a 1\nb 2", False),
    ],
)
def test_an_output_is_compared_as_a_whole(shown, printed, right):
    assert is_shown(shown, printed) is right


def test_another_exit_code_than_the_stated_one_fails(reader, monkeypatch):
    import page_commands

    monkeypatch.setattr(page_commands, "written", lambda: {"x.md": "```sh\npct gate none.csv --baseline no.csv\n```\n"})
    with pytest.raises(AssertionError, match=r"x\.md:1: pct gate none\.csv .* ended with exit code 2"):
        reader("x.md").follow()
    text = "```sh\npct list losses\n```\n\n```text\nnothing\n```\n"
    monkeypatch.setattr(page_commands, "written", lambda: {"x.md": text})
    with pytest.raises(AssertionError, match=r"x\.md:5 shows something else"):
        reader("x.md").follow()
